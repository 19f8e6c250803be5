package vault

import (
	"fmt"
	"sync"
	"time"

	"github.com/satchelhq/satchel/vault/store"
)

// marks are the highest epochs that this process has seen, by scope. A read that
// returns an epoch below the mark from before the read is a rollback.
type marks struct {
	mu      sync.Mutex
	byScope map[string]mark
}

// mark is the newest seal of a scope that this process has verified against its rows.
type mark struct {
	epoch uint64
	born  time.Time // creation of the data key of the seal
	seal  string    // the encoded seal
}

// of returns the marks of the scopes on a path.
func (m *marks) of(path []store.ScopeState) map[string]mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]mark, len(path))
	for i := range path {
		out[path[i].Scope] = m.byScope[path[i].Scope]
	}
	return out
}

// raise records the verified seals of st.
func (m *marks) raise(st *state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byScope == nil {
		m.byScope = map[string]mark{}
	}
	for i := range st.Path {
		s, err := parseSeal(st.Path[i].Seal)
		if err != nil {
			continue // no seal yet
		}
		if was := m.byScope[st.Path[i].Scope]; s.epoch >= was.epoch {
			m.byScope[st.Path[i].Scope] = mark{epoch: s.epoch, born: st.born(s.keyID), seal: string(st.Path[i].Seal)}
		}
	}
}

// know reports whether this process has verified each seal of path against its rows.
func (m *marks) know(path []store.ScopeState) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range path {
		if m.byScope[path[i].Scope].seal != string(path[i].Seal) {
			return false
		}
	}
	return true
}

// born returns the creation time of the data key with the given id, or zero if st
// does not have it.
func (st *state) born(id [16]byte) time.Time {
	for _, record := range st.Keys {
		if rid, err := record.ID(); err == nil && rid == id {
			created, _ := record.Created()
			return created
		}
	}
	return time.Time{}
}

// behind returns ErrRollback, with the reason, if st is older than the marks in floor.
func (st *state) behind(floor map[string]mark) error {
	for i := range st.Path {
		scope := st.Path[i].Scope
		m := floor[scope]
		if m.epoch == 0 {
			continue
		}
		if i >= len(st.seals) {
			return fmt.Errorf("%w: the seal of scope %s is missing", ErrRollback, scope)
		}
		s := st.seals[i]
		if s.epoch < m.epoch {
			return fmt.Errorf("%w: scope %s is at write %d, but write %d was seen before", ErrRollback, scope, s.epoch, m.epoch)
		}
		if born := st.born(s.keyID); !born.IsZero() && born.Before(m.born) {
			return fmt.Errorf("%w: scope %s is sealed under an older data key than before", ErrRollback, scope)
		}
	}
	return nil
}
