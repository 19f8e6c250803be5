package vaulthttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/calmlog"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/store"
)

// AdminHeader is the header Satchel-Admin. Every request that changes something
// must have it, with the value "1": forms of other sites cannot send it, and
// browsers do not let scripts of other sites send it.
const AdminHeader = wire.AdminHeader

// AdminOptions configures [Admin]. The zero value of each field means its default.
type AdminOptions struct {
	// AllowPlaintext serves requests without TLS on interfaces other than
	// loopback, for a server behind a proxy that terminates TLS.
	// Default: such requests are refused.
	AllowPlaintext bool
	// RemoteAddr returns the address of the client, for the log, as in
	// [Options]. Default: the address of the connection, without the port.
	RemoteAddr func(*http.Request) string
	// Logger receives refusals and failures, at a bounded rate.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Admin returns the handler of the administrators' API: JSON over HTTP below
// /v1/, described in docs/openapi.yaml. To serve it below a prefix, wrap it in
// http.StripPrefix. opts may be nil. The handler is safe for concurrent use.
//
// No response contains the value of a secret, and a runner token appears only in
// the response that issues or rotates it.
//
// authorize authenticates a request and must not read its body. It may be called
// concurrently. If it returns an error, the response is 401, or 403 for
// [ErrForbidden] and 503 for [ErrUnavailable]. Only the last one is logged; authorize
// should log others where that is safe. Requests for scopes that the actor does not
// cover, and changes by a read-only actor, are refused. A nil authorize refuses every
// request. [Authenticate] returns an authorize function for named administrators.
//
// Other sites cannot use a browser to change anything, even if authorize accepts
// cookies: requests that change something need [AdminHeader] and the content type
// application/json, and no response can be read by another origin.
func Admin(v *vault.Vault, authorize func(*http.Request) (Actor, error), opts *AdminOptions) http.Handler {
	if opts == nil {
		opts = &AdminOptions{}
	}
	if authorize == nil {
		authorize = func(*http.Request) (Actor, error) { return Actor{}, ErrForbidden }
	}
	a := &administrators{
		v:              v,
		authorize:      authorize,
		allowPlaintext: opts.AllowPlaintext,
		remoteAddr:     opts.RemoteAddr,
		log:            calmlog.New(cmp.Or(opts.Logger, slog.Default())),
	}
	a.mux = newMux(a)
	return a
}

type administrators struct {
	v              *vault.Vault
	authorize      func(*http.Request) (Actor, error)
	allowPlaintext bool
	remoteAddr     func(*http.Request) string // or nil
	log            *slog.Logger
	mux            *http.ServeMux
}

// A call is one request in progress.
type call struct {
	*administrators
	w     http.ResponseWriter
	r     *http.Request
	param func(name string) string // of the route's path
	ctx   context.Context          //nolint:containedctx // of r, and of the actor
	actor Actor
	query url.Values
	scope string    // set by the route's place
	token api.Token // set by atToken
	// condition is true if the client sent If-Match or If-None-Match.
	condition bool
}

// refusal is a problem document as an error.
type refusal struct{ wire.Refusal }

func (e *refusal) Error() string { return e.Title }

func requestProblem(status int, title, detail string) error {
	return &refusal{wire.Refusal{Type: wire.RequestProblem, Title: title, Status: status, Detail: detail}}
}

func (a *administrators) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	switch path := r.URL.EscapedPath(); {
	case !a.allowPlaintext && !protected(r):
		refuse(w, needsTLS)
	case hasTokenPattern(r.URL):
		refuse(w, tokenInURL)
	case strings.Contains(path, "%"):
		refuse(w, hasEscapes)
	case !strings.HasPrefix(path, "/") || strings.Contains(path, "//"):
		refuse(w, notFound) // where a ServeMux would redirect
	default:
		a.mux.ServeHTTP(w, forMux(r))
	}
}

// serve responds to a request for a route; see forMux.
func (a *administrators) serve(w http.ResponseWriter, routed *http.Request, to *route) {
	r := routed.Context().Value(routedRequest{}).(*http.Request)
	c := &call{administrators: a, w: w, r: r, param: routed.PathValue, ctx: r.Context()}
	if err := c.answer(to); err != nil {
		c.fail(err)
	}
}

