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
)

// AdminHeader, Satchel-Admin, must be in every request to an admin handler that
// changes something, with the value "1": no form of another site can send it, and
// no script of another site may.
const AdminHeader = wire.AdminHeader

// AdminOptions say how an admin handler answers. The zero value of each field
// means its default.
type AdminOptions struct {
	// AllowPlaintext serves requests that came without TLS over other
	// interfaces than loopback: for a server behind a proxy that ends TLS.
	// Default: they are refused.
	AllowPlaintext bool
	// RemoteAddr returns the address of who asks, for the log, as in
	// [Options]. Default: that of the connection, without the port.
	RemoteAddr func(*http.Request) string
	// Logger gets refusals and failures, at a bounded rate.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Admin returns a handler for administrators: JSON over HTTP, below
// /v1/, for everything that they do with a vault. docs/openapi.yaml describes
// it. To serve it below a prefix, wrap it in http.StripPrefix. opts may be nil.
//
// No answer has a secret's value, and a runner's token is in the answer to its
// issue or rotation only.
//
// authorize says who sent a request; it must not read the body. Its error is
// answered with 401, or with 403 if it is [ErrForbidden], and is neither shown nor
// logged: authorize logs it where that is safe.
// Requests for scopes that the actor does not cover are refused. A nil
// authorize refuses every request.
//
// Other sites cannot make a browser change anything, even if authorize looks at
// a cookie: what changes something needs [AdminHeader] and the type
// application/json, and answers allow no other origin to read them.
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

// A call is one request at work.
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
	// condition says that the client sent If-Match or If-None-Match.
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

// serve answers a request for a route; see forMux.
func (a *administrators) serve(w http.ResponseWriter, routed *http.Request, to *route) {
	r := routed.Context().Value(routedRequest{}).(*http.Request)
	c := &call{administrators: a, w: w, r: r, param: routed.PathValue, ctx: r.Context()}
	if err := c.answer(to); err != nil {
		c.fail(err)
	}
}

// answer answers the request, or returns why it does not.
func (c *call) answer(to *route) error {
	if to.changes() && c.r.Header.Get(AdminHeader) != "1" {
		return &refusal{wire.Refusal{
			Type: wire.NotAllowedProblem, Title: "The request has no " + AdminHeader + " header", Status: http.StatusForbidden,
			Detail: "Send " + AdminHeader + ": 1 with every request that changes something. No form of another site can.",
		}}
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.parseQuery(to); err != nil {
		return err
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

// hasTokenPattern reports whether u has what looks like a whole token.
func hasTokenPattern(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	return wire.TokenPattern.MatchString(u.Path) || wire.TokenPattern.MatchString(u.RawQuery) || err == nil && wire.TokenPattern.MatchString(query)
}

// identify asks who sends the request.
func (c *call) identify() error {
	actor, err := c.authorize(c.r)
	if err == nil {
		if isText(actor.Name, maxActorName) {
			c.actor = actor
			c.ctx = vault.WithActor(c.ctx, actor.Name)
			return nil
		}
		c.log.ErrorContext(c.ctx, "authorize returned an actor that cannot be used",
			"error", "the name has control characters, is not valid UTF-8 or has more than "+strconv.Itoa(maxActorName)+" bytes")
		err = ErrForbidden
	}
	if errors.Is(err, ErrForbidden) {
		return &refusal{wire.Refusal{Type: wire.NotAllowedProblem, Title: "You may not do this", Status: http.StatusForbidden}}
	}
	c.log.WarnContext(c.ctx, "an administrator was refused", "address", addrOf(c.r, c.remoteAddr))
	c.w.Header().Set("WWW-Authenticate", "Bearer")
	return &refusal{wire.Refusal{Type: wire.UnauthorizedProblem, Title: "It is not known who asks", Status: http.StatusUnauthorized}}
}

// parseQuery reads the query, in which every parameter is known and there once.
func (c *call) parseQuery(to *route) error {
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return requestProblem(http.StatusBadRequest, "The query cannot be read", "Write it like scope=acme/web&limit=10, with percent escapes.")
	}
	for name, values := range c.query {
		if name != to.at.param && !slices.Contains(to.query, name) {
			return requestProblem(http.StatusBadRequest, "The query has an unknown parameter", quote(name))
		}
		if len(values) != 1 {
			return requestProblem(http.StatusBadRequest, "The query has a parameter twice", quote(name))
		}
	}
	return nil
}

// enter takes the scope out of a parameter of the query.
func (c *call) enter(param string) error {
	if !c.query.Has(param) {
		return requestProblem(http.StatusBadRequest, "The query has no "+param, "Write it like ?"+param+"=acme.")
	}
	c.scope = c.query.Get(param)
	if err := vault.CheckScope(c.scope); err != nil {
		return err
	}
	if !c.actor.Covers(c.scope) {
		return &refusal{wire.Refusal{
			Type: wire.NotAllowedProblem, Title: "You may not do this in scope " + c.scope, Status: http.StatusForbidden,
		}}
	}
	return nil
}

// enterToken takes the scope from the token that the path names. A token of a
// scope that the actor does not cover is as good as none.
func (c *call) enterToken() error {
	token, err := c.v.Token(c.ctx, c.param("id"))
	if err == nil && !c.actor.Covers(token.Scope) {
		err = vault.ErrNotFound
	}
	if errors.Is(err, vault.ErrNotFound) {
		return &refusal{wire.Refusal{Type: wire.NotFoundProblem, Title: "There is no such token", Status: http.StatusNotFound}}
	}
	c.scope, c.token = token.Scope, token
	return err
}

// list returns items, or an empty list for none: in JSON a list is never null.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// send answers with JSON.
func (c *call) send(status int, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(body, '\n')) // the client has gone if this fails
	return nil
}

// members are the names that settings of the vault have in bodies.
var members = map[string]string{
	"vault.PutOptions.AllowTrailingNewline": `"allow_trailing_newline"`,
	"vault.PutOptions.Delivery":             `"delivery"`,
	"vault.TokenOptions.Waive":              `"waive"`,
}

// fail answers a request that err ended. The vault checks what it is given; its
// advice is put in the words of JSON.
func (c *call) fail(err error) {
	problem := wire.Refusal{Detail: bundle.Explain(err, func(setting string) string { return members[setting] })}
	if e, ok := errors.AsType[*refusal](err); ok {
		problem = e.Refusal
	} else {
		switch {
		case errors.Is(err, vault.ErrInvalid):
			problem.Type, problem.Title, problem.Status = wire.RequestProblem, "The request breaks a rule", http.StatusBadRequest
		case errors.Is(err, vault.ErrNotFound):
			problem.Type, problem.Title, problem.Status = wire.NotFoundProblem, "There is no such thing", http.StatusNotFound
		case errors.Is(err, vault.ErrConflict) && c.condition:
			problem.Type, problem.Title, problem.Status = wire.ConflictProblem, "It is not as the request expects it", http.StatusPreconditionFailed
		case errors.Is(err, vault.ErrConflict):
			problem.Type, problem.Title, problem.Status = wire.ConflictProblem, "Others write at the same time", http.StatusConflict
		default:
			refuseFailure(c.w, c.r, c.log, "an administrator's request failed", err)
			return
		}
	}
	refuse(c.w, problem)
}
