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

// A Log writes and reads the audit chains of all tenants. Every entry takes the
// same way: the sinks are told, then it is chained, and then it is stored. Append
// does all of that; for an entry that is stored together with the change that it
// is about, the caller does it with Tell and [Chain].
//
// Its methods are safe for concurrent use. A Log must not be copied.
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
	// Sinks keep entries elsewhere too, and get each one in turn. Default: none.
	Sinks []Sink
	// BestEffort has Tell and Append only log entries that cannot be recorded.
	// Default: they return ErrNotRecorded.
	BestEffort bool
	// Logger gets failures to record. Default: slog.Default().
	Logger *slog.Logger
}

// NewLog returns a log over s. opts may be nil.
func NewLog(s store.Store, opts *Options) *Log {
	if opts == nil {
		opts = &Options{}
	}
	l := &Log{store: s, sinks: slices.Clone(opts.Sinks), bestEffort: opts.BestEffort, log: cmp.Or(opts.Logger, slog.Default())}
	l.appends.Commit, l.appends.Most = l.commit, together
	return l
}

// Find returns the data key of a tenant with the given id. The log uses the key
// until the call that got the Find returns, and does not destroy it.
type Find func(ctx context.Context, id [16]byte) (*keyring.DataKey, error)

// Open returns the data key under which a tenant's next entries are chained. The
// log destroys the key.
type Open func(ctx context.Context) (*keyring.DataKey, error)

const (
	// together is how many entries are read, or written, together.
	together = 500
	// appendWithin bounds the writing of entries, which goes on when the request
	// that asked for it has ended.
	appendWithin = 10 * time.Second
)

// pending is an entry that is about to be appended.
type pending struct {
	entry []byte
	open  Open
}

// Tell gives entries to the sinks, in order. It stops with [ErrNotRecorded] at the
// first failure, or logs failures and goes on if the log works by best effort.
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
			l.log.ErrorContext(ctx, "an audit sink failed", "tenant", tenant, "action", string(e.Action), "error", err)
		}
	}
	return nil
}

// Append tells the sinks and makes an entry of a tenant's chain durable, together
// with those that other callers bring meanwhile. It calls open at most once, and
// perhaps after it has returned because ctx has ended; whether the entry is then
// stored is unknown. An entry that cannot be stored within ten seconds is
// [ErrNotRecorded], or logged if the log works by best effort.
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

// Turn returns when no other caller of it has its turn and this log is not
// writing to the tenant's chain, and keeps it so until release is called, once.
// Callers get their turns in the order in which they came, Append and Trim among
// them, which therefore must not be called in between. The error is the cause of
// the end of ctx.
//
// Turn is for a change that is stored together with its entries, once it has
// failed with [store.ErrConflict]: reading what the change is based on takes
// longer than reading the head of the chain, so while the log appends entries
// one after another, it would always be faster. Other processes do not wait.
func (l *Log) Turn(ctx context.Context, tenant string) (release func(), err error) {
	return l.turns.take(ctx, tenant)
}

// commit appends entries to a tenant's chain. It returns how many of them, from
// the first on, are durable.
func (l *Log) commit(ctx context.Context, tenant string, entries []pending) (written int, err error) {
	written, err = l.writeAll(ctx, tenant, entries)
	if err == nil {
		return written, nil
	}
	l.log.ErrorContext(ctx, "could not append to the audit chain", "tenant", tenant, "error", err)
	if l.bestEffort {
		return written, nil
	}
	return written, fmt.Errorf("%w: %w", ErrNotRecorded, err)
}

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

// write appends entries to a tenant's chain, and with the last of them drops
// others. It returns how many are durable.
//
// Each time that another process appends in between, it writes fewer together:
// writers of few entries would else always be faster than one of many.
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

// Trim drops the entries of a tenant that are older than before, once it has
// verified the chain, and appends an entry by actor that says so: the rest stays
// verifiable. It returns how many were dropped. If another process drops entries
// at the same time, that is [store.ErrConflict].
func (l *Log) Trim(ctx context.Context, tenant string, before time.Time, actor string, find Find, open Open) (int64, error) {
	before = before.Truncate(time.Microsecond) // as entries' times are
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
		return 0, fmt.Errorf("%w: entry %d is no longer there", store.ErrConflict, through)
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
	// Together, even by best effort: without its entry the chain could not be
	// verified any more.
	if _, err := l.write(ctx, key, tenant, encoded, store.AuditRef{Tenant: tenant, Seq: through}); err != nil {
		return 0, err
	}
	return dropped, nil
}
