package admin

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/api"
)

// Readiness returns the state of each secret that runners of a scope require, by
// name.
func (c *Client) Readiness(ctx context.Context, scope string) (api.Readiness, error) {
	var answer api.Readiness
	err := c.inScope(ctx, request{
		doing: "reading the readiness", method: http.MethodGet, path: "/v1/readiness", sound: func() bool { return answer.Scope == scope && answer.Items != nil },
	}, scope, &answer)
	if err != nil {
		return api.Readiness{}, err
	}
	return answer, nil
}

// Integrations returns the state of the integrations of a scope and its ancestors,
// by name.
func (c *Client) Integrations(ctx context.Context, scope string) ([]api.Integration, error) {
	var answer api.IntegrationList
	err := c.inScope(ctx, request{
		doing: "listing integrations", method: http.MethodGet, path: "/v1/integrations", sound: func() bool { return answer.Integrations != nil },
	}, scope, &answer)
	return answer.Integrations, err
}

// Tenants returns the tenants in which the caller administers a scope, in byte order.
func (c *Client) Tenants(ctx context.Context) ([]string, error) {
	var answer api.TenantList
	err := c.do(ctx, request{
		doing: "listing tenants", method: http.MethodGet, path: "/v1/tenants", sound: func() bool { return answer.Tenants != nil },
	}, &answer)
	return answer.Tenants, err
}

// Scopes returns the scopes at and below a scope in which something was ever stored, in
// byte order.
func (c *Client) Scopes(ctx context.Context, scope string) ([]string, error) {
	var answer api.ScopeList
	err := c.inScope(ctx, request{
		doing: "listing scopes", method: http.MethodGet, path: "/v1/scopes", sound: func() bool { return answer.Scopes != nil },
	}, scope, &answer)
	return answer.Scopes, err
}

var tenantPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

var scopePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}(/[a-z0-9][a-z0-9_-]{0,62}){0,7}$`)

// checkScope validates a scope before it becomes part of a URL.
func checkScope(scope string) error {
	if !scopePattern.MatchString(scope) {
		return errors.New("invalid scope; write it like acme/web/pool-a, with 1 to 8 segments of a-z, 0-9, - and _")
	}
	return nil
}

// clip shortens arbitrary text for an error.
func clip(s string) string { return wire.Text(text.Clip(s, bundle.MaxName, 19), bundle.MaxName) }
