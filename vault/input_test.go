package vault_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

// badScopes are invalid scopes that could be mistaken for valid ones.
var badScopes = map[string]string{
	"nothing":               "",
	"only a slash":          "/",
	"leading slash":         "/acme",
	"trailing slash":        "acme/",
	"empty segment":         "acme//web",
	"parent":                "..",
	"traversal":             "acme/../globex",
	"traversal at the end":  "acme/..",
	"current":               "acme/./web",
	"encoded slash":         "acme%2fweb",
	"encoded slash, upper":  "acme%2Fweb",
	"encoded dots":          "acme/%2e%2e/globex",
	"backslash":             `acme\web`,
	"upper case":            "Acme",
	"upper case below":      "acme/Web",
	"dot":                   "acme.web",
	"colon":                 "acme:web",
	"blank":                 "acme web",
	"blank around":          " acme",
	"line break":            "acme\n",
	"NUL":                   "acme\x00",
	"dash first":            "-acme",
	"underscore first":      "_acme",
	"dash first below":      "acme/-web",
	"wildcard":              "*",
	"SQL wildcard":          "acme/%",
	"Cyrillic look-alike":   "аcme",
	"full-width look-alike": "ａcme",
	"accent":                "acmé",
	"division slash":        "acme∕web",
	"zero width space":      "acme\u200bweb",
	"invalid UTF-8":         "acme\xff",
	"long segment":          strings.Repeat("a", 64),
	"long segment below":    "acme/" + strings.Repeat("a", 64),
	"nine segments":         "a/b/c/d/e/f/g/h/i",
	"endless":               strings.Repeat("a/", 1<<16),
}

var goodScopes = []string{
	"a", "0", "acme", "acme/web/pool-a", "a-", "a_", "0/1/2", "a/b/c/d/e/f/g/h",
	strings.Repeat("a", 63), strings.Repeat(strings.Repeat("z", 63)+"/", 7) + strings.Repeat("9", 63),
}

func TestCheckScope(t *testing.T) {
	for _, scope := range goodScopes {
		require.NoError(t, vault.CheckScope(scope), scope)
	}
	for about, scope := range badScopes {
		err := vault.CheckScope(scope)
		require.ErrorIs(t, err, vault.ErrInvalid, "%s: %.80q", about, scope)
		require.Less(t, len(err.Error()), 300, "the error does not repeat a long scope")
	}
}

func TestVault_InvalidScope(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for name, call := range map[string]func(scope string) error{
		"Put": func(s string) error {
			_, err := f.Put(ctx, s, "A", bundle.NewValue("x"), nil)
			return err
		},
		"Hide":       func(s string) error { _, err := f.Hide(ctx, s, "A"); return err },
		"Activate":   func(s string) error { _, err := f.Activate(ctx, s, "A", 1); return err },
		"Delete":     func(s string) error { return f.Delete(ctx, s, "A") },
		"List":       func(s string) error { _, err := f.List(ctx, s); return err },
		"Info":       func(s string) error { _, err := f.Info(ctx, s, "A"); return err },
		"History":    func(s string) error { _, err := f.History(ctx, s, "A"); return err },
		"IssueToken": func(s string) error { _, _, err := f.IssueToken(ctx, s, nil); return err },
		"Tokens":     func(s string) error { _, err := f.Tokens(ctx, s); return err },
	} {
		for about, scope := range badScopes {
			err := call(scope)
			require.ErrorIs(t, err, vault.ErrInvalid, "%s with %s", name, about)
			require.Less(t, len(err.Error()), 600, "the error does not repeat a long scope")
		}
	}
	require.Zero(t, f.Storage.Calls(), "an invalid scope never reaches storage")
}

func TestInput_ScopePath(t *testing.T) {
	require.Equal(t, []string{"acme"}, store.Path("acme"))
	require.Equal(t, []string{"acme", "acme/web", "acme/web/pool-a"}, store.Path("acme/web/pool-a"))
	require.Equal(t, "acme", store.Tenant("acme"))
	require.Equal(t, "acme", store.Tenant("acme/web/pool-a"))
}

func TestBootstrap_ScopePrefix(t *testing.T) {
	f := newFixture(t)
	for _, scope := range []string{"acme", "acme/a", "acme-2", "acme-2/a", "acme/ab", "acm"} {
		f.MustPut(t, scope, "A", "of "+scope)
		f.MustPut(t, scope, "ONLY_"+strings.ToUpper(regexp.MustCompile(`[-/]`).ReplaceAllString(scope, "_")), "x")
	}
	require.Equal(t, map[string]string{"A": "of acme/a", "ONLY_ACME": "x", "ONLY_ACME_A": "x"}, f.Values(t, f.MustIssue(t, "acme/a")))
	require.Equal(t, map[string]string{"A": "of acme-2", "ONLY_ACME_2": "x"}, f.Values(t, f.MustIssue(t, "acme-2")))
	require.Equal(t, map[string]string{"A": "of acme/ab", "ONLY_ACME": "x", "ONLY_ACME_AB": "x"}, f.Values(t, f.MustIssue(t, "acme/ab")))
}

func FuzzCheckScope(f *testing.F) {
	for _, scope := range goodScopes {
		f.Add(scope)
	}
	for _, scope := range badScopes {
		if len(scope) < 1000 {
			f.Add(scope)
		}
	}
	rule := regexp.MustCompile(`\A[a-z0-9][a-z0-9_-]{0,62}(/[a-z0-9][a-z0-9_-]{0,62}){0,7}\z`)
	f.Fuzz(func(t *testing.T, scope string) {
		err := vault.CheckScope(scope)
		require.Equal(t, rule.MatchString(scope), err == nil, "%q: %v", scope, err)
		if err != nil {
			return
		}
		path := store.Path(scope)
		require.Equal(t, store.Tenant(scope), path[0])
		require.Equal(t, scope, path[len(path)-1])
		require.Len(t, path, strings.Count(scope, "/")+1)
	})
}
