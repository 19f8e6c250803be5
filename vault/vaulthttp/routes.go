package vaulthttp

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/store"
)

// A route is one operation of the administrators' API.
type route struct {
	method string
	// path is a pattern of http.ServeMux; each {parameter} is one segment.
	path string
	// query are the allowed query parameters, besides that of at.
	query []string
	// at finds the scope of the request and checks that the actor covers it.
	at place
	// serve responds, or returns the reason for refusing.
	serve func(*call) error
}

var routes = []route{
	{"GET", "/v1/secrets", nil, atScope, (*call).listSecrets},
	{"GET", "/v1/secrets/{name}", nil, atScope, (*call).showSecret},
	{"PUT", "/v1/secrets/{name}", nil, atScope, (*call).putSecret},
	{"DELETE", "/v1/secrets/{name}", nil, atScope, (*call).deleteSecret},
	{"GET", "/v1/secrets/{name}/versions", nil, atScope, (*call).listVersions},
	{"POST", "/v1/secrets/{name}/activate", nil, atScope, (*call).activateSecret},
	{"POST", "/v1/secrets/{name}/hide", nil, atScope, (*call).hideSecret},

	{"GET", "/v1/tokens", []string{"below"}, atScope, (*call).listTokens},
	{"POST", "/v1/tokens", nil, atScope, (*call).issueToken},
	{"GET", "/v1/tokens/{id}", nil, atToken, (*call).showToken},
	{"POST", "/v1/tokens/{id}/rotate", nil, atToken, (*call).rotateToken},
	{"POST", "/v1/tokens/{id}/revoke", nil, atToken, (*call).revokeToken},

	{"GET", "/v1/tenants", nil, anywhere, (*call).listTenants},
	{"GET", "/v1/scopes", nil, atScope, (*call).listScopes},
	{"GET", "/v1/administrators", nil, onPlatform, (*call).listAdministrators},
	{"POST", "/v1/administrators", nil, onPlatform, (*call).addAdministrator},
	{"POST", "/v1/administrators/{admin}/rotate", nil, onPlatform, (*call).rotateAdministrator},
	{"DELETE", "/v1/administrators/{admin}", nil, onPlatform, (*call).removeAdministrator},

	{"GET", "/v1/integrations", nil, atScope, (*call).listIntegrations},
	{"GET", "/v1/readiness", nil, atScope, (*call).showReadiness},

	{"GET", "/v1/audit", []string{"before", "limit"}, atTenant, (*call).listAudit},
	{"POST", "/v1/audit/verify", nil, atTenant, (*call).verifyAudit},
}

// A place finds the scope of a route.
type place struct {
	param string // of the query, or empty
	find  func(*call) error
}

var (
	atScope  = place{"scope", func(c *call) error { return c.enter("scope") }}
	atTenant = place{"tenant", func(c *call) error {
		if c.query.Get("tenant") == store.Platform {
			return c.enterPlatform()
		}
		if err := c.enter("tenant"); err != nil {
			return err
		}
		if strings.Contains(c.scope, "/") {
			return requestProblem(http.StatusBadRequest, "Invalid tenant", "Send the first segment of a scope.")
		}
		return nil
	}}
	onPlatform = place{find: (*call).enterPlatform}
	atToken    = place{find: (*call).enterToken}
	anywhere   = place{find: func(*call) error { return nil }}
)

// changes reports whether the route needs AdminHeader.
func (r *route) changes() bool { return r.method != http.MethodGet }

// writes reports whether the route needs an administrator who is not read-only.
func (r *route) writes() bool { return r.changes() && r.path != "/v1/audit/verify" }

// newMux returns a mux of all routes. It also responds with problem documents to
// other methods and paths.
func newMux(a *administrators) *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for i := range routes {
		to := &routes[i]
		mux.HandleFunc(to.method+" "+to.path, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, to) })
		methods[to.path] = append(methods[to.path], to.method)
		if to.method == http.MethodGet {
			methods[to.path] = append(methods[to.path], http.MethodHead)
		}
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", allow)
			refuse(w, wire.Refusal{Type: wire.RequestProblem, Title: "Unsupported method", Status: http.StatusMethodNotAllowed, Detail: "Use " + allow + "."})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, notFound) })
	return mux
}

// hasEscapes is the refusal of a path with percent escapes. No resource needs them,
// so each path has a single spelling.
var hasEscapes = wire.Refusal{Type: wire.RequestProblem, Title: "The path has percent escapes", Status: http.StatusBadRequest,
	Detail: "Names of secrets and ids of tokens need none. Send the scope in the query."}

// routedRequest is the context key of the original request in the copy for the mux.
type routedRequest struct{}

// forMux returns a copy of r for the mux, which writes its pattern and the path
// parameters into it, so that r keeps those of an outer mux.
//
// The path segments . and .. are escaped. The mux then treats them as names, which
// are refused; otherwise it would redirect to the path without them.
func forMux(r *http.Request) *http.Request {
	routed := r.WithContext(context.WithValue(r.Context(), routedRequest{}, r))
	if !strings.Contains(r.URL.Path, "/.") {
		return routed
	}
	segments := strings.Split(r.URL.Path, "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." {
			segments[i] = strings.ReplaceAll(segment, ".", "%2E")
		}
	}
	routed.URL = &url.URL{}
	*routed.URL = *r.URL
	routed.URL.RawPath = strings.Join(segments, "/")
	return routed
}
