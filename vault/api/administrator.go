package api

import "time"

// Role is the set of operations that an administrator may use in their scopes.
type Role string

const (
	// RoleAdministrator may use every operation.
	RoleAdministrator Role = "administrator"
	// RoleReadOnly may use only operations that change nothing.
	RoleReadOnly Role = "read-only"
)

// Administrator is a named administrator, without the token.
type Administrator struct {
	// Name identifies the administrator, and is the actor of their audit entries.
	Name string `json:"name"`
	// Scopes are the subtrees that the administrator may administer; "*" covers every
	// scope.
	Scopes []string `json:"scopes"`
	// Role is the set of operations.
	Role Role `json:"role"`
	// TokenID identifies the administrator's token. It is no secret.
	TokenID string `json:"token_id"`
	// Created is when the administrator was added.
	Created time.Time `json:"created_at"`
	// Rotated is when the current token replaced the previous one, or zero.
	Rotated time.Time `json:"rotated_at,omitzero"`
	// Expires is when the token expires, or zero.
	Expires time.Time `json:"expires_at,omitzero"`
	// Author is the actor who added the administrator.
	Author string `json:"author,omitempty"`
}

// AdministratorList is the response to GET /v1/administrators.
type AdministratorList struct {
	// Administrators are sorted by name, and never null in a response.
	Administrators []Administrator `json:"administrators"`
}

// AddAdministrator is the body of POST /v1/administrators.
type AddAdministrator struct {
	// Name is 1 to 64 characters from a-z, 0-9 and . _ @ + -, such as an email
	// address.
	Name string `json:"name"`
	// Scopes are 1 to 100 scopes, or "*" for all.
	Scopes []string `json:"scopes"`
	// Role is the set of operations. Default: RoleAdministrator.
	Role Role `json:"role,omitempty"`
	// Expires is the expiry time of the token, in the future. Default: never.
	Expires time.Time `json:"expires_at,omitzero"`
}

// RotateAdministrator is the body of POST /v1/administrators/{name}/rotate.
type RotateAdministrator struct {
	// Expires is the expiry time of the new token. Default: the new token has the same
	// lifetime as the old one, or no expiry if that has none.
	Expires time.Time `json:"expires_at,omitzero"`
}
