package audit

import (
	"context"
	"errors"
	"time"
)

// Action is the kind of operation that an audit entry records.
type Action string

const (
	// Put stores a new version of a secret.
	Put Action = "secret.put"
	// Hide stores a tombstone, which hides an inherited secret.
	Hide Action = "secret.hide"
	// Activate makes a stored version of a secret the active one.
	Activate Action = "secret.activate"
	// Delete removes all versions of a secret.
	Delete Action = "secret.delete"
	// Issue creates a runner token.
	Issue Action = "token.issue"
	// Revoke ends a runner token, immediately or at a later time.
	Revoke Action = "token.revoke"
	// Prune drops a token that has ended from storage.
	Prune Action = "token.prune"
	// MoveKeys moves a scope to the tenant's newest data key.
	MoveKeys Action = "scope.move"
	// Deliver sends a bundle to a runner.
	Deliver Action = "bootstrap.deliver"
	// Refuse rejects an existing token. Each process records at most one rejection a
	// minute for each token.
	Refuse Action = "bootstrap.refuse"
	// Trim drops old entries of the chain.
	Trim Action = "audit.trim"
	// AddAdmin adds a named administrator, the Name of the entry. This and the next two
	// are in the chain of store.Platform.
	AddAdmin Action = "administrator.add"
	// RotateAdmin replaces the token of an administrator.
	RotateAdmin Action = "administrator.rotate"
	// RemoveAdmin removes an administrator.
	RemoveAdmin Action = "administrator.remove"
)

// Entry records one operation on the secrets or tokens of a tenant. It has names and
// versions, but never a value. Fields that do not apply to the action are empty.
type Entry struct {
	// Time is the time of the operation in UTC, with microsecond precision.
	Time time.Time `json:"time"`
	// Action is the kind of operation.
	Action Action `json:"action"`
	// Actor is the name from vault.WithActor, for operations of administrators.
	Actor string `json:"actor,omitempty"`
	// Scope is the scope of the secret or of the token.
	Scope string `json:"scope,omitempty"`
	// Name is the name of the secret or of the administrator.
	Name string `json:"name,omitempty"`
	// Version is the version of the secret.
	Version int64 `json:"version,omitempty"`
	// Token is the id of the runner token that was issued, revoked, dropped or used, or of
	// the administrator's new or removed token.
	Token string `json:"token,omitempty"`
	// Runner is the name of the runner that used the token.
	Runner string `json:"runner,omitempty"`
	// Addr is the network address of the runner that used the token.
	Addr string `json:"addr,omitempty"`
	// Reason is the vault.TokenReason of a refusal, or of a token that was dropped.
	Reason string `json:"reason,omitempty"`
	// Delivered lists the secrets of a bundle in the form SCOPE/NAME@VERSION.
	Delivered []string `json:"delivered,omitempty"`
	// Through is the number of the last entry that a trim dropped.
	Through int64 `json:"through,omitempty"`
	// Head is the MAC of that entry in hexadecimal.
	Head string `json:"head,omitempty"`
}

// A Sink keeps a copy of audit entries outside storage. Sinks must be safe for
// concurrent use. Package audittest checks an implementation. A sink that can find out
// whether its next Record will succeed also implements [Checker].
type Sink interface {
	// Record makes entries of one tenant durable, in their order, and returns. The
	// tenant's chain already has them. Within a process, the calls for a tenant
	// come one after another and follow its chain; the entries of other processes
	// that share the storage come from these, in between.
	//
	// If Record fails, the vault returns [ErrNotRecorded] and passes the same
	// entries again before any others, unless vault.Options.AuditBestEffort is set.
	// An entry may therefore arrive more than once; its number identifies it.
	//
	// Record returns an error soon after ctx ends. It must not keep a reference to
	// entries or to what they contain.
	Record(ctx context.Context, tenant string, entries []Record) error
}

// A Checker is a [Sink] that can find out whether its next Record will succeed.
type Checker interface {
	// Check returns nil only if the next Record can be expected to succeed. It
	// records nothing, and returns an error soon after ctx ends. It is safe for
	// concurrent use.
	Check(ctx context.Context) error
}

// ErrNotRecorded means that the audit entry of an operation could not be recorded. The
// error also wraps the cause, and its text says which of two cases applies:
//
//   - The operation had no effect. A sink has not recorded earlier entries yet, or
//     storage did not take the entry of a delivery.
//   - The change is stored together with its entry, and then a sink failed. The sink
//     gets the entry before the next operation takes effect. A bundle that the entry
//     records was not delivered.
//
// After it, read the current state before retrying a write.
var ErrNotRecorded = errors.New("audit entry could not be recorded")

// Head identifies the newest entry of a chain. A Head kept outside the database can
// later show whether the end of the chain was cut off. The zero Head is that of an empty
// chain.
type Head struct {
	// Seq is the number of the entry.
	Seq int64
	// MAC authenticates the entry and all entries before it.
	MAC [32]byte
}

// Record is an entry with its number.
type Record struct {
	// Seq is the number of the entry in the tenant's chain. Numbers start at 1 and
	// have no gaps.
	Seq int64 `json:"seq"`
	// Unverified means that the entry may be forged: the one before it is missing,
	// and no trim accounts for that. Only [Log.Page] sets it.
	Unverified bool `json:"unverified,omitempty"`
	Entry
}

// maxSeq is the highest number of an entry. No chain reaches it, so higher ones in
// storage are not the vault's.
const maxSeq = 1 << 53
