package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/calmlog"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// Limits of what a vault takes.
const (
	// MaxValue is the longest value, in bytes.
	MaxValue = 64 << 10
	// MaxBundle is the most bytes that the encrypted values on the path of one
	// scope may have together: each value and 82 bytes, and those that a nearer
	// scope's value hides too.
	MaxBundle = 1 << 20
	// KeepVersions is how many versions of a secret are kept: the active one
	// and those before it. Older ones are deleted by the next Put.
	KeepVersions = 10

	maxKind   = 64
	maxLabel  = 256
	maxActor  = 256
	maxWaived = 100
	maxAddr   = 256
	maxNotice = 1024 // what runners keep of a sentence
)

var (
	// ErrInvalid is in errors about input that breaks a rule.
	ErrInvalid = errors.New("invalid input")
	// ErrNotFound is in errors about a secret, version or token that does not
	// exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict is in errors about a write whose condition does not hold, such
	// as [PutOptions.IfVersion], or that other writes overtook each time it was
	// tried. Nothing was written.
	ErrConflict = errors.New("conflicting change")
	// ErrUnchanged is the answer to a bootstrap whose revision the runner has.
	ErrUnchanged = errors.New("unchanged")
	// ErrRollback is in errors about stored state that is older than what this
	// process has seen: somebody restored rows behind the vault's back.
	ErrRollback = errors.New("stored state is older than state seen before")
)

// Vault keeps secrets. It is safe for concurrent use, and several processes
// may share a store. When its methods return they leave no goroutine behind, but
// for a minting that is under way, and for the storing of an audit entry if the
// context ended meanwhile.
type Vault struct {
	storage store.Store
	keys    *keyring.Keyring
	log     *slog.Logger
	refresh time.Duration

	audit      *audit.Log
	auditKeep  time.Duration
	minters    []*minter
	required   []Required
	notices    []string
	observer   Observer
	keysWorked atomic.Bool // the keyring passed its check at least once
	running    atomic.Bool // Run is

	marks   marks
	uses    uses
	watch   watch
	turns   chan struct{} // has room for those who read for a runner
	denials denials
}

// Options of a Vault. The zero value of each field means its default.
type Options struct {
	// Logger gets what somebody should look at: rows that were refused,
	// integrations and audit sinks that fail, uses that could not be recorded.
	// At a bounded rate. Default: slog.Default().
	Logger *slog.Logger
	// RefreshAfter is when runners are told to ask again. Default: 15 minutes.
	RefreshAfter time.Duration
	// Audit keeps audit entries elsewhere too. Default: they are in storage
	// only.
	Audit []audit.Sink
	// AuditBestEffort lets operations go on that cannot be recorded; that they
	// could not is logged. Writes are recorded with what they write in any
	// case. Default: such operations are refused with audit.ErrNotRecorded.
	AuditBestEffort bool
	// AuditKeep is for how long storage keeps audit entries: [Vault.Run] drops
	// older ones. Default: for ever.
	AuditKeep time.Duration
	// Integrations mint short-lived secrets for the runners of their scopes.
	// Default: none.
	Integrations []Integration
	// Required are the secrets that runners need: bundles have a problem for
	// each that is missing, and Readiness lists them. Default: none.
	Required []Required
	// Notices are sentences that every bundle carries for the people who run
	// the runner, such as who pays for a key: each of at most 1024 bytes, without
	// control characters, and not blank. Default: none.
	Notices []string
	// Observer is told what happens, for metrics. Default: nobody is.
	Observer Observer
	// Wake says that another process may have written: while runners wait,
	// what is received from it has the vault look for changes at once rather
	// than within 250 milliseconds. While nobody waits, nothing is received,
	// so whoever sends must not block; a buffer of one is enough, since one
	// look finds all that was written before it. The channel belongs to one
	// vault, and may be closed. Default: the vault only looks by itself.
	Wake <-chan struct{}
}

