package store

import (
	"context"
	"errors"
	"time"

	"github.com/satchelhq/satchel/keyring"
)

// ErrConflict means that what a write was based on has changed in between, and
// that nothing was written.
var ErrConflict = errors.New("conflicting change")

// Storage keeps the rows of a vault. It holds ciphertext and knows no keys and
// no rules: the vault makes every row, and checks every row that it reads.
//
// A Storage is safe for concurrent use, by several processes too where its
// database is. Times are stored to the microsecond, and what is finer is
// dropped; the zero time stays zero. Strings are valid UTF-8 without NUL, bytes
// are any. The caller owns what it gets and keeps what it gives. A method whose
// context is over returns the context's error. Package vaulttest checks an
// implementation.
type Store interface {
	// Read returns what q asks for as one consistent snapshot: it shows all or
	// nothing of every Apply.
	Read(ctx context.Context, q Query) (*Snapshot, error)

	// Apply makes all of c durable, or returns an error and changes nothing.
	// The error is ErrConflict if an expectation of c does not hold, and only
	// then. Where a connection to the database is lost while it commits, Apply
	// returns an error that says so, although all of c may be stored.
	Apply(ctx context.Context, c *Change) error

	// Touch records uses. A use older than the recorded one of the same token
	// or secret changes nothing; so does one of a token or secret that is
	// gone. It does not count as a change.
	Touch(ctx context.Context, uses []Usage) error

	// Tenants returns the tenants that have a key record, in the order of
	// their bytes: those after the given one, at most limit.
	Tenants(ctx context.Context, after string, limit int) ([]string, error)

	// Audit returns the entries of a tenant's audit chain with numbers above
	// after, in their order, at most limit.
	Audit(ctx context.Context, tenant string, after int64, limit int) ([]AuditRow, error)

	// Changes returns the number of the newest Apply and the scopes whose
	// seals were changed by those after number since, in any order. It is
	// cheap if there were none. Numbers rise by commit order: once Changes has
	// returned n, nothing at or below n becomes visible later.
	Changes(ctx context.Context, since int64) (newest int64, scopes []string, err error)
}

// Query says what to read. It names a token or a scope.
type Query struct {
	// Token is a token id: read its row, and the path of its scope.
	Token string
	// Scope is used if Token is empty: read its path.
	Scope string
	// SealsOnly leaves out keys, secrets and revoked tokens.
	SealsOnly bool
	// Name asks for all versions of this secret of the scope itself.
	Name string
	// Tokens asks for all tokens of the scope itself.
	Tokens bool
	// Below asks for the sizes of the scopes below Scope.
	Below bool
	// History asks for all versions of all secrets of the scope itself.
	History bool
	// Minted asks for what integrations minted for the scopes of the path.
	Minted bool
	// AuditHead asks for the newest entry of the tenant's audit chain.
	AuditHead bool
}

// Snapshot answers a Query.
type Snapshot struct {
	// Token is the row that was asked for, or nil if there is none. Then the
	// rest is empty.
	Token *TokenRow
	// Path holds a state for the scope and each ancestor, the tenant first,
	// whether or not anything is stored there.
	Path []ScopeState
	// Keys are the tenant's key records, in any order.
	Keys []keyring.Record
	// Versions are those of Query.Name, in rising order, and Last is the
	// highest version that the name ever had, deleted ones included.
	Versions []SecretRow
	Last     int64
	// History has every name that the scope ever had, in the order of their
	// bytes.
	History []NameHistory
	// Tokens are those of the scope, by creation and then by id.
	Tokens []TokenRow
	// Below has, for each scope below that has a seal, the bytes of its active
	// messages.
	Below map[string]int64
	// AuditHead is nil if the chain is empty.
	AuditHead *AuditRow
}

// NameHistory is all that is stored under one name.
type NameHistory struct {
	Name string
	// Active is the active version, 0 for none, and Last the highest that ever
	// was.
	Active, Last int64
	Versions     []SecretRow // in rising order
}

// ScopeState is what is stored for one scope.
type ScopeState struct {
	Scope string
	// Seal is nil if the scope has none.
	Seal []byte
	// Secrets are the active versions, tombstones included, by name.
	Secrets []SecretRow
	// Revoked are the scope's revoked tokens, by id.
	Revoked []RevokedRow
	// Minted is what integrations minted for this scope, by integration.
	Minted []MintedRow
}

// SecretRow is one version of a secret, or of a tombstone that hides an
// inherited one.
type SecretRow struct {
	Scope, Name string
	Version     int64
	Hidden      bool // a tombstone; Message and Preview are empty
	Kind        string
	Delivery    string
	Author      string
	Created     time.Time // of the name's first version
	Rotated     time.Time // of this version
	Expires     time.Time
	KeyID       [16]byte // the data key behind MAC, and behind Message and Preview
	Message     []byte   // SKM, the value
	Preview     []byte   // SKM, the masked form
	MAC         [32]byte // over all fields above
	// LastUsed and LastToken are outside the MAC; see Touch. They are those of
	// the secret, whichever version was used: all versions show the same, an
	// inserted row does not set them, and Delete forgets them.
	LastUsed  time.Time
	LastToken string
}

