package api

import (
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Secret describes one version of a secret, without its value.
type Secret struct {
	// Scope is the scope that stores the version.
	Scope string `json:"scope"`
	// Name is the name of the secret.
	Name string `json:"name"`
	// Kind is the issuer of the value, such as "anthropic", or empty.
	Kind string `json:"kind,omitempty"`
	// Version is the number of the version, starting at 1.
	Version int64 `json:"version"`
	// Active is true if runners get this version.
	Active bool `json:"active"`
	// Hidden is true if this version is a tombstone, which hides the inherited secret
	// of this name from the runners of the scope.
	Hidden bool `json:"hidden"`
	// Preview is the masked value; see [bundle.Value.Preview]. It is empty for a
	// tombstone.
	Preview string `json:"preview,omitempty"`
	// Created is the time at which the first version of the name was stored.
	Created time.Time `json:"created_at"`
	// Rotated is the time at which this version replaced another. It is zero for the
	// first version.
	Rotated time.Time `json:"rotated_at,omitzero"`
	// Expires is the expiry time of the value, or zero if it does not expire.
	Expires time.Time `json:"expires_at,omitzero"`
	// Delivery is how jobs get the value.
	Delivery bundle.Delivery `json:"delivery"`
	// Comment describes the version to administrators. It is empty if there is none.
	Comment string `json:"comment,omitempty"`
	// Author is the actor who wrote this version, or empty.
	Author string `json:"author,omitempty"`
	// LastUsed is the time at which a runner last received the secret, or zero. A
	// process stores its uses every 10 to 30 seconds, and shows its own immediately.
	LastUsed time.Time `json:"last_used_at,omitzero"`
	// LastToken is the id of the runner token of the last use, or empty.
	LastToken string `json:"last_token,omitempty"`
}

// SecretList is the response to GET /v1/secrets.
type SecretList struct {
	// Secrets is never null in a response.
	Secrets []Secret `json:"secrets"`
}

// VersionList is the response to GET /v1/secrets/{name}/versions.
type VersionList struct {
	// Versions are sorted from the newest to the oldest, and never null in a response.
	Versions []Secret `json:"versions"`
}

// PutSecret is the body of PUT /v1/secrets/{name} without its member "value". That
// member is plaintext, so the client and the server add it where they encode and
// decode the body.
type PutSecret struct {
	// Kind is the issuer of the value: at most 64 bytes without control characters or
	// tokens. Default: the kind of the active version.
	Kind string `json:"kind,omitempty"`
	// Comment describes the version to administrators: at most 1024 bytes without
	// control characters. Default: the comment of the active version.
	Comment string `json:"comment,omitempty"`
	// Expires is the expiry time of the value, in the future. Default: the value does
	// not expire, or keeps its expiry if it is the active value already.
	Expires time.Time `json:"expires_at,omitzero"`
	// Delivery is how jobs get the value. Default: the delivery of the active
	// version, or bundle.DeliverEnv.
	Delivery bundle.Delivery `json:"delivery,omitempty"`
	// AllowTrailingNewline accepts a value that ends in a line break. Default: such a
	// value is refused.
	AllowTrailingNewline bool `json:"allow_trailing_newline,omitempty"`
}

// ActivateSecret is the body of POST /v1/secrets/{name}/activate.
type ActivateSecret struct {
	// Version is the stored version to activate. A body without it is refused; the
	// field is nil then.
	Version *int64 `json:"version"`
}
