package audit

import (
	"context"
	"errors"
	"time"
)

// Action says what an audit entry is about.
type Action string

const (
	// Put is a new version of a secret, Hide a tombstone over an inherited one,
	// Activate a return to a stored version, and Delete the end of all versions.
	Put      Action = "secret.put"
	Hide     Action = "secret.hide"
	Activate Action = "secret.activate"
	Delete   Action = "secret.delete"
	// Issue is a new token, and Revoke the end of one, at once or at a later time.
	Issue  Action = "token.issue"
	Revoke Action = "token.revoke"
	// MoveKeys is the move of a scope to the tenant's newest data key.
	MoveKeys Action = "scope.move"
	// Deliver is a bundle that went to a runner, and Refuse a token that was
	// refused: of one token, the first refusal in a minute.
	Deliver Action = "bootstrap.deliver"
	Refuse  Action = "bootstrap.refuse"
	// Trim is the removal of old entries.
	Trim Action = "audit.trim"
)

// Entry is one thing that happened within a tenant. It has names and
// versions, and never a value.
type Entry struct {
	// Time is in UTC, to the microsecond.
	Time   time.Time `json:"time"`
	Action Action    `json:"action"`
	// Actor is who wrote; see vault.WithActor.
	Actor string `json:"actor,omitempty"`
	Scope string `json:"scope,omitempty"`
	// Name and Version are the secret's.
	Name    string `json:"name,omitempty"`
	Version int64  `json:"version,omitempty"`
	// Token is the id of the token that was issued or shown.
	Token string `json:"token,omitempty"`
	// Runner and Addr say who showed it.
	Runner string `json:"runner,omitempty"`
	Addr   string `json:"addr,omitempty"`
	// Reason says why a token was refused: a vault.TokenReason.
	Reason string `json:"reason,omitempty"`
	// Delivered lists the secrets of a bundle as scope, name and version.
	Delivered []string `json:"delivered,omitempty"`
	// Through and Head say which entries were dropped: those up to that
	// number, whose last had that MAC in hex.
	Through int64  `json:"through,omitempty"`
	Head    string `json:"head,omitempty"`
}

// A Sink keeps audit entries somewhere besides storage, which always has
// them. Record is called before the operation takes effect, and an error
// refuses the operation, unless vault.Options.AuditBestEffort says otherwise. An
// operation that fails later has been recorded all the same.
//
// A sink is safe for concurrent use, and keeps no reference to e.Delivered. Record
// returns soon after ctx ends. Package audittest checks an implementation.
type Sink interface {
	Record(ctx context.Context, tenant string, e Entry) error
}

// ErrNotRecorded is in errors of operations that were refused because they
// could not be recorded.
var ErrNotRecorded = errors.New("not recorded, and therefore refused")

// Head names the newest entry of a chain. Kept elsewhere, it shows later
// whether the chain was cut.
// A Head of zeros is that of an empty chain.
type Head struct {
	// Seq is the number of the entry, and MAC what authenticates it and all
	// entries before it.
	Seq int64
	MAC [32]byte
}

// Record is an entry with its number in the tenant's chain.
type Record struct {
	Seq int64 `json:"seq"`
	Entry
}
