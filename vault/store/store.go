package store

import (
	"context"
	"errors"

	"github.com/satchelhq/satchel/keyring"
)

// ErrConflict means that what a write was based on has changed in between, and
// that nothing was written.
var ErrConflict = errors.New("conflicting change")

// A Store keeps the rows of a vault. It holds ciphertext and knows no keys and
// no rules: the vault makes every row, and checks every row that it reads.
//
// A Store is safe for concurrent use, by several processes too where its
// database is. Times are stored to the microsecond, and what is finer is
// dropped; the zero time stays zero. Strings are valid UTF-8 without NUL, bytes
// are any. The caller owns what it gets and keeps what it gives. A method whose
// context is over returns the context's error. Package storetest checks an
// implementation.
type Store interface {
	// Read returns what q asks for as one consistent snapshot: it shows all or
	// nothing of every Apply.
	Read(ctx context.Context, q Query) (*Snapshot, error)

	// Apply makes all of c durable, or returns an error and changes nothing.
	// The error is ErrConflict if an expectation of c does not hold, and only
	// then, also if c fails for another reason too. Where a connection to the
	// database is lost while it commits, Apply returns an error that says so,
	// although all of c may be stored.
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
