package satchel_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// checking is a source that checks itself.
type checking struct {
	*source
	items []bundle.CheckItem
}

func (c *checking) Check(ctx context.Context) (*bundle.Bundle, []bundle.CheckItem) {
	b, _ := c.Fetch(ctx, nil)
	return b, c.items
}

// at returns a secret with an origin.
func at(name, value, provider, location string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: provider, Location: location}}
}

// lines returns the report's items, one per line.
func lines(r satchel.Report) string {
	var out strings.Builder
	for _, i := range r.Items {
		fmt.Fprintf(&out, "%s | %s | %s | %s\n", i.Status, i.Name, i.Detail, i.Fix)
	}
	return out.String()
}

func TestCheck(t *testing.T) {
	t.Run("reports where each required secret comes from", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			expires := time.Now().Add(time.Hour)
			short := at("SHORT", "4", "dotenv", ".env:2")
			short.Expires = expires
			platform := newSource("platform", gives(bundleOf(at("A", "1", "bootstrap", "https://h"), at("BLANK", "", "bootstrap", "https://h:8443"), expiring("GONE", "2", time.Now().Add(-time.Hour)))))
			local := newSource("dotenv .env", gives(bundleOf(short, at("EMPTY", "", "dotenv", ".env:7"))))
			r := satchel.Check(t.Context(), []bundle.Provider{platform, local},
				"A", "SHORT", "EMPTY", "BLANK", "GONE", "NOWHERE", "A", "B C")
			require.False(t, r.OK())
			require.Equal(t, strings.TrimLeft(`
ok | platform | secrets: 3 | 
warning | secret GONE | test 2-place: expired at 1999-12-31T23:00:00Z | it may resolve itself; if it persists, fix it at its origin
ok | dotenv .env | secrets: 2 | 
ok | secret A | from bootstrap https://h | 
ok | secret SHORT | from dotenv .env:2, expires 2000-01-01 01:00 UTC | 
warning | secret EMPTY | empty, from dotenv .env:7 | give it a value, or remove line 7 of .env
warning | secret BLANK | empty, from bootstrap https://h:8443 | give it a value, or remove it from bootstrap https://h:8443
failed | secret GONE | test 2-place: expired at 1999-12-31T23:00:00Z | add it on the platform, or to a local layer
failed | secret NOWHERE | no layer has it | add it on the platform, or to a local layer
failed | secret B C | the name "B C" has ' ' at byte 1; want letters, digits and _, not starting with a digit | correct the name of the required secret
`, "\n"), lines(r))
			require.Equal(t, []string{"A=1", "BLANK=", "EMPTY=", "SHORT=4"}, r.Bundle.Environ(), "the fetched secrets need no second fetch")
		})
	})

	t.Run("reports nil layers", func(t *testing.T) {
		r := satchel.Check(t.Context(), []bundle.Provider{(*source)(nil), nil, newSource("ok", gives(nil))})
		require.False(t, r.OK())
		require.Equal(t, "failed | layers | 2 of 3 are nil | remove them\nok | ok | secrets: 0 | \n", lines(r))
	})

	t.Run("fetches each layer once, concurrently", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := slowly(10*time.Second, gives(bundleOf(secret("A", "1"))))
			plain, checked := newSource("plain", slow), &checking{source: newSource("checked", slow), items: []bundle.CheckItem{{Name: "looked at"}}}
			start := time.Now()
			r := satchel.Check(t.Context(), []bundle.Provider{plain, checked})
			require.Equal(t, 10*time.Second, time.Since(start))
			require.Len(t, plain.fetched(), 1)
			require.Len(t, checked.fetched(), 1)
			require.Equal(t, "looked at", r.Items[1].Name, "a Checker returns its own items")
		})
	})

	t.Run("names each failed layer and its fix", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stuck := newSource("stuck", hangs)
			start := time.Now()
			r := satchel.Check(t.Context(), []bundle.Provider{
				newSource("down", fails(errDown)), newSource("broken", fails(errPermanent)), newSource("revoked", fails(errRevoked)), stuck, nil,
				bundle.Optional(newSource("extra", fails(errDown))), bundle.Optional(newSource("stuck too", hangs)), newSource("env", gives(nil)), newSource("env", gives(nil)),
			}, "A")
			require.Equal(t, time.Minute, time.Since(start), "the limit for a layer that hangs is a minute")
			require.True(t, stuck.idle())
			require.Equal(t, strings.TrimLeft(`
failed | layers | 1 of 9 are nil | remove them
failed | down | connection refused | check that the source is reachable, and try again
failed | broken | line 3 makes no sense | fix this first; retrying does not help
failed | revoked | the token was revoked | get new credentials: the source has revoked these
failed | stuck | no response within 1m0s: context deadline exceeded | check that the source is reachable, and try again
warning | extra | connection refused | it may resolve itself; if it persists, fix it at its origin
warning | stuck too | no response within 1m0s: context deadline exceeded | it may resolve itself; if it persists, fix it at its origin
ok | env | secrets: 0 | 
ok | env #2 | secrets: 0 | 
failed | secret A | extra: connection refused; stuck too: no response within 1m0s: context deadline exceeded | add it on the platform, or to a local layer
`, "\n"), lines(r))
			require.Zero(t, r.Bundle.Len())
		})
	})

	t.Run("fails for a secret that a layer requires and no layer has", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			required := func(name string) bundle.Problem {
				return bundle.Problem{Name: name, Origin: bundle.Origin{Provider: "vault", Location: "acme"}, Reason: "it is required"}
			}
			down := bundle.Problem{Name: "MINTED", Origin: bundle.Origin{Provider: "github"}, Reason: "it is down", Retryable: true}
			answer := bundleWith(bundle.Meta{Problems: []bundle.Problem{required("A"), required("LOCAL"), required("NAMED"), required("UNTOLD"), down}})
			platform := &checking{newSource("platform", gives(answer)), []bundle.CheckItem{
				{Name: "secret A", Status: bundle.CheckWarning, Detail: "vault acme: it is required", Fix: "fix it"},
				{Name: "secret LOCAL", Status: bundle.CheckWarning, Detail: "vault acme: it is required", Fix: "fix it"},
				{Name: "secret MINTED", Status: bundle.CheckWarning, Detail: "github: it is down", Fix: "wait"},
			}}
			plain := newSource("plain", gives(bundleWith(bundle.Meta{Problems: []bundle.Problem{required("B")}}, secret("LOCAL", "1"))))
			r := satchel.Check(t.Context(), []bundle.Provider{platform, plain}, "NAMED")
			require.False(t, r.OK())
			require.Equal(t, strings.TrimLeft(`
failed | secret A | vault acme: it is required | add it on the platform, or to a local layer
warning | secret LOCAL | vault acme: it is required | fix it
warning | secret MINTED | github: it is down | wait
ok | plain | secrets: 1 | 
failed | secret B | vault acme: it is required | add it on the platform, or to a local layer
failed | secret NAMED | vault acme: it is required | add it on the platform, or to a local layer
failed | secret UNTOLD | vault acme: it is required | add it on the platform, or to a local layer
`, "\n"), lines(r), "a secret of another layer is only a warning, and so is a retryable problem")
		})
	})

	t.Run("warns of local values with a reference", func(t *testing.T) {
		platform := at("B", "${FROM_PLATFORM}", "bootstrap", "https://h")
		platform.Scope = "acme"
		quoted := at("D", "a${C}b", "dotenv", ".env:2")
		quoted.Literal = true
		r := satchel.Check(t.Context(), []bundle.Provider{
			newSource("platform", gives(bundleOf(platform, at("E", "fine", "bootstrap", "https://h")))),
			newSource("local", gives(bundleOf(at("A", "postgres://${DB_USER}:canary@db", "dotenv", ".env:1"), quoted, at("C", "op://vault/item/canary", "yaml", "x.yaml:3"), at("E", "p@$w0rd", "env", "E")))),
		}, "A")
		require.True(t, r.OK())
		got := lines(r)
		require.Contains(t, got, `warning | reference A | dotenv .env:1 refers to a variable, as in ${NAME}, which is not expanded: jobs get this text | write the value itself; if the text is meant, single quotes in a .env file say so
warning | reference C | yaml x.yaml:3 refers to an entry of a secret manager, which is not expanded: jobs get this text | write the value itself
`)
		require.Equal(t, 2, strings.Count(got, "reference "), "platform values, literal text and passwords are no references")
		require.NotContains(t, got, "canary")
	})

	t.Run("warns of local values that shadow the platform's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const host = "https://satchel.example.com"
			r := satchel.Check(t.Context(), []bundle.Provider{
				newSource("platform", gives(bundleOf(at("SAME", "1", "bootstrap", host), at("OTHER", "1", "bootstrap", host), at("THREE", "1", "bootstrap", host)))),
				newSource("yaml", gives(bundleOf(at("THREE", "2", "yaml", "c:/x.yaml:9")))),
				newSource("dotenv", gives(bundleOf(at("SAME", "1", "dotenv", ".env:3"), at("THREE", "1", "dotenv", ".env:4")))),
				newSource("env", gives(bundleOf(at("OTHER", "2", "env", "OTHER")))),
			}, "SAME")
			require.True(t, r.OK(), "a warning is not a failure")
			require.Equal(t, strings.TrimLeft(`
ok | secret SAME | from dotenv .env:3 | 
warning | shadow OTHER | env OTHER shadows another value of bootstrap https://satchel.example.com | remove it from env OTHER, unless the override is intended: updates to the shadowed value have no effect
warning | shadow SAME | dotenv .env:3 shadows the same value of bootstrap https://satchel.example.com | remove line 3 of .env: the value stays the same, and updates to the other value take effect
warning | shadow THREE | dotenv .env:4 shadows another value of yaml c:/x.yaml:9 and the same value of bootstrap https://satchel.example.com | remove line 4 of .env, unless the override is intended: updates to the shadowed value have no effect
`, "\n"), strings.Join(strings.SplitAfter(lines(r), "\n")[4:], ""))
		})
	})

	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			stuck := newSource("stuck", hangs)
			start := time.Now()
			require.False(t, satchel.Check(ctx, []bundle.Provider{stuck}).OK())
			require.Equal(t, time.Second, time.Since(start))
			require.True(t, stuck.idle())
		})
	})

	t.Run("makes one request to a real platform and shows no value", func(t *testing.T) {
		const canary = "c4n4ry-in-the-m1ne-of-the-platform"
		p := vaulttest.NewPlatform(t)
		p.Put(t, "acme", "ANTHROPIC_API_KEY", canary+"-1")
		p.Put(t, "acme/web", "DEPLOY_TOKEN", canary+"-2")
		p.Put(t, "acme/web", "SENTRY_DSN", canary+"-3")
		path := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, os.WriteFile(path, []byte("# mine\nDEPLOY_TOKEN="+canary+"-2\nSENTRY_DSN="+canary+"-local\n"), 0o600))
		layers := []bundle.Provider{
			&providers.Platform{URL: p.URL, Token: p.Token(t, "acme/web"), Client: p.Client},
			&providers.Dotenv{Path: path},
		}
		names := []string{"ANTHROPIC_API_KEY", "DEPLOY_TOKEN"}
		r := satchel.Check(t.Context(), layers, names...)
		require.True(t, r.OK(), "%s", r)
		require.Equal(t, 1, p.Requests(), "one bootstrap request is enough for the report")
		require.Equal(t, 3, r.Bundle.Len())
		text := r.String()
		for _, part := range []string{"runner token", "platform reachable", "TLS", "token accepted", "clock", "dotenv " + path, "secret ANTHROPIC_API_KEY", "fix: remove line 2 of " + path + ": the value stays the same", "ready: "} {
			require.Contains(t, text, part)
		}
		require.NotContains(t, text+fmt.Sprintf("%v %+v %#v", r, r, r), canary)

		bad := func(context.Context) (bundle.Value, error) { return bundle.NewValue("rnt_" + canary), nil }
		r = satchel.Check(t.Context(), []bundle.Provider{&providers.Platform{URL: p.URL, Token: bad, Client: p.Client}}, names...)
		require.False(t, r.OK())
		require.Equal(t, 1, p.Requests(), "an invalid token is rejected before a request")
		require.Contains(t, r.String(), "no reachable layer has it")
		require.NotContains(t, r.String(), canary)
	})
}

func TestReport_String(t *testing.T) {
	r := satchel.Report{Items: []bundle.CheckItem{
		{Name: "TLS", Detail: "1.3"},
		{Name: "sécret A", Status: bundle.CheckWarning, Detail: "expires\nsoon\x1b[2J\u202e", Fix: "rotate it"},
		{Name: "bundle", Status: bundle.CheckFailed, Fix: "try again"},
	}}
	require.Equal(t, strings.TrimPrefix(`
ok       TLS       1.3
warning  sécret A  expires; soon?[2J?
                   fix: rotate it
failed   bundle
                   fix: try again
not ready: 1 ok, 1 warning, 1 failed`, "\n"), r.String())
	require.Equal(t, "ready: 0 ok", satchel.Report{}.String())
	require.True(t, satchel.Report{}.OK())
}
