package store

import "github.com/satchelhq/satchel/keyring"

// Change is one atomic write. Its parts are applied together, in the order of
// the fields; the expectations are those of Keys, Seals, Mint, StartAudit and
// Append, and that no inserted row exists.
type Change struct {
	// Keys inserts or replaces key records, and Seals replaces the seals of
	// scopes.
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
	// that they are empty, and has no effect on later changes.
	StartAudit []AuditRef
	// Append adds entries to audit chains. Each expects to follow the newest
	// of its chain, or to be the first of an empty one, which is number 1
	// unless StartAudit says otherwise.
	Append []AuditRow
	// DropAudit removes the entries of a tenant's chain up to and including a
	// number, but never the newest.
	DropAudit []AuditRef
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
	// New is the record of a data key, which [KeyID] identifies among those of
	// the tenant. Old is the record of that key that it replaces; nil means that
	// there must be none.
	Old, New keyring.Record
	// First expects that the tenant has no record of any key. Old is then nil.
	First bool
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
