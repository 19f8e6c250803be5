package vaulthttp

import (
	"reflect"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// AdminRoute is a route for tests.
type AdminRoute struct {
	Method, Path string
	Query        []string // parameters of the query
	Required     string   // the required one, or empty
}

// AdminRoutes returns the routes of an admin handler.
func AdminRoutes() []AdminRoute {
	var out []AdminRoute
	for _, r := range routes {
		route := AdminRoute{Method: r.method, Path: r.path, Query: append([]string(nil), r.query...), Required: r.at.param}
		if r.at.param != "" {
			route.Query = append(route.Query, r.at.param)
		}
		out = append(out, route)
	}
	return out
}

// WireTypes are the types behind the schemas of docs/openapi.yaml.
var WireTypes = map[string]reflect.Type{
	"Problem":             reflect.TypeFor[wire.Refusal](),
	"Secret":              reflect.TypeFor[api.Secret](),
	"SecretList":          reflect.TypeFor[api.SecretList](),
	"VersionList":         reflect.TypeFor[api.VersionList](),
	"PutSecret":           reflect.TypeFor[putBody](),
	"ActivateSecret":      reflect.TypeFor[api.ActivateSecret](),
	"NoMembers":           reflect.TypeFor[noMembers](),
	"Token":               reflect.TypeFor[api.Token](),
	"TokenList":           reflect.TypeFor[api.TokenList](),
	"NewToken":            reflect.TypeFor[newToken](),
	"IssueToken":          reflect.TypeFor[api.IssueToken](),
	"RotateToken":         reflect.TypeFor[api.RotateToken](),
	"Integration":         reflect.TypeFor[api.Integration](),
	"IntegrationList":     reflect.TypeFor[api.IntegrationList](),
	"Readiness":           reflect.TypeFor[api.Readiness](),
	"ReadinessItem":       reflect.TypeFor[api.ReadyItem](),
	"Origin":              reflect.TypeFor[api.Origin](),
	"Administrator":       reflect.TypeFor[api.Administrator](),
	"AdministratorList":   reflect.TypeFor[api.AdministratorList](),
	"AddAdministrator":    reflect.TypeFor[api.AddAdministrator](),
	"RotateAdministrator": reflect.TypeFor[api.RotateAdministrator](),
	"NewAdministrator":    reflect.TypeFor[newAdministrator](),
	"AuditEntry":          reflect.TypeFor[api.AuditEntry](),
	"AuditList":           reflect.TypeFor[api.AuditList](),
	"VerifyAudit":         reflect.TypeFor[api.VerifyAudit](),
	"VerifiedChain":       reflect.TypeFor[api.VerifiedChain](),
	"TenantList":          reflect.TypeFor[api.TenantList](),
	"ScopeList":           reflect.TypeFor[api.ScopeList](),
}

const (
	MaxAdminBody = maxBody
	MostBuckets  = mostBuckets
)

// Limiter is the limiter of a handler.
type Limiter struct{ l *limiter }

// NewLimiter returns the limiter of a handler with opts.
func NewLimiter(opts *Options) *Limiter { return &Limiter{newLimiter(opts)} }

// Ask admits a request with the current revision, or returns the limit that refuses
// it. end settles it.
func (l *Limiter) Ask(addr, token string, waits bool) (end func(error), by LimitKind) {
	p, by, _ := l.l.admit(addr, token, "", waits)
	return func(err error) { l.l.settle(p, "", err) }, by
}

// Accept settles a request whose token was accepted.
func (l *Limiter) Accept(addr, token string) {
	p, _, _ := l.l.admit(addr, token, "", false)
	l.l.settle(p, "", nil)
}

// Fail settles a request without a token.
func (l *Limiter) Fail(addr string) {
	p, _, _ := l.l.admit(addr, "", "", false)
	l.l.settle(p, "", &vault.TokenError{Reason: vault.TokenMissing})
}

// Knows reports whether the token was accepted before.
func (l *Limiter) Knows(token string) bool {
	p, _, _ := l.l.admit("", token, "", false)
	return p.known
}

// Sizes returns the numbers of remembered tokens, addresses and failures.
func (l *Limiter) Sizes() (tokens, addrs, failures int) {
	return len(l.l.tokens.young) + len(l.l.tokens.old), len(l.l.addrs.young) + len(l.l.addrs.old), len(l.l.failures.young) + len(l.l.failures.old)
}
