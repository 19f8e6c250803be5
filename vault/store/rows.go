package store

import "time"

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

// Usage is the use of a token, or of a secret by a token if Name is set.
type Usage struct {
	Token string
	Time  time.Time
	// Addr and Runner say who used the token.
	Addr, Runner string
	// Scope and Name are the secret's.
	Scope, Name string
}
