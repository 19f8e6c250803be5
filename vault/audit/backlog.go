package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// backlog holds the entries that sinks have missed, the oldest of each tenant first.
type backlog struct {
	mu     sync.Mutex // never held during calls of a store or a sink
	missed []*missed
	sends  shared.Flight[error]
}

// missed are entries that sinks have not recorded yet.
type missed struct {
	tenant  string
	rows    []store.AuditRow
	entries []Entry // of the rows
	sinks   []Sink  // those that have not recorded them
	unsure  bool    // storage failed during the write, and may have stored them
}

// keep adds entries to the backlog. The caller has the turn of their tenant, so they are
// in the order of the chain.
func (l *Log) keep(m *missed, unsure bool) {
	if len(m.sinks) == 0 || l.bestEffort {
		return
	}
	m.unsure = unsure
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()
	l.backlog.missed = append(l.backlog.missed, m)
}

// oldest returns the first entries of the backlog, or nil.
func (l *Log) oldest() *missed {
	l.backlog.mu.Lock()
	defer l.backlog.mu.Unlock()
	if len(l.backlog.missed) == 0 {
		return nil
	}
	return l.backlog.missed[0]
}

// CatchUp sends the sinks the entries that they have missed. It returns nil when there
// are none left, and at the first failure [ErrNotRecorded], which also wraps the cause.
// If ctx ends first, the error is that of ctx. A sink has ten seconds for the entries of
// one write. Concurrent calls share the work.
func (l *Log) CatchUp(ctx context.Context) error {
	for l.oldest() != nil {
		failed, err := l.backlog.sends.Do(ctx, l.sendMissed)
		if err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("%w: a sink has not recorded earlier entries yet: %w", ErrNotRecorded, failed)
		}
	}
	return nil
}

// sendMissed sends the backlog until it is empty or a sink fails. It runs once at a
// time.
func (l *Log) sendMissed(ctx context.Context) error {
	for m := l.oldest(); m != nil; m = l.oldest() {
		if m.unsure {
			stored, err := l.has(ctx, m)
			if err != nil {
				return err
			}
			if m.unsure = false; !stored {
				m.sinks = nil
			}
		}
		if err := l.send(ctx, m); err != nil {
			return err
		}
		l.backlog.mu.Lock()
		l.backlog.missed = slices.Delete(l.backlog.missed, 0, 1)
		l.backlog.mu.Unlock()
	}
	l.log.InfoContext(ctx, "audit sinks have all entries again")
	return nil
}

// has reports whether the chain has the entries of m.
func (l *Log) has(ctx context.Context, m *missed) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, appendWithin)
	defer cancel()
	first := m.rows[0]
	rows, err := stored{l.store, m.tenant}.above(ctx, first.Seq-1, 1)
	if errors.Is(err, keyring.ErrMalformed) {
		return false, nil // a damaged row, which must not stop the other tenants
	}
	return len(rows) == 1 && rows[0].Seq == first.Seq && rows[0].MAC == first.MAC, err
}

// send records the entries of m in its sinks, and leaves in m.sinks those that failed.
// With BestEffort it returns nil. It logs failures.
func (l *Log) send(ctx context.Context, m *missed) error {
	if len(m.sinks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	var failed []Sink
	var errs []error
	for _, sink := range m.sinks {
		records := make([]Record, len(m.rows)) // a sink may change its own
		for i, e := range m.entries {
			e.Delivered = slices.Clone(e.Delivered)
			records[i] = Record{Seq: m.rows[i].Seq, Entry: e}
		}
		if err := sink.Record(ctx, m.tenant, records); err != nil {
			failed, errs = append(failed, sink), append(errs, err)
		}
	}
	m.sinks = failed
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	l.log.ErrorContext(ctx, "audit sink failed", "tenant", m.tenant, "first", m.rows[0].Seq, "entries", len(m.rows), "error", err)
	if l.bestEffort {
		return nil
	}
	return err
}

// Check returns nil only if the sinks can be expected to record the next entry: it sends
// them the entries that they have missed, and calls the Check of those that are a
// [Checker]. With [Options].BestEffort it returns nil without a check. The error is
// [ErrNotRecorded], which also wraps the cause, or the cause alone if ctx ends.
func (l *Log) Check(ctx context.Context) error {
	if l.bestEffort {
		return nil
	}
	if err := l.CatchUp(ctx); err != nil {
		return err
	}
	for _, sink := range l.sinks {
		if checker, ok := sink.(Checker); ok {
			if err := checker.Check(ctx); err != nil {
				return fmt.Errorf("%w: %w", ErrNotRecorded, err)
			}
		}
	}
	return nil
}
