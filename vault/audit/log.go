package audit

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/satchelhq/satchel/internal/batch"
	"github.com/satchelhq/satchel/internal/pause"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// A Log writes and reads the audit chains of all tenants. Each entry goes to the sinks
// first, and then to the chain in storage. Append does both. For an entry that is
// stored together with the change that it records, the caller uses Tell and [Chain].
//
// A Log is safe for concurrent use and must not be copied.
type Log struct {
	store      store.Store
	sinks      []Sink
	bestEffort bool
	log        *slog.Logger
	appends    batch.Keyed[string, pending]
	turns      turns // by tenant
}

// Options of a Log. The zero value of each field means its default.
type Options struct {
	// Sinks get a copy of each entry, one sink after another. Default: none.
	Sinks []Sink
	// BestEffort makes Tell and Append log a failure to record and return nil.
	// Default: they return ErrNotRecorded.
	BestEffort bool
	// Logger receives failures to record, at level ERROR. Default: slog.Default().
	Logger *slog.Logger
}

// NewLog returns a log that stores chains in s, which the caller still owns. opts may be
// nil.
func NewLog(s store.Store, opts *Options) *Log {
	if opts == nil {
		opts = &Options{}
	}
	l := &Log{store: s, sinks: slices.Clone(opts.Sinks), bestEffort: opts.BestEffort, log: cmp.Or(opts.Logger, slog.Default())}
	l.appends.Commit, l.appends.Most = l.commit, together
	return l
}

// Find returns a tenant's data key by its id. The function or method that takes the
// Find does not destroy the key, and does not use it after returning. If there is no
// such key, the error is [keyring.ErrTampered].
type Find func(ctx context.Context, id [16]byte) (*keyring.DataKey, error)

// Open returns the data key for the next entries of a tenant. The log destroys the key.
type Open func(ctx context.Context) (*keyring.DataKey, error)

const (
	// together is the most entries read or written in one storage operation.
	together = 500
	// appendWithin bounds the writing of entries, which continues after the context
	// of Append has ended.
	appendWithin = 10 * time.Second
)

// pending is an entry to be appended.
type pending struct {
	entry []byte
	open  Open
}

// Tell records entries in the sinks, in order. At the first failure it returns
// [ErrNotRecorded], which also wraps the error of the sink. With [Options].BestEffort it
// logs failures instead, and continues.
func (l *Log) Tell(ctx context.Context, tenant string, entries ...Entry) error {
	for _, e := range entries {
		for _, sink := range l.sinks {
			err := sink.Record(ctx, tenant, e)
			if err == nil {
				continue
			}
			if !l.bestEffort {
				return fmt.Errorf("%w: %w", ErrNotRecorded, err)
			}
			l.log.ErrorContext(ctx, "audit sink failed", "tenant", tenant, "action", string(e.Action), "error", err)
		}
	}
	return nil
}

// Append records an entry in the sinks and appends it to the tenant's chain. It returns
// when the entry is durable. Concurrent calls for one tenant share writes. Append calls
// open at most once. If ctx ends first, Append returns, but may still call open and
// store the entry.
//
// If a sink fails, or the entry cannot be stored within ten seconds, the error is
// [ErrNotRecorded], which also wraps the cause. With [Options].BestEffort the failure is
// logged instead.
func (l *Log) Append(ctx context.Context, tenant string, open Open, e Entry) error {
	if err := l.Tell(ctx, tenant, e); err != nil {
		return err
	}
	encoded, err := encode([]Entry{e})
	if err != nil {
		return err
	}
	return l.appends.Do(ctx, tenant, pending{encoded[0], open})
}

// Turn locks the tenant's chain within this log: until the caller calls release, once,
// other calls of Turn, Append and Trim for the tenant wait. They continue in the order
// of their calls. The caller must not call Append or Trim for the tenant before release.
// Turn blocks until it has the lock or ctx ends; the error is then the cause of ctx.
//
// Turn is for retrying a change that is stored together with its entries and has failed
// with [store.ErrConflict]. Reading the rows for the change takes longer than reading
// the head of the chain, so a continuous sequence of appends would starve it.
// Turn does not lock out other processes.
func (l *Log) Turn(ctx context.Context, tenant string) (release func(), err error) {
	return l.turns.take(ctx, tenant)
}

