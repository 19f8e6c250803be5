package store

import "strings"

// Path returns scope and its ancestors, the tenant first: of "acme/web" it is
// "acme" and "acme/web".
func Path(scope string) []string {
	var path []string
	for i, c := range scope {
		if c == '/' {
			path = append(path, scope[:i])
		}
	}
	return append(path, scope)
}

// Tenant returns the first segment of scope.
func Tenant(scope string) string {
	tenant, _, _ := strings.Cut(scope, "/")
	return tenant
}
