package store

import "strings"

// Path returns the ancestors of scope, the tenant first, followed by scope itself:
// for "acme/web", it returns "acme" and "acme/web". It does not validate scope.
func Path(scope string) []string {
	var path []string
	for i, c := range scope {
		if c == '/' {
			path = append(path, scope[:i])
		}
	}
	return append(path, scope)
}

// Tenant returns the first segment of scope, which names the tenant. It does not
// validate scope.
func Tenant(scope string) string {
	tenant, _, _ := strings.Cut(scope, "/")
	return tenant
}
