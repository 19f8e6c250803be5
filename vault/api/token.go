package api

import "time"

// Token is what an administrator sees of a runner's token. The token itself is
// not stored.
type Token struct {
	// ID is the part of the token that names it. It is no secret.
	ID string `json:"id"`
	// Scope is the scope whose bundle runners get for the token.
	Scope string `json:"scope"`
	// Label says what the token is for, and Author is who issued it. Either may
	// be empty.
	Label  string `json:"label,omitempty"`
	Author string `json:"author,omitempty"`
	// Created is when the token was issued.
	Created time.Time `json:"created_at"`
	// Expires is when the token ends and RotateBy when its owner should
	// replace it. Each may be zero.
	Expires  time.Time `json:"expires_at,omitzero"`
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Revoked is when the token was or will be revoked, or zero; RevokedBy is
	// who said so.
	Revoked   time.Time `json:"revoked_at,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	// LastUsed is when the token last fetched a bundle or found it unchanged,
	// to about ten seconds, or zero; LastAddr and LastRunner say who showed it.
	LastUsed   time.Time `json:"last_used_at,omitzero"`
	LastAddr   string    `json:"last_addr,omitempty"`
	LastRunner string    `json:"last_runner,omitempty"`
	// Waived are the required secrets that its runner does without.
	Waived []string `json:"waived,omitempty"`
}

// TokenList is the answer to GET /v1/tokens.
type TokenList struct {
	// Tokens are the oldest first, and never null in an answer.
	Tokens []Token `json:"tokens"`
}

// IssueToken is the body of POST /v1/tokens.
type IssueToken struct {
	// Label says what the token is for: at most 256 bytes without control
	// characters. Default: nothing.
	Label string `json:"label,omitempty"`
	// Expires is when the token ends, a time to come. Default: it does not.
	Expires time.Time `json:"expires_at,omitzero"`
	// RotateBy is when its owner should replace it; runners are told. Default: no
	// hint.
	RotateBy time.Time `json:"rotate_by,omitzero"`
	// Waive are the required secrets that its runner does without, at most 100.
	// Default: none.
	Waive []string `json:"waive,omitempty"`
}

// RotateToken is the body of POST /v1/tokens/{id}/rotate.
type RotateToken struct {
	// OverlapSeconds is for how long both tokens work, from 1 to 7,776,000 (90
	// days). Default: an hour.
	OverlapSeconds *int64 `json:"overlap_seconds,omitempty"`
	// Expires and RotateBy are the new token's, as in [IssueToken]. Default: those
	// of the old one, as long after now as they were after its creation.
	Expires  time.Time `json:"expires_at,omitzero"`
	RotateBy time.Time `json:"rotate_by,omitzero"`
}
