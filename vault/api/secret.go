package api

import (
	"time"

	"github.com/satchelhq/satchel/bundle"
)

// Secret is what an administrator sees of a version of a secret: everything but
// its value.
type Secret struct {
	// Scope is the scope that the version is stored in, and Name the secret's name.
	Scope string `json:"scope"`
	Name  string `json:"name"`
	// Kind is who issued the value, such as "anthropic". It may be empty.
	Kind string `json:"kind,omitempty"`
	// Version counts from 1.
	Version int64 `json:"version"`
	// Active says that this version is the one that runners get.
	Active bool `json:"active"`
	// Hidden says that this version is a tombstone: runners of the scope do
	// not get the secret that they would inherit under this name.
	Hidden bool `json:"hidden"`
	// Preview is the masked form of the value; see [bundle.Value.Preview]. It is
	// empty for a tombstone.
	Preview string `json:"preview,omitempty"`
	// Created is when the name got its first version, Rotated when this
	// version replaced another. Rotated is zero for the first.
	Created time.Time `json:"created_at"`
	Rotated time.Time `json:"rotated_at,omitzero"`
	// Expires is when the value ends, or zero if it does not.
	Expires time.Time `json:"expires_at,omitzero"`
	// Delivery is how jobs get the value.
	Delivery bundle.Delivery `json:"delivery"`
	// Author is who wrote this version. It may be empty.
	Author string `json:"author,omitempty"`
	// LastUsed is when a runner last received the secret, to about ten
	// seconds, or zero, and LastToken is the id of the token that it showed.
	LastUsed  time.Time `json:"last_used_at,omitzero"`
	LastToken string    `json:"last_token,omitempty"`
}

// SecretList is the answer to GET /v1/secrets.
type SecretList struct {
	// Secrets is never null in an answer.
	Secrets []Secret `json:"secrets"`
}

// VersionList is the answer to GET /v1/secrets/{name}/versions.
type VersionList struct {
	// Versions are the newest first, and never null in an answer.
	Versions []Secret `json:"versions"`
}

// PutSecret is the body of PUT /v1/secrets/{name} but for its member "value",
// which is plaintext: each side adds it where it sends or reads the body.
type PutSecret struct {
	// Kind is who issued the value: at most 64 bytes without control characters.
	// Default: that of the version before.
	Kind string `json:"kind,omitempty"`
	// Expires is when the value ends, a time to come. Default: it does not; for
	// the value that is active already, as before.
	Expires time.Time `json:"expires_at,omitzero"`
	// Delivery is how jobs get the value. Default: that of the version before, or
	// bundle.DeliverEnv.
	Delivery bundle.Delivery `json:"delivery,omitempty"`
	// AllowTrailingNewline accepts a value that ends in a line break. Default: it
	// is refused.
	AllowTrailingNewline bool `json:"allow_trailing_newline,omitempty"`
}

// ActivateSecret is the body of POST /v1/secrets/{name}/activate.
type ActivateSecret struct {
	// Version is the stored version that runners get from then on. It is nil if
	// the body does not have it, which is refused.
	Version *int64 `json:"version"`
}
