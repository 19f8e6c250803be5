package providers_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// writeMeta sends a bundle with a Meta and the secret A.
func writeMeta(w http.ResponseWriter, meta bundle.Meta) {
	meta.Revision = "r"
	writeBundle(w, []bundle.Secret{{Name: "A"}}, &meta)
}

func TestPlatform_Check(t *testing.T) {
	t.Run("reports a working platform", func(t *testing.T) {
		var requests atomic.Int64
		now := time.Now()
		valid, client := certificate(t, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))
		expires, rotate := now.AddDate(0, 2, 0), now.AddDate(0, 1, 0)
		server := remotetest.ListenTLS(t, &tls.Config{Certificates: []tls.Certificate{valid}}, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			writeMeta(w, bundle.Meta{Scope: "acme/web", TokenExpires: expires, RotateBy: rotate})
		})
		token, give := newToken()
		b := &providers.Platform{URL: server.URL + "/api", Token: give, Client: client}
		got, items := b.Check(t.Context())
		require.Equal(t, 1, got.Len(), "the fetched bundle is returned")
		remotetest.RequireFixes(t, items)
		require.Equal(t, "ok URL of the platform\nok runner token\nok platform reachable\nok TLS\nok clock\nok token accepted\nok bundle", remotetest.Summary(items))
		require.EqualValues(t, 1, requests.Load(), "one request is sent")
		const form = "2006-01-02 15:04 MST"
		require.Equal(t, server.URL+"/api/runners/bootstrap", remotetest.Item(t, items, "URL of the platform").Detail)
		require.Equal(t, "well formed, id "+token[4:16], remotetest.Item(t, items, "runner token").Detail)
		require.Equal(t, "TLS 1.3, certificate until "+now.AddDate(1, 0, 0).UTC().Format(form), remotetest.Item(t, items, "TLS").Detail)
		require.Equal(t, "expires "+expires.UTC().Format(form)+", rotate by "+rotate.UTC().Format(form), remotetest.Item(t, items, "token accepted").Detail)
		require.Equal(t, "scope acme/web, secrets: 1", remotetest.Item(t, items, "bundle").Detail)
	})

	t.Run("reports every invalid field before a request is sent", func(t *testing.T) {
		b := &providers.Platform{URL: "http://satchel.example.com", Runner: "\n", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
			return bundle.NewValue("rnt_canary"), nil
		}}
		got, items := b.Check(t.Context())
		require.Nil(t, got)
		remotetest.RequireFixes(t, items)
		require.Equal(t, "failed URL of the platform\nfailed runner name\nfailed runner token", remotetest.Summary(items))
		require.Equal(t, "use https; http is for this machine only", items[0].Fix)
		require.Equal(t, "use at most 128 printable ASCII characters", items[1].Fix)
		require.Equal(t, "use the complete token: rnt_ and 61 letters and digits", items[2].Fix)
		require.NotContains(t, fmt.Sprintf("%+v", items), "canary")
	})

	t.Run("reports a missing Token function", func(t *testing.T) {
		b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t)}
		_, items := b.Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, "set it, or use PlatformFromEnv", remotetest.Item(t, items, "runner token").Fix)
	})

	t.Run("reports an unreachable platform", func(t *testing.T) {
		server := httptest.NewServer(nil)
		server.Close()
		_, give := newToken()
		got, items := (&providers.Platform{URL: server.URL, Token: give}).Check(t.Context())
		require.Nil(t, got)
		remotetest.RequireFixes(t, items)
		require.Equal(t, "ok URL of the platform\nok runner token\nfailed platform reachable", remotetest.Summary(items))
		require.Contains(t, items[2].Detail, "connection refused")
	})

	t.Run("distinguishes TLS from reachability", func(t *testing.T) {
		server := remotetest.ListenTLS(t, nil, nil)
		_, give := newToken()
		_, items := (&providers.Platform{URL: server.URL, Token: give}).Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, "ok URL of the platform\nok runner token\nok platform reachable\nfailed TLS", remotetest.Summary(items))
		require.Contains(t, items[3].Fix, "add the authority's certificate")
	})

	t.Run("reports a rejected token", func(t *testing.T) {
		_, items := runnerOf(remotetest.Listen(t, refuse(401, wire.TokenProblem, "expired"))).Check(t.Context())
		remotetest.RequireFixes(t, items)
		failed := remotetest.Item(t, items, "token accepted")
		require.Equal(t, bundle.CheckFailed, failed.Status)
		require.Contains(t, failed.Detail, "status 401 Unauthorized, expired")
		require.Equal(t, "the token has expired: issue a new one on the platform", failed.Fix)
		require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "platform reachable").Status, "any response counts")
		require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "clock").Status)
	})

	t.Run("reports an outage", func(t *testing.T) {
		_, items := runnerOf(remotetest.Listen(t, remotetest.Plainly(503))).Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckFailed, remotetest.Item(t, items, "bundle").Status)
		require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "platform reachable").Status)
	})

	t.Run("reports a redirect to another origin", func(t *testing.T) {
		_, items := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://canary.example.com/", http.StatusFound)
		})).Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Contains(t, remotetest.Item(t, items, "bundle").Detail, "redirect-to-other-origin")
		require.NotContains(t, fmt.Sprintf("%+v", items), "canary")
	})

	t.Run("warns before a token or certificate expires", func(t *testing.T) {
		now := time.Now()
		for name, row := range map[string]struct {
			meta bundle.Meta
			want bundle.CheckStatus
		}{
			"never":                         {bundle.Meta{}, bundle.CheckOK},
			"in a month":                    {bundle.Meta{TokenExpires: now.AddDate(0, 1, 0)}, bundle.CheckOK},
			"in six days":                   {bundle.Meta{TokenExpires: now.AddDate(0, 0, 6)}, bundle.CheckWarning},
			"in six days, rotation in five": {bundle.Meta{TokenExpires: now.AddDate(0, 0, 6), RotateBy: now.AddDate(0, 0, 5)}, bundle.CheckOK},
			"before its rotation":           {bundle.Meta{TokenExpires: now.Add(time.Hour), RotateBy: now.AddDate(0, 1, 0)}, bundle.CheckWarning},
			"after its rotation was due":    {bundle.Meta{TokenExpires: now.AddDate(1, 0, 0), RotateBy: now.AddDate(0, 0, -1)}, bundle.CheckWarning},
		} {
			t.Run(name, func(t *testing.T) {
				b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) { writeMeta(w, row.meta) }))
				_, items := b.Check(t.Context())
				remotetest.RequireFixes(t, items)
				require.Equal(t, row.want.String(), remotetest.Item(t, items, "token accepted").Status.String())
			})
		}
		for name, row := range map[string]struct {
			from, until time.Time
			want        bundle.CheckStatus
		}{
			"a year, a month left":  {now.AddDate(-1, 0, 0), now.AddDate(0, 1, 0), bundle.CheckOK},
			"a year, six days left": {now.AddDate(-1, 0, 0), now.AddDate(0, 0, 6), bundle.CheckWarning},
			"six days, five left":   {now.AddDate(0, 0, -1), now.AddDate(0, 0, 5), bundle.CheckOK},
			"six days, one left":    {now.AddDate(0, 0, -5), now.AddDate(0, 0, 1), bundle.CheckWarning},
		} {
			t.Run("certificate of "+name, func(t *testing.T) {
				valid, client := certificate(t, row.from, row.until)
				server := remotetest.ListenTLS(t, &tls.Config{Certificates: []tls.Certificate{valid}}, func(w http.ResponseWriter, _ *http.Request) { writeMeta(w, bundle.Meta{}) })
				_, give := newToken()
				_, items := (&providers.Platform{URL: server.URL, Token: give, Client: client}).Check(t.Context())
				remotetest.RequireFixes(t, items)
				require.Equal(t, row.want.String(), remotetest.Item(t, items, "TLS").Status.String())
			})
		}
	})

	t.Run("compares the clocks", func(t *testing.T) {
		for name, row := range map[string]struct {
			date string
			want bundle.CheckStatus
			text string
		}{
			"equal":               {time.Now().UTC().Format(http.TimeFormat), bundle.CheckOK, "agrees"},
			"none":                {"", bundle.CheckOK, "not compared"},
			"garbage":             {"canary", bundle.CheckOK, "not compared"},
			"this machine behind": {time.Now().UTC().Add(2 * time.Hour).Format(http.TimeFormat), bundle.CheckWarning, "this machine is 1h59m"},
			"this machine ahead":  {time.Now().UTC().Add(-2 * time.Hour).Format(http.TimeFormat), bundle.CheckWarning, "ahead of the platform"},
		} {
			t.Run(name, func(t *testing.T) {
				b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header()["Date"] = nil
					if row.date != "" {
						w.Header().Set("Date", row.date)
					}
					writeMeta(w, bundle.Meta{})
				}))
				_, items := b.Check(t.Context())
				remotetest.RequireFixes(t, items)
				require.Equal(t, row.want.String(), remotetest.Item(t, items, "clock").Status.String())
				require.Contains(t, remotetest.Item(t, items, "clock").Detail, row.text)
			})
		}
	})

	t.Run("lists each problem of the bundle", func(t *testing.T) {
		b := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) {
			writeMeta(w, bundle.Meta{Problems: []bundle.Problem{
				{Name: "GITHUB_TOKEN", Origin: bundle.Origin{Provider: "github"}, Reason: "GitHub does not respond", Retryable: true},
				{Origin: bundle.Origin{Provider: "bitbucket"}, Reason: "the app was removed"},
			}})
		}))
		got, items := b.Check(t.Context())
		require.Equal(t, 1, got.Len(), "the rest of the bundle is returned")
		remotetest.RequireFixes(t, items)
		github := remotetest.Item(t, items, "secret GITHUB_TOKEN")
		require.Equal(t, bundle.CheckWarning, github.Status)
		require.Equal(t, "bootstrap "+b.URL+" via github: GitHub does not respond", github.Detail)
		require.Contains(t, github.Fix, "may resolve itself")
		bitbucket := remotetest.Item(t, items, "bootstrap "+b.URL+" via bitbucket")
		require.Contains(t, bitbucket.Detail, "the app was removed")
		require.Contains(t, bitbucket.Fix, "fix it on the platform")
	})

	t.Run("accepts loopback without TLS", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeMeta(w, bundle.Meta{}) }))
		t.Cleanup(server.Close)
		_, give := newToken()
		_, items := (&providers.Platform{URL: server.URL, Token: give}).Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Equal(t, bundle.CheckOK, remotetest.Item(t, items, "TLS").Status)
		require.Contains(t, remotetest.Item(t, items, "TLS").Detail, "this machine")
	})

	t.Run("ends with its context and after Timeout", func(t *testing.T) {
		inBubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, b *providers.Platform) {
			start := time.Now()
			_, items := b.Check(t.Context())
			remotetest.RequireFixes(t, items)
			require.Contains(t, remotetest.Item(t, items, "platform reachable").Detail, "no response in time")
			require.Equal(t, 30*time.Second, time.Since(start))

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, items = b.Check(ctx)
			remotetest.RequireFixes(t, items)
			require.Contains(t, remotetest.Item(t, items, "platform reachable").Detail, "context deadline exceeded")
			require.Equal(t, "allow the check more time", remotetest.Item(t, items, "platform reachable").Fix)
		})
	})

	t.Run("reports an error of the Token function", func(t *testing.T) {
		b := &providers.Platform{URL: "https://satchel.example.com", Client: remotetest.RefuseDial(t), Token: func(context.Context) (bundle.Value, error) {
			return bundle.Value{}, errors.New("the key chain is locked")
		}}
		_, items := b.Check(t.Context())
		remotetest.RequireFixes(t, items)
		require.Contains(t, remotetest.Item(t, items, "runner token").Detail, "the key chain is locked")
	})
}
