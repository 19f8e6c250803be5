package api

import "time"

// Token describes a runner token. The token itself is not stored.
type Token struct {
	// ID is the part of the token that identifies it. It is not secret.
	ID string `json:"id"`
	// Scope is the scope whose bundle runners get for the token.
	Scope string `json:"scope"`
	// Label describes the purpose of the token, or is empty.
	Label string `json:"label,omitempty"`
	// Author is the actor who issued the token, or empty.
	Author string `json:"author,omitempty"`
	// Created is the time at which the token was issued.
	Created time.Time `json:"created_at"`
	// Expires is the expiry time of the token, or zero if it does not expire.
	Expires time.Time `json:"expires_at,omitzero"`
	// RotateBy is the time by which the owner should replace the token, or zero.
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Revoked is the time from which the token is revoked, which may be in the
	// future, or zero if it is not revoked.
	Revoked time.Time `json:"revoked_at,omitzero"`
	// RevokedBy is the actor who revoked the token, or empty.
	RevokedBy string `json:"revoked_by,omitempty"`
	// LastUsed is the time at which a runner last used the token to fetch a bundle,
	// or to find it unchanged; or zero. It is as current as that of [Secret].
	LastUsed time.Time `json:"last_used_at,omitzero"`
	// LastAddr is the network address of that runner, or empty.
	LastAddr string `json:"last_addr,omitempty"`
	// LastRunner is the name of that runner, or empty.
	LastRunner string `json:"last_runner,omitempty"`
	// Waived are the names of required secrets that the token's runners do not need.
	Waived []string `json:"waived,omitempty"`
}

// TokenList is the response to GET /v1/tokens.
type TokenList struct {
	// Tokens are sorted from the oldest to the newest, and never null in a response.
	Tokens []Token `json:"tokens"`
}

// IssueToken is the body of POST /v1/tokens.
type IssueToken struct {
	// Label describes the purpose of the token: at most 256 bytes without control
	// characters. Default: no label.
	Label string `json:"label,omitempty"`
	// Expires is the expiry time of the token, in the future. Default: the token does
	// not expire.
	Expires time.Time `json:"expires_at,omitzero"`
	// RotateBy is the time by which the owner should replace the token. Runners get
	// it with each bundle. Default: no such time.
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Waive are the names of required secrets that the token's runners do not need,
	// at most 100. Default: none.
	Waive []string `json:"waive,omitempty"`
}

// RotateToken is the body of POST /v1/tokens/{id}/rotate.
type RotateToken struct {
	// OverlapSeconds is the time during which both tokens work, from 1 to 7,776,000
	// (90 days). Default: 3600, an hour.
	OverlapSeconds *int64 `json:"overlap_seconds,omitempty"`
	// Expires is the expiry time of the new token, as in [IssueToken]. Default: that
	// of the old token plus the old token's age.
	Expires time.Time `json:"expires_at,omitzero"`
	// RotateBy is the time by which the owner should replace the new token. Default:
	// that of the old token plus the old token's age.
	RotateBy time.Time `json:"rotate_by,omitzero"`
}
