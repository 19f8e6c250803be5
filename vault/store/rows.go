package store

import "time"

// NameHistory holds all stored versions of one name.
type NameHistory struct {
	// Name is the name of the secret.
	Name string
	// Active is the number of the active version, or 0 if there is none.
	Active int64
	// Last is the highest version that the name ever had, including deleted ones.
	Last int64
	// Versions are the stored versions in ascending order.
	Versions []SecretRow
}

// ScopeState holds the stored rows of one scope.
type ScopeState struct {
	// Scope is the path of the scope.
	Scope string
	// Seal is nil if the scope has no seal.
	Seal []byte
	// Secrets are the active versions, including tombstones, in byte order of their
	// names.
	Secrets []SecretRow
	// Revoked are the scope's revoked tokens, in byte order of their ids.
	Revoked []RevokedRow
	// Docs are the documents of the scope with the flag Sealed, in byte order of their
	// spaces and then of their keys.
	Docs []Doc
	// Minted are the rows of integrations for this scope, in byte order of the
	// integrations' names.
	Minted []MintedRow
}

// SecretRow is one version of a secret, or of a tombstone that hides an inherited
// secret. The MAC covers the fields above it, except KeyID.
type SecretRow struct {
	// Scope and Name identify the secret.
	Scope, Name string
	// Version counts from 1 per name and is never reused.
	Version int64
	// Hidden marks a tombstone. Message and Preview are then empty.
	Hidden bool
	// Kind is the issuer of the value.
	Kind string
	// Delivery is how jobs receive the value.
	Delivery string
	// Author is the actor who wrote the version.
	Author string
	// Comment describes the version to administrators.
	Comment string
	// Hosts lists the hosts that a brokered value may be sent to, separated by commas.
	Hosts string
	// Created is the creation time of the name's first version.
	Created time.Time
	// Rotated is the creation time of this version, or zero if it is the first.
	Rotated time.Time
	// Expires is zero if the value does not expire.
	Expires time.Time
	// KeyID identifies the data key of MAC, Message and Preview.
	KeyID [16]byte
	// Message is the encrypted value, an SKM message of docs/format.md.
	Message []byte
	// Preview is the encrypted masked form of the value, an SKM message too.
	Preview []byte
	// MAC authenticates the row.
	MAC [32]byte
	// LastUsed is the time of the last recorded use. It belongs to the secret, so
	// all versions show the same. Only Touch sets it, and Delete clears it.
	LastUsed time.Time
	// LastToken is the id of the token of that use.
	LastToken string
}

// TokenRow is one runner token. The token itself is not stored. The MAC covers the
// fields above it, except KeyID.
type TokenRow struct {
	// ID is unique in the whole store.
	ID string
	// Hash is the SHA-256 hash of the token.
	Hash [32]byte
	// Scope is the scope whose bundle the token gives access to.
	Scope string
	// Created is the time of issue.
	Created time.Time
	// Expires is zero if the token does not expire.
	Expires time.Time
	// RotateBy is the time by which the token should be replaced, or zero.
	RotateBy time.Time
	// Generation is the token generation of the scope, which rises when revoked tokens
	// are dropped.
	Generation int64
	// Label describes the token to administrators.
	Label string
	// Waived lists the required secrets that the runner does not need, separated by
	// commas.
	Waived string
	// Thumbprint identifies the key that the token is bound to. It is empty if the
	// token is not bound.
	Thumbprint string
	// KeyID identifies the data key of MAC.
	KeyID [16]byte
	// MAC authenticates the row.
	MAC [32]byte
	// Author is the actor who issued the token.
	Author string
	// Revoked is the time of revocation, which may be in the future, or zero. The
	// scope's seal covers it, see [RevokedRow].
	Revoked time.Time
	// RevokedBy is the actor who revoked the token.
	RevokedBy string
	// LastUsed is the time of the last recorded use. Only Touch sets it.
	LastUsed time.Time
	// LastAddr is the network address of that use.
	LastAddr string
	// LastRunner is the runner of that use.
	LastRunner string
}

// RevokedRow is the part of a revoked token that the scope's seal covers.
type RevokedRow struct {
	// ID is the id of the token.
	ID string
	// Revoked is the time at which the token is revoked. It may be in the future.
	Revoked time.Time
	// RevokedBy is the actor who revoked the token.
	RevokedBy string
}

// MintedRow holds the secrets that an integration minted last for a scope.
type MintedRow struct {
	// Scope and Integration identify the row.
	Scope, Integration string
	// Identity differs with every minting. It is not empty in a stored row.
	Identity string
	// Minted is the time of minting.
	Minted time.Time
	// Expires is zero if the secrets do not expire.
	Expires time.Time
	// Message is the encrypted bundle, an SKM message of docs/format.md.
	Message []byte
}

// AuditRow is one entry of a tenant's audit chain.
type AuditRow struct {
	// Tenant is the tenant whose chain it is.
	Tenant string
	// Seq is the number of the entry. Numbers have no gaps.
	Seq int64
	// Entry is the encoded entry.
	Entry []byte
	// KeyID identifies the data key of MAC.
	KeyID [16]byte
	// MAC authenticates the entry and its predecessors.
	MAC [32]byte
}

// Usage is one use of a token, or one use of a secret if Name is set.
type Usage struct {
	// Token is the id of the token.
	Token string
	// Time is the time of the use.
	Time time.Time
	// Addr is the network address of the token's user.
	Addr string
	// Runner is the name of the token's user.
	Runner string
	// Scope and Name identify the secret. They are empty for the use of a token.
	Scope, Name string
}
