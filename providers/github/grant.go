package github

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/providers/internal/remote"
)

// levels orders those of a permission.
var levels = map[string]int{"read": 1, "write": 2, "admin": 3}

// grant is what GitHub answers. Permissions and Repositories are nil where it
// does not tell.
type grant struct {
	Token       string            `json:"token"`
	ExpiresAt   time.Time         `json:"expires_at"`
	Permissions map[string]string `json:"permissions"`
	// Selection is "all" or "selected".
	Selection    string `json:"repository_selection"`
	Repositories []struct {
		Name string `json:"name"`
	} `json:"repositories"`
}

// differs says how the grant is wider or narrower than what was asked for. It
// compares nothing that was not asked for by name.
func (g grant) differs(repositories []string, permissions map[string]string) []string {
	var more, less []string
	if len(permissions) > 0 && g.Permissions != nil {
		more, less = comparePermissions(g.Permissions, permissions)
	}
	if len(repositories) > 0 {
		wider, narrower := g.compareRepositories(repositories)
		more, less = append(more, wider...), append(less, narrower...)
	}
	return remote.Differences(more, less)
}

func comparePermissions(granted, asked map[string]string) (more, less []string) {
	for _, name := range slices.Sorted(maps.Keys(granted)) {
		got, want := granted[name], asked[name]
		switch {
		case levels[got] > 0 && levels[got] <= levels[want]:
		case name == "metadata" && got == "read": // comes with every token
		case !plainPermission(name):
			more = append(more, "another permission")
		case levels[got] == 0:
			more = append(more, name+" at another level")
		default:
			more = append(more, name+": "+got)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if got := granted[name]; levels[got] == 0 {
			less = append(less, "no "+name)
		} else if levels[got] < levels[asked[name]] {
			less = append(less, name+": "+got)
		}
	}
	return more, less
}

// plainPermission reports whether s can be the name of a permission. What
// GitHub sends is shown if it is: small letters have no room for a token.
func plainPermission(s string) bool {
	const longest = 64
	return s != "" && len(s) <= longest && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// compareRepositories counts those that were not asked for, and names those
// that were and are missing: the names of others could be anything.
func (g grant) compareRepositories(asked []string) (more, less []string) {
	if g.Selection == "all" {
		return []string{"all repositories"}, nil
	}
	if g.Repositories == nil {
		return nil, nil
	}
	granted := map[string]bool{} // GitHub tells names apart without case
	for _, r := range g.Repositories {
		granted[strings.ToLower(r.Name)] = true
	}
	for _, name := range asked {
		if name = strings.ToLower(name); !granted[name] {
			less = append(less, "no repository "+name)
		}
	}
	for _, name := range asked {
		delete(granted, strings.ToLower(name))
	}
	if len(granted) > 0 {
		more = append(more, fmt.Sprintf("other repositories: %d", len(granted)))
	}
	return more, less
}
