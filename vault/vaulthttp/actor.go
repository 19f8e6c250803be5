package vaulthttp

import (
	"errors"
	"slices"
	"strings"
)

// Actor is an administrator, as authenticated by the program that runs the vault.
type Actor struct {
	// Name is recorded as the author of writes and in audit entries. At most 256
	// bytes of UTF-8 without control characters or tokens; otherwise the request is refused.
	// Default: no author.
	Name string
	// Scopes are the subtrees that the actor may administer: each covers itself and
	// all scopes below it, and [AllScopes] covers every scope.
	// Default: no permissions.
	Scopes []string
}

// maxActorName is the longest name of an actor, in bytes.
const maxActorName = 256

// AllScopes in Actor.Scopes covers every scope.
const AllScopes = "*"

// ErrForbidden is returned by authorize functions of [Admin] for an administrator
// who is authenticated but lacks permission.
var ErrForbidden = errors.New("forbidden")

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