// answer responds to the request, or returns the reason for refusing it.
func (c *call) answer(to *route) error {
	if to.changes() && c.r.Header.Get(AdminHeader) != "1" {
		return &refusal{wire.Refusal{
			Type: wire.NotAllowedProblem, Title: "Missing " + AdminHeader + " header", Status: http.StatusForbidden,
			Detail: "Send " + AdminHeader + ": 1 with every request that changes something, as a protection against cross-site requests.",
		}}
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.parseQuery(to); err != nil {
		return err
	}
	if to.writes() && c.actor.readOnly() {
		return denied("Read-only administrators may not change anything")
	}
	if to.changes() && to.method != http.MethodPut {
		if err := c.refuseConditions(); err != nil {
			return err
		}
	}
	if err := to.at.find(c); err != nil {
		return err
	}
	return to.serve(c)
}

// hasTokenPattern reports whether u contains text in the form of a token or of a part
// of one.
func hasTokenPattern(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	return wire.HoldsToken(u.Path) || wire.HoldsToken(u.RawQuery) || err == nil && wire.HoldsToken(query)
}

// identify sets the actor of the request, by authorize.
func (c *call) identify() error {
	actor, err := c.authorize(c.r)
	if err == nil {
		if isText(actor.Name, maxActorName) {
			c.actor = actor
			c.ctx = vault.WithActor(c.ctx, actor.Name)
			return nil
		}
		c.log.ErrorContext(c.ctx, "authorize returned an invalid actor",
			"error", "the name has control characters, is not valid UTF-8, holds a token or is longer than "+strconv.Itoa(maxActorName)+" bytes")
		err = ErrForbidden
	}
	if errors.Is(err, ErrForbidden) {
		return denied("Permission denied")
	}
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	c.log.WarnContext(c.ctx, "administrator refused", "address", addrOf(c.r, c.remoteAddr))
	c.w.Header().Set("WWW-Authenticate", "Bearer")
	return &refusal{wire.Refusal{Type: wire.UnauthorizedProblem, Title: "Authentication required", Status: http.StatusUnauthorized}}
}

// parseQuery reads the query and refuses unknown and repeated parameters.
func (c *call) parseQuery(to *route) error {
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return requestProblem(http.StatusBadRequest, "Invalid query string", "Write it like scope=acme/web&limit=10, with percent escapes.")
	}
	for name, values := range c.query {
		if name != to.at.param && !slices.Contains(to.query, name) {
			return requestProblem(http.StatusBadRequest, "Unknown query parameter", quote(name))
		}
		if len(values) != 1 {
			return requestProblem(http.StatusBadRequest, "Repeated query parameter", quote(name))
		}
	}
	return nil
}

// enter takes the scope from a parameter of the query, and checks that the actor
// covers it.
func (c *call) enter(param string) error {
	if !c.query.Has(param) {
		return requestProblem(http.StatusBadRequest, "Missing query parameter "+param, "Write it like ?"+param+"=acme.")
	}
	c.scope = c.query.Get(param)
	if err := vault.CheckScope(c.scope); err != nil {
		return err
	}
	if !c.actor.Covers(c.scope) {
		return denied("Permission denied in scope " + c.scope)
	}
	return nil
}

// enterPlatform checks that the actor may administer the platform, which is in no scope.
func (c *call) enterPlatform() error {
	c.scope = store.Platform
	if !c.actor.coversAll() {
		return denied("Permission denied for the platform; it needs an administrator of all scopes")
	}
	return nil
}

// denied returns the refusal of an administrator who lacks a permission.
func denied(title string) error {
	return &refusal{wire.Refusal{Type: wire.NotAllowedProblem, Title: title, Status: http.StatusForbidden}}
}

// enterToken takes the scope from the token that the path names. The response for
// a token in a scope that the actor does not cover is the same as for an unknown one.
func (c *call) enterToken() error {
	token, err := c.v.Token(c.ctx, c.param("id"))
	if err == nil && !c.actor.Covers(token.Scope) {
		err = vault.ErrNotFound
	}
	if errors.Is(err, vault.ErrNotFound) {
		return &refusal{wire.Refusal{Type: wire.NotFoundProblem, Title: "No such token", Status: http.StatusNotFound}}
	}
	c.scope, c.token = token.Scope, token
	return err
}

// list returns items, or an empty list for nil, so that JSON lists are never null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// send writes a JSON response.
func (c *call) send(status int, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(body, '\n')) // fails only if the client has disconnected
	return nil
}

// members maps settings of package vault to their names in request bodies.
var members = map[string]string{
	"vault.AdministratorOptions.Role":       `"role"`,
	"vault.AdministratorOptions.Scopes":     `"scopes"`,
	"vault.PutOptions.AllowTrailingNewline": `"allow_trailing_newline"`,
	"vault.PutOptions.Delivery":             `"delivery"`,
	"vault.TokenOptions.Waive":              `"waive"`,
}

// fail responds to a request that failed with err. Advice in an error of the vault
// names the members of the request body instead of Go fields.
func (c *call) fail(err error) {
	problem := wire.Refusal{Detail: bundle.Explain(err, func(setting string) string { return members[setting] })}
	if e, ok := errors.AsType[*refusal](err); ok {
		problem = e.Refusal
	} else {
		switch {
		case errors.Is(err, vault.ErrInvalid):
			problem.Type, problem.Title, problem.Status = wire.RequestProblem, "Invalid request", http.StatusBadRequest
		case errors.Is(err, vault.ErrNotFound):
			problem.Type, problem.Title, problem.Status = wire.NotFoundProblem, "No such resource", http.StatusNotFound
		case errors.Is(err, vault.ErrConflict) && c.condition:
			problem.Type, problem.Title, problem.Status = wire.ConflictProblem, "The request's condition does not hold", http.StatusPreconditionFailed
		case errors.Is(err, vault.ErrConflict):
			problem.Type, problem.Title, problem.Status = wire.ConflictProblem, "Conflicting concurrent write; try again", http.StatusConflict
		default:
			refuseFailure(c.w, c.r, c.log, "administrator's request failed", err)
			return
		}
	}
	refuse(c.w, problem)
}
