package vaulthttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

// Actor is an administrator, as authenticated by the program that runs the vault.
type Actor struct {
	// Name is recorded as the author of writes and in audit entries. At most 256
	// bytes of UTF-8 without control characters or tokens; otherwise the request is
	// refused. Default: no author.
	Name string
	// Scopes are the subtrees that the actor may administer: each covers itself and
	// all scopes below it, and [AllScopes] covers every scope.
	// Default: no permissions.
	Scopes []string
	// Role is the set of operations that the actor may use in these scopes. A value
	// that is not a constant of api.Role counts as read-only.
	// Default: api.RoleAdministrator.
	Role api.Role
}

// maxActorName is the longest name of an actor, in bytes.
const maxActorName = 256

// AllScopes in Actor.Scopes covers every scope.
const AllScopes = vault.AllScopes

// ErrForbidden is returned by authorize functions of [Admin] for an administrator
// who is authenticated but lacks permission.
var ErrForbidden = errors.New("forbidden")

// ErrUnavailable is returned by authorize functions of [Admin] that cannot tell whether
// the request is authentic, for example because a database is down. The response is then
// 503 instead of 401.
var ErrUnavailable = errors.New("unable to authenticate")

// Authenticate returns an authorize function for [Admin] that authenticates the named
// administrators of v by their tokens: requests with the header "Authorization: Bearer
// sat_…". It passes all other requests to next, for example for the sessions of the
// program's own login. A nil next refuses them.
func Authenticate(v *vault.Vault, next func(*http.Request) (Actor, error)) func(*http.Request) (Actor, error) {
	return func(r *http.Request) (Actor, error) {
		token := bearer(r)
		if !strings.HasPrefix(token.Reveal(), wire.AdminTokenPrefix) {
			if next == nil {
				return Actor{}, errors.New("the request has no token of an administrator")
			}
			return next(r)
		}
		admin, err := v.Administrator(r.Context(), token)
		if _, refused := errors.AsType[*vault.TokenError](err); err != nil && !refused {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err != nil {
			return Actor{}, err
		}
		return Actor{Name: admin.Name, Scopes: admin.Scopes, Role: admin.Role}, nil
	}
}

// readOnly reports whether a may not change anything.
func (a Actor) readOnly() bool { return a.Role != "" && a.Role != api.RoleAdministrator }

// coversAll reports whether a may administer every scope, and so the platform.
func (a Actor) coversAll() bool { return slices.Contains(a.Scopes, AllScopes) }

// Covers reports whether a may administer scope. It does not validate scope.
func (a Actor) Covers(scope string) bool {
	for _, s := range a.Scopes {
		if s == AllScopes || s != "" && (scope == s || strings.HasPrefix(scope, s+"/")) {
			return true
		}
	}
	return false
}

// knows reports whether one of a's scopes is in tenant.
func (a Actor) knows(tenant string) bool {
	return slices.ContainsFunc(a.Scopes, func(s string) bool { return s == AllScopes || s == tenant || strings.HasPrefix(s, tenant+"/") })
}
