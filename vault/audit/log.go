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

// A Log writes and reads the audit chains of all tenants. Each entry goes to the chain
// in storage first, and then to the sinks. Append does both for an entry alone, and
// Commit for entries that are stored together with the change that they record.
//
// While a sink has not recorded an entry of the chain, Append, Commit and Trim first send
// that entry again, and change nothing if they cannot. So at most one write of each
// tenant is in the chain and missing from a sink; if the process ends then, the sink does
// not get its entries.
//
// A Log is safe for concurrent use and must not be copied.
type Log struct {
	store      store.Store
	sinks      []Sink
	bestEffort bool
	log        *slog.Logger
	appends    batch.Keyed[string, pending]
	turns      turns // by tenant
	backlog    backlog
}

// Options of a Log. The zero value of each field means its default.
type Options struct {
	// Sinks get a copy of each entry, one sink after another. Default: none.
	Sinks []Sink
	// BestEffort makes Append log a failure to record and return nil, and the log
	// drops entries that a sink does not record. Default: Append, Commit and Trim
	// return ErrNotRecorded.
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
	l.backlog.sends.Stay = true
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
	// appendWithin bounds the writing of entries, and sendWithin their recording by
	// sinks. Both continue after the context of the operation has ended.
	appendWithin = 10 * time.Second
	sendWithin   = 10 * time.Second
)

// pending is an entry to be appended.
type pending struct {
	entry Entry
	open  Open
}

// Append appends an entry to the tenant's chain and records it in the sinks. It returns
// when the entry is durable. Concurrent calls for one tenant share writes. Append calls
// open at most once. If ctx ends first, Append returns, but may still call open and
// store the entry.
//
// If the entry cannot be stored within ten seconds, or a sink fails or takes longer than
// another ten, the error is [ErrNotRecorded], which also wraps the cause. With
// [Options].BestEffort the failure is logged instead.
func (l *Log) Append(ctx context.Context, tenant string, open Open, e Entry) error {
	e.Delivered = slices.Clone(e.Delivered) // the entry may outlast the call
	return l.appends.Do(ctx, tenant, pending{e, open})
}

// Commit stores c together with entries that record it, and then records these in the
// sinks. Commit sets c.Append to rows that follow head, the newest row of the tenant's
// chain, under key. The caller has the tenant's Turn. stored reports whether c is stored.
// The sinks have ten seconds, even if ctx ends meanwhile.
//
// The error is [ErrNotRecorded] if a sink fails: if stored is false, it has not recorded
// earlier entries yet, and otherwise those of c. With [Options].BestEffort this failure
// is logged instead. If storage fails, the error is that of storage, or
// [store.ErrConflict]. It is that of [Chain] if key or head is invalid.
func (l *Log) Commit(ctx context.Context, key *keyring.DataKey, tenant string, head *store.AuditRow, c *store.Change, entries ...Entry) (stored bool, err error) {
	if err := l.CatchUp(ctx); err != nil {
		return false, err
	}
	if c.Append, err = Chain(key, tenant, head, entries...); err != nil {
		return false, err
	}
	m := &missed{tenant: tenant, rows: c.Append, entries: entries, sinks: l.sinks}
	if err := l.store.Apply(ctx, c); err != nil {
		if !errors.Is(err, store.ErrConflict) {
			l.keep(m, true)
		}
		return false, err
	}
	if err := l.send(ctx, m); err != nil {
		l.keep(m, false)
		return true, fmt.Errorf("%w by a sink, although it is in the chain: %w", ErrNotRecorded, err)
	}
	return true, nil
}

// Turn locks the tenant's chain within this log, for Commit: until the caller calls
// release, once, other calls of Turn, Append and Trim for the tenant wait. They continue
// in the order of their calls. The caller must not call Append or Trim for the tenant
// before release. Turn blocks until it has the lock or ctx ends; the error is then the
// cause of ctx.
//
// To retry a change that has failed with [store.ErrConflict], take the turn before
// reading the rows for the change. That takes longer than reading the head of the chain,
// so a continuous sequence of appends would starve it. Turn does not lock out other
// processes.
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
	if !errors.Is(err, ErrNotRecorded) {
		err = fmt.Errorf("%w: %w", ErrNotRecorded, err)
	}
	return written, err
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
	all := make([]Entry, len(entries))
	for i, p := range entries {
		all[i] = p.entry
	}
	return l.write(ctx, key, tenant, all)
}

// write appends entries to a tenant's chain, and drops older ones in the same change as
// the last of them. It returns how many are recorded.
//
// After each conflict with another process it writes fewer entries together: otherwise
// processes that write few entries would starve one that writes many.
func (l *Log) write(ctx context.Context, key *keyring.DataKey, tenant string, entries []Entry, drop ...store.AuditRef) (written int, err error) {
	release, err := l.turns.take(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer release()
	most, lost := together, 0
	for written < len(entries) {
		n := min(most, len(entries)-written)
		c := &store.Change{}
		if written+n == len(entries) {
			c.DropAudit = drop
		}
		head, err := readHead(ctx, l.store, tenant)
		if err != nil {
			return written, err
		}
		switch stored, err := l.Commit(ctx, key, tenant, head, c, entries[written:written+n]...); {
		case err == nil:
			written, most, lost = written+n, min(2*most, together), 0
		case errors.Is(err, store.ErrConflict):
			if err := pause.AfterConflict(ctx, lost); err != nil {
				return written, err
			}
			most, lost = max(1, n/2), lost+1
		case stored || errors.Is(err, ErrNotRecorded):
			return written, err
		default:
			return written, fmt.Errorf("writing to storage: %w", err)
		}
	}
	return written, nil
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
	// Append and drop in one change, even with BestEffort: without the entry the
	// chain could no longer be verified.
	if _, err := l.write(ctx, key, tenant, []Entry{e}, store.AuditRef{Tenant: tenant, Seq: through}); err != nil {
		return 0, err
	}
	return dropped, nil
}
