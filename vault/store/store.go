package store

import (
	"context"
	"errors"

	"github.com/satchelhq/satchel/keyring"
)

// ErrConflict means that an expectation of a [Change] does not hold, for example
// because another write has changed the rows since they were read. Nothing was
// written. The vault reads again and retries.
//
// It is not vault.ErrConflict, which a vault returns to its caller.
var ErrConflict = errors.New("conflicting change")

// A Store keeps the rows of a vault. It holds ciphertext, has no keys and enforces no
// rules: the vault creates every row, and verifies every row that it reads.
//
// A Store is safe for concurrent use, also by several processes if its database
// is. It stores times with a precision of microseconds and drops the rest; the zero
// time stays zero. Strings are valid UTF-8 without NUL; byte slices may have any
// content. The caller owns the results, and the store keeps no reference to the
// arguments. If its context is done, a method returns the context's error. The error for
// a row that cannot be read, such as one whose MAC has another length, is
// [keyring.ErrMalformed]; other errors count as an outage of the store. Package storetest
// checks an implementation.
type Store interface {
	// Read returns the rows for q as one consistent snapshot, which shows all or
	// nothing of every Apply.
	Read(ctx context.Context, q Query) (*Snapshot, error)

	// Apply makes all of c durable, or returns an error and changes nothing. It
	// returns [ErrConflict] if and only if an expectation of c does not hold, even
	// if c fails for another reason too. There is one exception: if the connection
	// to the database is lost during the commit, Apply returns an error that
	// reports this, and all of c may be stored.
	Apply(ctx context.Context, c *Change) error

	// Touch records uses. It ignores a use that is older than the recorded one of
	// the same token or secret, and a use of a token or secret that is not stored.
	// Touch does not count as a change.
	Touch(ctx context.Context, uses []Usage) error

	// Tenants returns the tenants that have a row of any kind, in byte order: those
	// after the given name, which need not exist, and at most limit. An empty name means
	// from the first. [Platform] counts as a tenant.
	Tenants(ctx context.Context, after string, limit int) ([]string, error)

	// Scopes returns the scopes of a tenant that have a row of any kind, in byte order.
	// Key records and audit chains belong to the tenant and do not count.
	Scopes(ctx context.Context, tenant string) ([]string, error)

	// Docs returns the documents for q in byte order of their keys, whether or not they
	// are sealed or have expired.
	Docs(ctx context.Context, q DocQuery) ([]Doc, error)

	// Audit returns the entries of a tenant's audit chain with numbers above after,
	// in ascending order and at most limit.
	Audit(ctx context.Context, tenant string, after int64, limit int) ([]AuditRow, error)

	// Changes returns the number of the newest Apply, and the scopes whose seals
	// were changed by an Apply with a number above since, in any order. It is cheap
	// if there are none. Numbers increase in commit order: once Changes has returned
	// n, no Apply with a number of n or less becomes visible later.
	Changes(ctx context.Context, since int64) (newest int64, scopes []string, err error)

	// Ping returns nil only if the next Apply can be expected to succeed. To find out,
	// it makes a small write of its own durable, which waits for other writers as Apply
	// does. No other method shows that write, and it does not count as a change.
	Ping(ctx context.Context) error
}

// Query selects the rows to read. It names a token or a scope. SealsOnly leaves rows out
// of the [Snapshot], and each other field adds rows to it. By default, none of them is
// set.
type Query struct {
	// Token is a token id: it selects the token's row and the path of its scope.
	Token string
	// Scope selects its path. It is ignored if Token is set.
	Scope string
	// SealsOnly leaves out keys, secrets, revoked tokens and documents.
	SealsOnly bool
	// Name selects all versions of this secret of the scope itself.
	Name string
	// Tokens selects all tokens of the scope itself.
	Tokens bool
	// Below selects the names of the scopes below the scope.
	Below bool
	// History selects all versions of all secrets of the scope itself.
	History bool
	// Minted selects the rows of integrations for the scopes of the path.
	Minted bool
	// AuditHead selects the newest entry of the tenant's audit chain.
	AuditHead bool
}

// Snapshot is the result of a [Query].
type Snapshot struct {
	// Token is the row of Query.Token. It is nil if Query.Token is empty. It is nil
	// too if there is no such token, and then the rest of the snapshot is empty.
	Token *TokenRow
	// Path holds a state for the scope and each of its ancestors, the tenant first,
	// whether or not rows are stored there.
	Path []ScopeState
	// Keys are the tenant's key records, in any order.
	Keys []keyring.Record
	// Versions are the versions of Query.Name, in ascending order.
	Versions []SecretRow
	// Last is the highest version that Query.Name ever had, including deleted ones.
	Last int64
	// History has every name that the scope ever had, in byte order.
	History []NameHistory
	// Tokens are the tokens of the scope, by creation time and then by id.
	Tokens []TokenRow
	// Below are the scopes below the scope that have a seal, in byte order.
	Below []string
	// AuditHead is nil if the chain is empty.
	AuditHead *AuditRow
}
