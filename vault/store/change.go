package store

import "github.com/satchelhq/satchel/keyring"

// Change is one atomic write. [Store] applies its parts together, in the order of the
// fields. Keys, Seals, Insert, Issue, Mint, Docs, StartAudit and Append carry
// expectations: if one does not hold, Apply returns [ErrConflict]. Empty fields change
// nothing.
type Change struct {
	// Keys inserts or replaces key records.
	Keys []KeyChange
	// Seals replaces the seals of scopes.
	Seals []SealChange
	// Insert adds versions and makes each the active one of its name. It expects
	// that none of them exists.
	Insert []SecretRow
	// Activate makes a stored version the active one. Apply fails if there is no
	// such version.
	Activate []VersionRef
	// Prune removes the versions of a name below Version, except the active one.
	Prune []VersionRef
	// Delete removes all versions of these names. The store remembers the highest
	// version of each.
	Delete []NameRef
	// Issue adds tokens. It expects that none of their ids exists in any scope.
	Issue []TokenRow
	// Revoke sets the time of revocation of tokens and its author, also if they
	// are already revoked. Apply fails if there is no such token.
	Revoke []RevokedRow
	// Reseal replaces KeyID, Message, Preview and MAC of stored versions. Apply
	// fails if there is no such version.
	Reseal []SecretRow
	// Remac replaces Generation, KeyID and MAC of stored tokens. Apply fails if there
	// is no such token.
	Remac []TokenRow
	// DropTokens removes tokens with their revocations. Apply fails if there is no
	// such token in the scope.
	DropTokens []TokenRef
	// Mint replaces rows of integrations.
	Mint []MintChange
	// Docs inserts, replaces and removes documents.
	Docs []DocChange
	// ExpireDocs removes documents that have expired.
	ExpireDocs []DocExpiry
	// StartAudit makes the chains that this change begins start after the given
	// number instead of with 1, as chains do that were shortened elsewhere. It
	// expects that these chains are empty, and has no effect on later changes.
	StartAudit []AuditRef
	// Append adds entries to audit chains. Each entry is expected to follow the
	// newest of its chain, or to be the first of an empty chain: number 1, or the
	// one after the number in StartAudit.
	Append []AuditRow
	// DropAudit removes the entries of a tenant's chain up to and including a
	// number, but never the newest entry.
	DropAudit []AuditRef
}

// MintChange replaces the row of an integration for a scope.
type MintChange struct {
	// Old is the expected Identity of the stored row; empty means that there is no
	// row.
	Old string
	// New replaces the row of its Scope and Integration. If its Identity is empty,
	// the stored row is removed.
	New MintedRow
}

// AuditRef names an entry of a tenant's audit chain.
type AuditRef struct {
	// Tenant is the tenant whose chain it is.
	Tenant string
	// Seq is the number of the entry.
	Seq int64
}

// KeyChange inserts or replaces a key record of a tenant.
type KeyChange struct {
	// Tenant is the tenant whose data key it is.
	Tenant string
	// Old is the expected record of the same data key, which New replaces. Nil
	// means that there is no record of that key.
	Old keyring.Record
	// New is the record of a data key. [KeyID] identifies it among the records of
	// the tenant.
	New keyring.Record
	// First expects that the tenant has no record of any key. Old is then nil.
	First bool
}

// SealChange replaces the seal of a scope.
type SealChange struct {
	// Scope is the scope whose seal it is.
	Scope string
	// Old is the expected seal; nil means that the scope has no seal.
	Old []byte
	// New is the next seal.
	New []byte
}

// NameRef names a secret.
type NameRef struct {
	// Scope and Name identify the secret.
	Scope, Name string
}

// TokenRef names a token.
type TokenRef struct {
	// Scope is the scope of the token.
	Scope string
	// ID is the id of the token.
	ID string
}

// VersionRef names one version of a secret.
type VersionRef struct {
	// Scope and Name identify the secret.
	Scope, Name string
	// Version is the number of the version.
	Version int64
}
