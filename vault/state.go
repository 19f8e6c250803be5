package vault

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// state is a verified snapshot with the data keys opened for it.
type state struct {
	*store.Snapshot
	keys   *keyring.Keyring
	opened map[[16]byte]*keyring.DataKey
	seals  []seal // parsed; one for each sealed scope of Path
}

// close releases the data keys.
func (st *state) close() {
	for _, key := range st.opened {
		key.Destroy()
	}
}

// scope returns the state of the requested scope, the last of the path.
func (st *state) scope() *store.ScopeState { return &st.Path[len(st.Path)-1] }

// tenant returns the tenant of the path.
func (st *state) tenant() string { return st.Path[0].Scope }

// errNoDataKey means that a tenant has no data key yet.
var errNoDataKey = errors.New("the tenant has no data key")

// key returns the data key with the given id.
func (st *state) key(ctx context.Context, id [16]byte) (*keyring.DataKey, error) {
	if key, ok := st.opened[id]; ok {
		return key, nil
	}
	tenant := st.tenant()
	for _, record := range st.Keys {
		if rid, err := record.ID(); err != nil || rid != id {
			continue
		}
		key, err := openKey(ctx, st.keys, tenant, record)
		if err != nil {
			return nil, err
		}
		st.opened[id] = key
		return key, nil
	}
	return nil, fmt.Errorf("%w: tenant %s has no record of the data key %x", keyring.ErrTampered, nameOf(tenant), id)
}

// openMessage opens a message of the given group and context.
func (st *state) openMessage(ctx context.Context, group keyring.Context, message []byte, c keyring.Context) ([]byte, error) {
	id, err := keyring.MessageKeyID(message)
	if err != nil {
		return nil, err
	}
	key, err := st.key(ctx, id)
	if err != nil {
		return nil, err
	}
	g, err := key.Group(group)
	if err != nil {
		return nil, err
	}
	return g.Open(nil, message, c)
}

// genuine reports whether want is the MAC that mac returns under the data key
// with the given id.
func (st *state) genuine(ctx context.Context, id [16]byte, want [32]byte, mac func(*keyring.DataKey) ([32]byte, error)) (bool, error) {
	key, err := st.key(ctx, id)
	if err != nil {
		return false, err
	}
	got, err := mac(key)
	return hmac.Equal(got[:], want[:]), err
}

// newestKey returns the data key for the tenant's next message.
func (st *state) newestKey(ctx context.Context) (*keyring.DataKey, error) {
	newest, err := newestRecord(st.Keys)
	if err != nil {
		return nil, err
	}
	return st.key(ctx, newest.id)
}

// openNewest is newestKey for work that outlasts a state. The caller destroys the
// key.
func (v *Vault) openNewest(ctx context.Context, tenant string, records []keyring.Record) (*keyring.DataKey, error) {
	newest, err := newestRecord(records)
	if err != nil {
		return nil, err
	}
	return openKey(ctx, v.keys, tenant, newest.record)
}

// openKey opens the record of a tenant's data key.
func openKey(ctx context.Context, keys *keyring.Keyring, tenant string, record keyring.Record) (*keyring.DataKey, error) {
	key, err := keys.OpenKey(ctx, record, keyContext(tenant))
	if err != nil {
		return nil, fmt.Errorf("opening the data key of tenant %s: %w", nameOf(tenant), err)
	}
	return key, nil
}

// keyRecord is a key record with its parsed fields.
type keyRecord struct {
	record  keyring.Record
	id      [16]byte
	created time.Time
}

// newestRecord returns the newest of a tenant's key records, or errNoDataKey.
func newestRecord(records []keyring.Record) (keyRecord, error) {
	var newest keyRecord
	for _, record := range records {
		r := keyRecord{record: record}
		var err error
		if r.id, err = record.ID(); err != nil {
			return newest, err
		}
		if r.created, err = record.Created(); err != nil {
			return newest, err
		}
		if r.created.After(newest.created) || r.created.Equal(newest.created) && bytes.Compare(r.id[:], newest.id[:]) > 0 {
			newest = r
		}
	}
	if len(records) == 0 {
		return newest, errNoDataKey
	}
	return newest, nil
}

// read returns the verified state for q, with its data keys. The caller closes it. If
// q names a token that does not exist, the state is empty and its Token is nil.
func (v *Vault) read(ctx context.Context, q store.Query) (*state, error) {
	return v.readThrough(ctx, q, v.storage.Read)
}

// readThrough is read, with get as the function that reads the store.
func (v *Vault) readThrough(ctx context.Context, q store.Query, get getter) (*state, error) {
	st, err := v.readOnce(ctx, q, get)
	if err != nil {
		return nil, err
	}
	if floor := v.marks.of(st.Path); st.behind(floor) != nil {
		// The marks may have risen since that read began. A read that begins now
		// must not be behind them.
		st.close()
		if st, err = v.readOnce(ctx, q, get); err != nil {
			return nil, err
		}
		if err := st.behind(floor); err != nil {
			st.close()
			return nil, err
		}
	}
	if !q.SealsOnly {
		v.marks.raise(st)
	}
	return st, nil
}

