package admin

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

// AdministratorOptions are the permissions of a new administrator.
type AdministratorOptions struct {
	// Scopes are the subtrees that the administrator may administer; "*" covers every
	// scope. At least one, at most 100. Required.
	Scopes []string
	// Role is the set of operations. Default: api.RoleAdministrator.
	Role api.Role
	// Expires is when the token expires. Default: never.
	Expires time.Time
}

// newAdministrator is a response with the token of an administrator.
type newAdministrator struct {
	Token secret            `json:"token"`
	Info  api.Administrator `json:"info"`
}

// Administrators returns the named administrators, sorted by name. The caller must
// administer all scopes, as for the other methods about administrators.
func (c *Client) Administrators(ctx context.Context) ([]api.Administrator, error) {
	var answer api.AdministratorList
	err := c.do(ctx, request{
		doing: "listing administrators", method: http.MethodGet, path: "/v1/administrators", sound: func() bool { return answer.Administrators != nil },
	}, &answer)
	return answer.Administrators, err
}

// AddAdministrator adds a named administrator and returns their token, which the platform
// cannot show again. It returns [ErrConflict] if the name exists.
func (c *Client) AddAdministrator(ctx context.Context, name string, opts *AdministratorOptions) (bundle.Value, api.Administrator, error) {
	if opts == nil {
		opts = &AdministratorOptions{}
	}
	body := api.AddAdministrator{Name: name, Scopes: opts.Scopes, Role: opts.Role, Expires: opts.Expires}
	return c.newAdministrator(ctx, request{doing: "adding", method: http.MethodPost, path: "/v1/administrators", body: body}, name)
}

// RotateAdministrator replaces the token of an administrator. The old token ends
// immediately. A zero expires gives the new token the lifetime of the old one. It returns
// [ErrNotFound] if there is no such administrator.
func (c *Client) RotateAdministrator(ctx context.Context, name string, expires time.Time) (bundle.Value, api.Administrator, error) {
	body := api.RotateAdministrator{Expires: expires}
	return c.newAdministrator(ctx, request{doing: "rotating the token of", method: http.MethodPost, path: "/v1/administrators/" + name + "/rotate", body: body}, name)
}

// RemoveAdministrator removes an administrator, whose token is refused from the next
// request on. It returns [ErrNotFound] if there is no such administrator.
func (c *Client) RemoveAdministrator(ctx context.Context, name string) error {
	return c.ofAdministrator(ctx, request{doing: "removing", method: http.MethodDelete, path: "/v1/administrators/" + name}, name, nil)
}

func (c *Client) newAdministrator(ctx context.Context, r request, name string) (bundle.Value, api.Administrator, error) {
	var answer newAdministrator
	r.sound = func() bool {
		id, err := wire.ParseAdminToken(string(answer.Token))
		return err == nil && id == answer.Info.TokenID && answer.Info.Name == name
	}
	if err := c.ofAdministrator(ctx, r, name, &answer); err != nil {
		return bundle.Value{}, api.Administrator{}, err
	}
	return bundle.NewValue(string(answer.Token)), answer.Info, nil
}

var administratorName = regexp.MustCompile(`^[a-z0-9._@+-]{1,64}$`)

// ofAdministrator sends r for an administrator, whose name it adds to doing.
func (c *Client) ofAdministrator(ctx context.Context, r request, name string, answer any) error {
	// A token must appear neither in the URL nor in the error.
	if !administratorName.MatchString(name) || wire.HoldsToken(name) || name == "." || name == ".." {
		return fmt.Errorf("%s an administrator: invalid name; want 1 to 64 characters from a-z, 0-9 and . _ @ + -", r.doing)
	}
	r.doing += " administrator " + name
	return c.do(ctx, r, answer)
}