// Check returns nil if New accepts o, and otherwise everything that is wrong with
// it: a [*bundle.Fault] for each problem, whose setting is a field of Options, all
// of which are [ErrInvalid] and joined by errors.Join. It calls nothing that o
// refers to, so a program can use it before it makes or opens anything. o may be
// nil.
func (o *Options) Check() error {
	if o == nil {
		return nil
	}
	errs := slices.Concat(checkIntegrations(o.Integrations), checkRequired(o.Required), checkNotices(o.Notices))
	for i, sink := range o.Audit {
		if sink == nil {
			errs = append(errs, invalidOption(fmt.Sprintf("{vault.Options.Audit}[%d] is nil", i), "vault.Options.Audit", "leave it out"))
		}
	}
	if o.RefreshAfter != 0 && o.RefreshAfter < time.Second {
		errs = append(errs, invalidOption(fmt.Sprintf("{vault.Options.RefreshAfter} is %s", o.RefreshAfter), "vault.Options.RefreshAfter", "want 1s or more"))
	}
	if o.AuditKeep < 0 {
		errs = append(errs, invalidOption(fmt.Sprintf("{vault.Options.AuditKeep} is %s", o.AuditKeep), "vault.Options.AuditKeep", "want a positive duration, or zero to keep all entries"))
	}
	return errors.Join(errs...)
}

// invalidOption returns the error for a field of Options.
func invalidOption(problem, setting, fix string) error {
	return &bundle.Fault{Problem: problem, Setting: setting, Fix: fix, Err: ErrInvalid}
}

// New returns a vault over s whose data keys are wrapped by keys. It proves
// that the keyring works (see keyring.Keyring.Check) and fails if it does not,
// unless the key service is only unavailable. It is [ErrInvalid] if s, keys or
// opts cannot be used; see [Options.Check]. opts may be nil. The caller keeps
// owning s and keys.
func New(ctx context.Context, s store.Store, keys *keyring.Keyring, opts *Options) (*Vault, error) {
	if opts == nil {
		opts = &Options{}
	}
	if v := reflect.ValueOf(s); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: the store is nil; open one, of package sqlstore say", ErrInvalid)
	}
	if keys == nil {
		return nil, fmt.Errorf("%w: the keyring is nil; make one with keyring.New", ErrInvalid)
	}
	if err := opts.Check(); err != nil {
		return nil, err
	}
	v := &Vault{
		storage: s,
		keys:    keys,
		log:     calmlog.New(cmp.Or(opts.Logger, slog.Default())),
		refresh: cmp.Or(opts.RefreshAfter, 15*time.Minute),

		auditKeep: opts.AuditKeep,
		minters:   newMinters(opts.Integrations),
		required:  slices.Clone(opts.Required),
		notices:   slices.Clone(opts.Notices),
		observer:  opts.Observer,

		turns: make(chan struct{}, mostReads),
	}
	v.audit = audit.NewLog(outages{s}, &audit.Options{Sinks: opts.Audit, BestEffort: opts.AuditBestEffort, Logger: v.log})
	v.watch.init(opts.Wake, v.log)
	err := keys.Check(ctx)
	if err != nil && !errors.Is(err, keyring.ErrUnavailable) {
		return nil, fmt.Errorf("checking the keyring: %w", err)
	}
	v.keysWorked.Store(err == nil)
	if err != nil {
		v.log.WarnContext(ctx, "the key service is unavailable; starting without it", "error", err)
	}
	return v, nil
}

type actorKey struct{}

// WithActor returns a context that says who acts: what is written under it
// carries the name as its author.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// actor returns the name that ctx carries.
func actor(ctx context.Context) (string, error) {
	name, _ := ctx.Value(actorKey{}).(string)
	return name, checkText("the actor's name", name, maxActor)
}

// now is the time in storage's precision.
func now() time.Time { return stored(time.Now()) }

// stored returns t in storage's precision.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
