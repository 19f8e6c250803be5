package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

// MaxValue is the maximum length of a value, in bytes.
const MaxValue = 64 << 10

// PutOptions are the attributes and conditions of a value. The zero value of each
// field means its default.
type PutOptions struct {
	// Kind is the issuer of the value, such as "anthropic". Default: that of the
	// previous version.
	Kind string
	// Comment describes the version to administrators: at most 1024 bytes of UTF-8
	// without control characters, and no secrets. Default: that of the previous version.
	Comment string
	// Expires is when the value expires. Default: never; for a value that is
	// already active, unchanged.
	Expires time.Time
	// Delivery is how jobs receive the value. Default: that of the previous
	// version, or bundle.DeliverEnv.
	Delivery bundle.Delivery
	// IfVersion makes Put fail with [ErrConflict] unless this version is active,
	// or for [IfAbsent] unless the secret does not exist. Default: 0, no
	// condition.
	IfVersion int64
	// AllowTrailingNewline accepts a value that ends in a line break, as PEM
	// files do. Default: false, the platform rejects such a value as a paste
	// error.
	AllowTrailingNewline bool
}

// IfAbsent is the PutOptions.IfVersion for a secret that must not exist yet.
const IfAbsent = -1

// putBody contains plaintext.
type putBody struct {
	Value string `json:"value"`
	api.PutSecret
}

// List returns the secrets and tombstones of a scope, by name, without inherited
// ones.
func (c *Client) List(ctx context.Context, scope string) ([]api.Secret, error) {
	var answer api.SecretList
	err := c.inScope(ctx, request{
		doing: "listing secrets", method: http.MethodGet, path: "/v1/secrets", sound: func() bool { return answer.Secrets != nil },
	}, scope, &answer)
	return answer.Secrets, err
}

// Info returns the active version of a secret of the scope, not an inherited one. It
// returns [ErrNotFound] if there is none.
func (c *Client) Info(ctx context.Context, scope, name string) (api.Secret, error) {
	return c.secret(ctx, request{doing: "showing", method: http.MethodGet}, scope, name, "")
}

// Put stores value as a new version of a secret and activates it. If the value is
// already active, Put changes nothing unless opts changes its attributes. opts may
// be nil.
func (c *Client) Put(ctx context.Context, scope, name string, value bundle.Value, opts *PutOptions) (api.Secret, error) {
	if opts == nil {
		opts = &PutOptions{}
	}
	text := value.Reveal()
	r := request{doing: "putting", method: http.MethodPut, secret: text, header: http.Header{}, body: putBody{
		text, api.PutSecret{Kind: opts.Kind, Comment: opts.Comment, Expires: opts.Expires, Delivery: opts.Delivery, AllowTrailingNewline: opts.AllowTrailingNewline},
	}}
	err := bundle.CheckValue(value) // encoding/json would change it
	switch {
	case err != nil:
	case len(text) > MaxValue:
		err = fmt.Errorf("the value has %d bytes; at most %d are allowed", len(text), MaxValue)
	case opts.IfVersion == IfAbsent:
		r.header.Set("If-None-Match", "*")
	case opts.IfVersion < 0:
		err = &bundle.Fault{Problem: fmt.Sprintf("PutOptions.{admin.PutOptions.IfVersion} is %d", opts.IfVersion), Setting: "admin.PutOptions.IfVersion", Fix: "use a version, IfAbsent or 0"}
	case opts.IfVersion > 0:
		r.header.Set("If-Match", wire.ETag(strconv.FormatInt(opts.IfVersion, 10)))
	}
	if err != nil {
		return api.Secret{}, fmt.Errorf("putting secret %s in scope %s: %w", clip(name), clip(scope), err)
	}
	return c.secret(ctx, r, scope, name, "")
}

// Delete removes a secret with all of its versions, or a tombstone. Runners then get
// the inherited secret of this name, if any. Delete cannot be undone.
func (c *Client) Delete(ctx context.Context, scope, name string) error {
	return c.ofSecret(ctx, request{doing: "deleting", method: http.MethodDelete}, scope, name, "", nil)
}

// History returns the retained versions of a secret, newest first.
func (c *Client) History(ctx context.Context, scope, name string) ([]api.Secret, error) {
	var answer api.VersionList
	err := c.ofSecret(ctx, request{
		doing: "listing the versions of", method: http.MethodGet, sound: func() bool { return answer.Versions != nil },
	}, scope, name, "/versions", &answer)
	return answer.Versions, err
}

// Activate makes another version of a secret active. The platform rejects an expired
// version.
func (c *Client) Activate(ctx context.Context, scope, name string, version int64) (api.Secret, error) {
	body := api.ActivateSecret{Version: &version}
	return c.secret(ctx, request{doing: "activating a version of", method: http.MethodPost, body: body}, scope, name, "/activate")
}

// Hide makes a tombstone the active version: runners of the scope and its
// descendants get no secret of this name, not even an inherited one.
func (c *Client) Hide(ctx context.Context, scope, name string) (api.Secret, error) {
	return c.secret(ctx, request{doing: "hiding", method: http.MethodPost}, scope, name, "/hide")
}

// secret sends r to a path below a secret, for one of its versions.
func (c *Client) secret(ctx context.Context, r request, scope, name, below string) (api.Secret, error) {
	var answer api.Secret
	r.sound = func() bool { return answer.Scope == scope && answer.Name == name && answer.Version > 0 }
	if err := c.ofSecret(ctx, r, scope, name, below, &answer); err != nil {
		return api.Secret{}, err
	}
	return answer, nil
}

// ofSecret sends r to a path below a secret, whose name it adds to doing.
func (c *Client) ofSecret(ctx context.Context, r request, scope, name, below string, answer any) error {
	r.doing += " secret " + clip(name)
	if wire.HoldsToken(name) { // it would be in the URL, which is logged
		return fmt.Errorf("%s: the name holds a token, or a part of one; use another name", r.doing)
	}
	if err := bundle.CheckName(name); err != nil {
		return fmt.Errorf("%s in scope %s: %w", r.doing, clip(scope), err)
	}
	r.path = "/v1/secrets/" + name + below
	return c.inScope(ctx, r, scope, answer)
}

// inScope sends r for a scope, which it adds to doing.
func (c *Client) inScope(ctx context.Context, r request, scope string, answer any) error {
	r.doing += " in scope " + clip(scope)
	if err := checkScope(scope); err != nil {
		return fmt.Errorf("%s: %w", r.doing, err)
	}
	return c.with(ctx, r, "scope", scope, answer)
}

// with sends r with a parameter of the query.
func (c *Client) with(ctx context.Context, r request, name, value string, answer any) error {
	if r.query == nil {
		r.query = url.Values{}
	}
	r.query.Set(name, value)
	return c.do(ctx, r, answer)
}
