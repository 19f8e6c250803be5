package vaulthttp

import (
	"errors"
	"strings"
)

// Actor is an administrator, as the program that runs the vault knows them.
type Actor struct {
	// Name is the author of what they write, and in the audit entries of it.
	// At most 256 bytes of UTF-8 without control characters.
	Name string
	// Scopes are the subtrees that they may administer: each covers itself and
	// all scopes below it, and [AllScopes] covers every scope there is.
	// Default: they may do nothing.
	Scopes []string
}

// maxActorName is the longest name of an actor, in bytes.
const maxActorName = 256

// AllScopes in Actor.Scopes covers every scope.
const AllScopes = "*"

// ErrForbidden is for authorize functions of [Admin]: it says that
// they know who asks, and that this administrator may not do it.
var ErrForbidden = errors.New("forbidden")

// Covers reports whether a may administer scope.
func (a Actor) Covers(scope string) bool {
	for _, s := range a.Scopes {
		if s == AllScopes || s != "" && (scope == s || strings.HasPrefix(scope, s+"/")) {
			return true
		}
	}
	return false
}
