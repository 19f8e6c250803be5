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

// MaxValue is the longest value that a platform takes, in bytes.
const MaxValue = 64 << 10

// PutOptions say more about a value. The zero value of each field means its
// default.
type PutOptions struct {
	// Kind is who issued the value, such as "anthropic". Default: that of the
	// version before.
	Kind string
	// Expires is when the value ends. Default: it does not; for the value that
	// is active already, as before.
	Expires time.Time
	// Delivery is how jobs get the value. Default: that of the version
	// before, or bundle.DeliverEnv.
	Delivery bundle.Delivery
	// IfVersion makes Put fail with [ErrConflict] unless this version is the
	// active one; [IfAbsent], unless there is none. Default: no condition.
	IfVersion int64
	// AllowTrailingNewline accepts a value that ends in a line break, as PEM
	// files do. Default: the platform refuses such a value, because it is the
	// usual mistake in pasting.
	AllowTrailingNewline bool
}

// IfAbsent is the PutOptions.IfVersion of a secret that must not exist.
const IfAbsent = -1

// putBody holds plaintext.
type putBody struct {
	Value string `json:"value"`
	api.PutSecret
}

// List returns the secrets and tombstones of a scope itself, by name.
func (c *Client) List(ctx context.Context, scope string) ([]api.Secret, error) {
	var answer api.SecretList
	err := c.inScope(ctx, request{
		doing: "listing secrets", method: http.MethodGet, path: "/v1/secrets", sound: func() bool { return answer.Secrets != nil },
	}, scope, &answer)
	return answer.Secrets, err
}

// Info returns the active version of a secret of the scope itself, or an error
// that is [ErrNotFound].
func (c *Client) Info(ctx context.Context, scope, name string) (api.Secret, error) {
	return c.secret(ctx, request{doing: "showing", method: http.MethodGet}, scope, name, "")
}

// Put stores value as the next version of a secret and makes it the active
// one. Putting the value that is active already changes nothing, unless opts
// changes what is said about it. opts may be nil.
func (c *Client) Put(ctx context.Context, scope, name string, value bundle.Value, opts *PutOptions) (api.Secret, error) {
	if opts == nil {
		opts = &PutOptions{}
	}
	text := value.Reveal()
	r := request{doing: "putting", method: http.MethodPut, secret: text, header: http.Header{}, body: putBody{
		text, api.PutSecret{Kind: opts.Kind, Expires: opts.Expires, Delivery: opts.Delivery, AllowTrailingNewline: opts.AllowTrailingNewline},
	}}
	err := bundle.CheckValue(value) // encoding/json would change it
	switch {
	case err != nil:
	case len(text) > MaxValue:
		err = fmt.Errorf("the value has %d bytes; the limit is %d", len(text), MaxValue)
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

// Delete removes a secret with all of its versions, or a tombstone: runners
// get what they inherit under the name, if anything. This cannot be undone.
func (c *Client) Delete(ctx context.Context, scope, name string) error {
	return c.ofSecret(ctx, request{doing: "deleting", method: http.MethodDelete}, scope, name, "", nil)
}

// History returns the versions of a secret that the platform still has, newest
// first.
func (c *Client) History(ctx context.Context, scope, name string) ([]api.Secret, error) {
	var answer api.VersionList
	err := c.ofSecret(ctx, request{
		doing: "listing the versions of", method: http.MethodGet, sound: func() bool { return answer.Versions != nil },
	}, scope, name, "/versions", &answer)
	return answer.Versions, err
}

// Activate makes an earlier or later version of a secret the active one. A
// version that has expired is refused.
func (c *Client) Activate(ctx context.Context, scope, name string, version int64) (api.Secret, error) {
	body := api.ActivateSecret{Version: &version}
	return c.secret(ctx, request{doing: "activating a version of", method: http.MethodPost, body: body}, scope, name, "/activate")
}

// Hide makes a tombstone the active version: runners of the scope, and of
// those below it, get no secret of this name, not even an inherited one.
func (c *Client) Hide(ctx context.Context, scope, name string) (api.Secret, error) {
	return c.secret(ctx, request{doing: "hiding", method: http.MethodPost}, scope, name, "/hide")
}

// secret asks r below the path of a secret, for one of its versions.
func (c *Client) secret(ctx context.Context, r request, scope, name, below string) (api.Secret, error) {
	var answer api.Secret
	r.sound = func() bool { return answer.Scope == scope && answer.Name == name && answer.Version > 0 }
	if err := c.ofSecret(ctx, r, scope, name, below, &answer); err != nil {
		return api.Secret{}, err
	}
	return answer, nil
}

// ofSecret asks r below the path of a secret. It adds what to doing.
func (c *Client) ofSecret(ctx context.Context, r request, scope, name, below string, answer any) error {
	r.doing += " secret " + clip(name)
	if err := bundle.CheckName(name); err != nil {
		return fmt.Errorf("%s in scope %s: %w", r.doing, clip(scope), err)
	}
	r.path = "/v1/secrets/" + name + below
	return c.inScope(ctx, r, scope, answer)
}

// inScope asks r about a scope. It adds the scope to doing.
func (c *Client) inScope(ctx context.Context, r request, scope string, answer any) error {
	r.doing += " in scope " + clip(scope)
	if err := checkScope(scope); err != nil {
		return fmt.Errorf("%s: %w", r.doing, err)
	}
	r.query = url.Values{"scope": {scope}}
	return c.do(ctx, r, answer)
}
