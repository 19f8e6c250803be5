package github

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/satchelhq/satchel/providers/internal/remote"
)

// levels orders the levels of a permission.
var levels = map[string]int{"read": 1, "write": 2, "admin": 3}

// grant is GitHub's response. Permissions and Repositories are nil if it omits
// them.
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

// differs describes how the grant is wider or narrower than the request. It
// compares only lists that the request has.
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
		case name == "metadata" && got == "read": // every token has it
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

// plainPermission reports whether s is valid as the name of a permission. Such a
// name from GitHub is safe to show, because lower-case letters and _ cannot form a
// token.
func plainPermission(s string) bool {
	const longest = 64
	return s != "" && len(s) <= longest && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// compareRepositories counts additional repositories and names missing ones. It
// does not show names from GitHub, which may be anything.
func (g grant) compareRepositories(asked []string) (more, less []string) {
	if g.Selection == "all" {
		return []string{"all repositories"}, nil
	}
	if g.Repositories == nil {
		return nil, nil
	}
	granted := map[string]bool{} // names are case-insensitive
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