// commit appends entries to a tenant's chain. It returns how many of them, counted from
// the first, are durable.
func (l *Log) commit(ctx context.Context, tenant string, entries []pending) (written int, err error) {
	written, err = l.writeAll(ctx, tenant, entries)
	if err == nil {
		return written, nil
	}
	l.log.ErrorContext(ctx, "cannot append to the audit chain", "tenant", tenant, "error", err)
	if l.bestEffort {
		return written, nil
	}
	return written, fmt.Errorf("%w: %w", ErrNotRecorded, err)
}

// writeAll opens a key and appends entries under it. It returns how many are durable.
func (l *Log) writeAll(ctx context.Context, tenant string, entries []pending) (written int, err error) {
	ctx, cancel := context.WithTimeout(ctx, appendWithin)
	defer cancel()
	key, err := entries[0].open(ctx)
	if err != nil {
		return 0, err
	}
	defer key.Destroy()
	encoded := make([][]byte, len(entries))
	for i, p := range entries {
		encoded[i] = p.entry
	}
	return l.write(ctx, key, tenant, encoded)
}

// write appends entries to a tenant's chain, and drops older ones in the same change as
// the last of them. It returns how many are durable.
//
// After each conflict with another process it writes fewer entries together: otherwise
// processes that write few entries would starve one that writes many.
func (l *Log) write(ctx context.Context, key *keyring.DataKey, tenant string, entries [][]byte, drop ...store.AuditRef) (written int, err error) {
	release, err := l.turns.take(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer release()
	most, lost := together, 0
	for written < len(entries) {
		n := min(most, len(entries)-written)
		var dropped []store.AuditRef
		if written+n == len(entries) {
			dropped = drop
		}
		switch err := l.writeOnce(ctx, key, tenant, entries[written:written+n], dropped); {
		case err == nil:
			written, most, lost = written+n, min(2*most, together), 0
		case errors.Is(err, store.ErrConflict):
			if err := pause.AfterConflict(ctx, lost); err != nil {
				return written, err
			}
			most, lost = max(1, n/2), lost+1
		default:
			return written, err
		}
	}
	return written, nil
}

// writeOnce appends entries in one write.
func (l *Log) writeOnce(ctx context.Context, key *keyring.DataKey, tenant string, entries [][]byte, drop []store.AuditRef) error {
	snap, err := l.store.Read(ctx, store.Query{Scope: tenant, SealsOnly: true, AuditHead: true})
	if err != nil {
		return fmt.Errorf("reading from storage: %w", err)
	}
	rows, err := chain(key, tenant, snap.AuditHead, entries)
	if err != nil {
		return err
	}
	err = l.store.Apply(ctx, &store.Change{Append: rows, DropAudit: drop})
	if err == nil || errors.Is(err, store.ErrConflict) {
		return err
	}
	return fmt.Errorf("writing to storage: %w", err)
}

// Trim verifies the chain of a tenant, drops the entries older than before, and appends
// an entry by actor that records this, so that the rest can still be verified. It
// returns the number of dropped entries. If there are none, it appends nothing.
//
// The error is [keyring.ErrTampered] if an entry is modified or missing,
// [store.ErrConflict] if another process drops entries at the same time,
// [ErrNotRecorded] if a sink fails, or the error of find, open or storage.
func (l *Log) Trim(ctx context.Context, tenant string, before time.Time, actor string, find Find, open Open) (int64, error) {
	before = before.Truncate(time.Microsecond) // the precision of the times of entries
	var dropped, through int64
	young := false
	_, err := l.Verify(ctx, tenant, find, nil, func(seq int64, e Entry) error {
		if young = young || !e.Time.Before(before); !young {
			dropped, through = dropped+1, seq
		}
		return nil
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	rows, err := l.store.Audit(ctx, tenant, through-1, 1)
	if err != nil {
		return 0, fmt.Errorf("reading from storage: %w", err)
	}
	if len(rows) == 0 || rows[0].Seq != through {
		return 0, fmt.Errorf("%w: entry %d no longer exists", store.ErrConflict, through)
	}
	key, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer key.Destroy()
	e := Entry{
		Time: time.Now().UTC().Truncate(time.Microsecond), Action: Trim, Actor: actor,
		Through: through, Head: hex.EncodeToString(rows[0].MAC[:]),
	}
	if err := l.Tell(ctx, tenant, e); err != nil {
		return 0, err
	}
	encoded, err := encode([]Entry{e})
	if err != nil {
		return 0, err
	}
	// Append and drop in one change, even with BestEffort: without the entry the
	// chain could no longer be verified.
	if _, err := l.write(ctx, key, tenant, encoded, store.AuditRef{Tenant: tenant, Seq: through}); err != nil {
		return 0, err
	}
	return dropped, nil
}
