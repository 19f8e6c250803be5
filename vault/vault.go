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
	"github.com/satchelhq/satchel/internal/shared"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/store"
)

// Limits of a vault.
const (
	// MaxValue is the maximum length of a value, in bytes.
	MaxValue = 64 << 10
	// MaxScope is the maximum total size, in bytes, of the encrypted values of one
	// scope. Encryption adds 82 bytes to each value. Each scope has a quota of its own,
	// so that no administrator of a scope can use up the space of another.
	MaxScope = 256 << 10
	// MaxBundle is the maximum total size, in bytes, of the encrypted values on the
	// path of a scope, which has at most eight scopes.
	MaxBundle = maxSegments * MaxScope
	// KeepVersions is how many of its newest versions a secret keeps. Put and Hide
	// delete older ones.
	KeepVersions = 10

	maxKind    = 64
	maxLabel   = 256
	maxActor   = 256
	maxWaived  = 100
	maxAddr    = 256
	maxComment = 1024
	maxNotice  = 1024 // runners keep no more of a notice
)

var (
	// ErrInvalid means that an argument, an option or the actor breaks a rule; the
	// message names the rule.
	ErrInvalid = errors.New("invalid input")
	// ErrNotFound means that the secret, version or token does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that a write's condition does not hold, such as
	// [PutOptions].IfVersion, or that the vault gave up after repeated conflicts
	// with concurrent writes. The write was not stored; read the current state
	// before you retry.
	//
	// It is distinct from [store.ErrConflict], with which a store reports to the
	// vault that rows have changed since the vault read them; the vault then retries.
	ErrConflict = errors.New("conflicting change")
	// ErrUnchanged means that the runner has the current revision of its bundle.
	ErrUnchanged = errors.New("unchanged")
	// ErrEmpty means that the store has no tenant: nothing was ever stored in it, or
	// it is not the store that the vault had before. The vault then does not know
	// which tokens exist.
	ErrEmpty = errors.New("nothing is stored in this vault yet; store a secret or issue a token, or check that it uses the right database")
	// ErrRollback means that stored rows are older than rows that this process has
	// already seen, for example because a backup was restored while it ran.
	ErrRollback = errors.New("stored state is older than previously seen state")
)

// Vault stores secrets. It is safe for concurrent use, and several processes may
// share a store. Its methods leave no goroutines behind, except to finish minting
// and to finish storing an audit entry after the context of the call is done.
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
	opens      shared.Flight[error]
	running    atomic.Bool // Run is in progress

	marks   marks
	uses    uses
	watch   watch
	turns   chan struct{} // limits the reads for runners
	denials denials
}

// Options configure a [Vault]. The zero value of each field means its default.
type Options struct {
	// Logger receives events that an operator should look into, at a bounded rate:
	// rejected rows, failing integrations and audit sinks, times of last use that
	// could not be stored. Default: slog.Default().
	Logger *slog.Logger
	// RefreshAfter is the interval after which runners should request their bundle
	// again: at least a second. Default: 15 minutes.
	RefreshAfter time.Duration
	// Audit receives each audit entry after the store has it, in the order of the
	// tenant's chain. While a sink has not recorded an entry, operations fail with
	// [audit.ErrNotRecorded] before they take effect. Default: none.
	Audit []audit.Sink
	// AuditBestEffort allows operations whose audit entry could not be recorded;
	// the failure is logged, and the entry is not recorded later. Writes always store
	// their entry together with the change; only the sinks may miss it. Default:
	// such operations fail with [audit.ErrNotRecorded].
	AuditBestEffort bool
	// AuditKeep is how long the store keeps audit entries: [Vault.Run] drops older
	// ones. Default: forever.
	AuditKeep time.Duration
	// Integrations mint short-lived secrets for the runners of their scopes.
	// Default: none.
	Integrations []Integration
	// Required lists secrets that runners need. A bundle reports each missing one
	// as a problem, and [Vault.Readiness] lists them all. Default: none.
	Required []Required
	// Notices are sentences in every bundle for the people who operate the runner,
	// for example about who pays for a key. Each has 1 to 1024 bytes of UTF-8, is
	// not blank and has no control characters. Default: none.
	Notices []string
	// Observer receives events for metrics. Default: no calls.
	Observer Observer
	// Wake signals that another process may have written. While runners wait, each
	// received value makes the vault look for changes immediately instead of within
	// 250 milliseconds. Nothing is received while no runner waits, so the sender
	// must not block. A buffer of one is enough, because one look finds all earlier
	// writes. Use the channel with one vault only; it may be closed. Default: the
	// vault polls.
	Wake <-chan struct{}
}

// Check returns nil if [New] accepts o. Otherwise the error joins a
// [*bundle.Fault] for each problem, whose Setting is a field of Options; each is
// [ErrInvalid]. Check calls no sink, provider or function of o and needs neither a
// store nor a keyring, so a program can call it first. o may be nil.
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

// New returns a vault that stores its rows in s and wraps its data keys with keys.
// It calls the key service to check the keyring (see keyring.Keyring.Check). New
// returns [ErrInvalid] if s or keys is nil or [Options.Check] fails, and the error
// of the keyring if its check fails. If the key service is only unavailable
// (keyring.ErrUnavailable), New logs that and succeeds. opts may be nil. The caller
// still owns s and keys: it closes them after its last use of the vault.
func New(ctx context.Context, s store.Store, keys *keyring.Keyring, opts *Options) (*Vault, error) {
	if opts == nil {
		opts = &Options{}
	}
	if v := reflect.ValueOf(s); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: the store is nil; open one, for example with package sqlstore", ErrInvalid)
	}
	if keys == nil {
		return nil, fmt.Errorf("%w: the keyring is nil; create one with keyring.New", ErrInvalid)
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
	v.opens.Stay, v.opens.Hold = true, holdOpens
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

// WithActor returns a context that carries the name of the acting person or
// program: writes under it record the name as their author. The name has at most 256
// bytes of UTF-8 without control characters or tokens; writes with any other name return
// [ErrInvalid]. An inner WithActor replaces an outer one.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// actor returns the name that ctx carries.
func actor(ctx context.Context) (string, error) {
	name, _ := ctx.Value(actorKey{}).(string)
	return name, checkText("the actor's name", name, maxActor)
}

// now returns the current time with the precision of the store.
func now() time.Time { return stored(time.Now()) }

// stored returns t with the precision of the store: microseconds, in UTC.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