// getter is Store.Read or readInTurn.
type getter func(context.Context, store.Query) (*store.Snapshot, error)

func (v *Vault) readOnce(ctx context.Context, q store.Query, get getter) (*state, error) {
	snap, err := get(ctx, q)
	if err != nil {
		return nil, readFailed(fmt.Errorf("reading from storage: %w", err))
	}
	st := &state{Snapshot: snap, keys: v.keys, opened: map[[16]byte]*keyring.DataKey{}}
	if err := st.verify(ctx, q); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// logRefusal returns err. It logs err if it reports rows that are not as the vault
// wrote them, or rows whose key is not configured.
func (v *Vault) logRefusal(ctx context.Context, err error) error {
	switch {
	case brokenRows(err):
		v.log.ErrorContext(ctx, "refused stored rows", "error", err)
	case errors.Is(err, keyring.ErrNoKey):
		// This is most likely not tampering: another process has a newer keyring.
		v.log.ErrorContext(ctx, "stored rows need a key that is not configured", "error", err)
	}
	return err
}

// verify checks the shape of a snapshot and, unless only seals were read, each
// seal against its rows.
func (st *state) verify(ctx context.Context, q store.Query) error {
	if q.Token != "" && st.Token == nil {
		return nil
	}
	scope := q.Scope
	if q.Token != "" {
		scope = st.Token.Scope
		if st.Token.ID != q.Token || CheckScope(scope) != nil {
			return fmt.Errorf("%w: the row of token %s has another id or an invalid scope", keyring.ErrTampered, clip(q.Token))
		}
	}
	if !slices.EqualFunc(st.Path, store.Path(scope), func(s store.ScopeState, want string) bool { return s.Scope == want }) {
		return fmt.Errorf("%w: the stored path of scope %s is incomplete or has other scopes", keyring.ErrTampered, nameOf(scope))
	}
	if !isNumber(st.Last) {
		return fmt.Errorf("%w: the highest version number of secret %s is %d", keyring.ErrTampered, clip(q.Name), st.Last)
	}
	if st.AuditHead != nil && !isNumber(st.AuditHead.Seq) {
		return fmt.Errorf("%w: the newest entry of the audit chain of tenant %s has number %d", keyring.ErrTampered, nameOf(st.tenant()), st.AuditHead.Seq)
	}
	for _, row := range st.Versions {
		if !isNumber(row.Version) || row.Version > st.Last {
			return fmt.Errorf("%w: secret %s has version %d, and its highest version number is %d", keyring.ErrTampered, clip(row.Name), row.Version, st.Last)
		}
	}
	for i := range st.Path {
		s := &st.Path[i]
		if s.Seal == nil {
			if q.Token != "" || len(s.Secrets)+len(s.Revoked)+len(s.Docs)+len(st.Versions)+len(st.Tokens)+len(st.Below) > 0 || i == 0 && st.AuditHead != nil || st.sealedBelow(i) {
				return fmt.Errorf("%w: the seal of scope %s is missing", keyring.ErrTampered, nameOf(s.Scope))
			}
			continue
		}
		for _, d := range s.Docs {
			if kind, ok := spaces[d.Space]; d.Owner != s.Scope || !d.Sealed || ok && !kind.sealed {
				return fmt.Errorf("%w: storage returned document %s as one of scope %s", keyring.ErrTampered, clip(docName(&d)), s.Scope)
			}
		}
		parsed, err := parseSeal(s.Seal)
		if err != nil {
			return err
		}
		st.seals = append(st.seals, parsed)
		if q.SealsOnly {
			continue
		}
		key, err := st.key(ctx, parsed.keyID)
		if err != nil {
			return err
		}
		if err := checkSeal(key, s); err != nil {
			return err
		}
	}
	return nil
}

// maxNumber is the highest number that the vault reads from a store. Counters of writes
// do not come near it, and arithmetic with it cannot overflow.
const maxNumber = 1 << 53

// isNumber reports whether n can be a number that the vault has stored.
func isNumber(n int64) bool { return n >= 0 && n <= maxNumber }

func (st *state) sealedBelow(i int) bool {
	return slices.ContainsFunc(st.Path[i+1:], func(s store.ScopeState) bool { return s.Seal != nil })
}

// brokenRows reports whether err means that stored rows are not as the vault wrote
// them.
func brokenRows(err error) bool {
	return errors.Is(err, keyring.ErrTampered) || errors.Is(err, keyring.ErrMalformed) || errors.Is(err, ErrRollback)
}