// TokenRow is one runner token. The token itself is not stored.
type TokenRow struct {
	ID       string
	Hash     [32]byte // SHA-256 of the token
	Scope    string
	Created  time.Time
	Expires  time.Time
	RotateBy time.Time
	KeyID    [16]byte // the data key behind MAC
	MAC      [32]byte // over all fields above but KeyID
	Label    string
	Author   string
	Waived   string // names of required secrets that the runner does without, joined by commas
	// Revoked and RevokedBy repeat what the scope's seal covers; see
	// RevokedRow.
	Revoked   time.Time
	RevokedBy string
	// LastUsed, LastAddr and LastRunner are outside the MAC; see Touch. Issue
	// does not set them.
	LastUsed   time.Time
	LastAddr   string
	LastRunner string
}

// RevokedRow is the part of a revoked token that the scope's seal covers. A
// time that is still to come is one at which the token ends.
type RevokedRow struct {
	ID        string
	Revoked   time.Time
	RevokedBy string
}

// MintedRow is what an integration minted for a scope last.
type MintedRow struct {
	Scope, Integration string
	Identity           string // differs with every minting
	Minted, Expires    time.Time
	Message            []byte // SKM
}

// AuditRow is one entry of a tenant's audit chain.
type AuditRow struct {
	Tenant string
	Seq    int64 // from 1, without gaps
	Entry  []byte
	KeyID  [16]byte // the data key behind MAC
	MAC    [32]byte
}

// Change is one atomic write. Its parts are applied together, in the order of
// the fields; the expectations are those of Keys, Seals, Mint, StartAudit and
// Append, and that no inserted row exists.
type Change struct {
	Keys  []KeyChange
	Seals []SealChange
	// Insert adds versions and makes each the active one of its name.
	Insert []SecretRow
	// Activate makes a stored version the active one. If there is no such
	// version, Apply fails.
	Activate []VersionRef
	// Prune removes the versions of a name below Version, except the active.
	Prune []VersionRef
	// Delete removes all versions of these names. The highest version is
	// remembered.
	Delete []NameRef
	// Issue adds tokens.
	Issue []TokenRow
	// Revoke marks tokens of a scope as revoked, or changes when. If there is
	// no such token, Apply fails.
	Revoke []RevokedRow
	// Reseal replaces KeyID, Message, Preview and MAC of stored versions, and
	// Remac KeyID and MAC of stored tokens. If there is no such row, Apply
	// fails.
	Reseal []SecretRow
	Remac  []TokenRow
	// Mint replaces what an integration minted.
	Mint []MintChange
	// StartAudit has chains that this change begins start behind a number
	// rather than with 1, as those do that were shortened elsewhere. It expects
	// that they are empty.
	StartAudit []AuditRef
	// Append adds entries to audit chains. Each expects to follow the newest
	// of its chain, or to be the first of an empty one, which is number 1
	// unless StartAudit says otherwise.
	Append []AuditRow
	// DropAudit removes the entries of a tenant's chain up to and including a
	// number, but never the newest.
	DropAudit []AuditRef

	// Reseals says that the change is made to replace the seal of a scope even
	// where no row changes. A Store ignores it.
	Reseals bool
}

// MintChange replaces what an integration minted for a scope, whose identity
// must be Old; empty means that there is nothing. If New has no identity, what
// there is is removed.
type MintChange struct {
	Old string
	New MintedRow
}

// AuditRef names an entry of a tenant's audit chain.
type AuditRef struct {
	Tenant string
	Seq    int64
}

// KeyChange inserts or replaces a key record of a tenant.
type KeyChange struct {
	Tenant string
	// Old is the record to replace, by one with the same key id. If it is nil,
	// New is inserted, and First expects that the tenant has no record yet.
	Old, New keyring.Record
	First    bool
}

// SealChange replaces the seal of a scope, which must be Old; nil means none.
type SealChange struct {
	Scope    string
	Old, New []byte
}

// NameRef names a secret, VersionRef one version of it.
type NameRef struct{ Scope, Name string }

// VersionRef names one version of a secret.
type VersionRef struct {
	Scope, Name string
	Version     int64
}

// Use is the use of a token, or of a secret by a token if Name is set.
type Usage struct {
	Token string
	Time  time.Time
	// Addr and Runner say who used the token.
	Addr, Runner string
	// Scope and Name are the secret's.
	Scope, Name string
}
