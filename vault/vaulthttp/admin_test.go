package vaulthttp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// secretJSON, tokenJSON and the like have the members that the tests check.
type secretJSON struct {
	Scope, Name, Kind, Preview, Delivery, Author string
	Version                                      int64
	Active, Hidden                               bool
	ExpiresAt                                    time.Time `json:"expires_at"`
	LastToken                                    string    `json:"last_token"`
}

type tokenJSON struct {
	ID, Scope, Label, Author string
	RevokedAt                time.Time `json:"revoked_at"`
	RevokedBy                string    `json:"revoked_by"`
	ExpiresAt                time.Time `json:"expires_at"`
	Waived                   []string
}

func TestAdmin_Secrets(t *testing.T) {
	t.Run("puts, shows, activates, hides and deletes", func(t *testing.T) {
		a := newAdmin(t)
		const one = "/v1/secrets/ANTHROPIC_API_KEY?scope=acme/web"
		end := soon()

		put := a.do(t, "PUT", one, `{"value":"sk-ant-the-first-value-0123456789","kind":"anthropic","delivery":"file","expires_at":"`+end.Format(time.RFC3339Nano)+`"}`)
		first := decode[secretJSON](t, put, 200)
		require.Equal(t, secretJSON{
			Scope: "acme/web", Name: "ANTHROPIC_API_KEY", Kind: "anthropic", Preview: "sk-a****6789", Delivery: "file", Author: "alice",
			Version: 1, Active: true, ExpiresAt: end,
		}, first)
		require.Equal(t, `"1"`, put.header.Get("ETag"), "the version is the entity tag")

		second := decode[secretJSON](t, a.do(t, "PUT", one, `{"value":"sk-ant-the-other-value-0123456789"}`), 200)
		require.Equal(t, int64(2), second.Version)
		require.Equal(t, "file", second.Delivery, "omitted settings stay")
		token := a.MustIssue(t, "acme/web/pool-a")
		require.Equal(t, "sk-ant-the-other-value-0123456789", a.Values(t, token)["ANTHROPIC_API_KEY"])

		versions := decode[struct{ Versions []secretJSON }](t, a.do(t, "GET", "/v1/secrets/ANTHROPIC_API_KEY/versions?scope=acme/web", ""), 200).Versions
		require.Len(t, versions, 2)
		require.Equal(t, int64(2), versions[0].Version, "newest first")
		require.Equal(t, tokenID(t, token), versions[0].LastToken)

		back := a.do(t, "POST", "/v1/secrets/ANTHROPIC_API_KEY/activate?scope=acme/web", `{"version":1}`)
		require.Equal(t, int64(1), decode[secretJSON](t, back, 200).Version)
		require.Equal(t, `"1"`, back.header.Get("ETag"))
		require.Equal(t, "sk-ant-the-first-value-0123456789", a.Values(t, token)["ANTHROPIC_API_KEY"])

		require.True(t, decode[secretJSON](t, a.do(t, "POST", "/v1/secrets/ANTHROPIC_API_KEY/hide?scope=acme/web", ""), 200).Hidden)
		require.NotContains(t, a.Values(t, token), "ANTHROPIC_API_KEY")
		shown := decode[secretJSON](t, a.do(t, "GET", one, ""), 200)
		require.True(t, shown.Hidden && shown.Active)

		list := decode[struct{ Secrets []secretJSON }](t, a.do(t, "GET", "/v1/secrets?scope=acme%2Fweb", ""), 200).Secrets
		require.Equal(t, []secretJSON{shown}, list, "a slash of the query may be written as %2F")

		require.Equal(t, 204, a.do(t, "DELETE", one, "").status)
		for _, gone := range []*reply{
			a.do(t, "GET", one, ""), a.do(t, "DELETE", one, ""),
			a.do(t, "GET", "/v1/secrets/ANTHROPIC_API_KEY/versions?scope=acme/web", ""),
			a.do(t, "POST", "/v1/secrets/ANTHROPIC_API_KEY/activate?scope=acme/web", `{"version":1}`),
		} {
			requireRefusal(t, gone, 404, "ANTHROPIC_API_KEY", "deleted secrets are not found")
		}
		require.JSONEq(t, `{"secrets":[]}`, string(a.do(t, "GET", "/v1/secrets?scope=acme/web", "").body), "a list is never null")
	})

	t.Run("names the secret in a refusal", func(t *testing.T) {
		a := newAdmin(t)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets/A?scope=acme", ""), 404, `reading secret "A" in scope "acme": not found`, "the secret is named")
		requireRefusal(t, a.do(t, "GET", "/v1/secrets/A/versions?scope=acme", ""), 404, `reading the history of secret "A" in scope "acme": not found`, "the history is named")
	})
}

func TestAdmin_Tokens(t *testing.T) {
	t.Run("issues, shows, rotates and revokes", func(t *testing.T) {
		a := newAdmin(t)
		type issued struct {
			Token string
			Info  tokenJSON
		}
		end := soon()
		got := decode[issued](t, a.do(t, "POST", "/v1/tokens?scope=acme/web", `{"label":"pool a","waive":["ANTHROPIC_API_KEY"],"expires_at":"`+end.Format(time.RFC3339Nano)+`"}`), 201)
		require.Equal(t, got.Info, tokenJSON{
			ID: tokenID(t, bundle.NewValue(got.Token)), Scope: "acme/web", Label: "pool a", Author: "alice", ExpiresAt: end, Waived: []string{"ANTHROPIC_API_KEY"},
		})
		require.NotNil(t, a.Bundle(t, bundle.NewValue(got.Token)), "the token works")

		path := "/v1/tokens/" + got.Info.ID
		require.Equal(t, got.Info, decode[tokenJSON](t, a.do(t, "GET", path, ""), 200))
		list := decode[struct{ Tokens []tokenJSON }](t, a.do(t, "GET", "/v1/tokens?scope=acme/web", ""), 200).Tokens
		require.Equal(t, []tokenJSON{got.Info}, list)
		require.JSONEq(t, `{"tokens":[]}`, string(a.do(t, "GET", "/v1/tokens?scope=acme", "").body))

		next := decode[issued](t, a.do(t, "POST", path+"/rotate", `{"overlap_seconds":60}`), 201)
		require.NotEqual(t, got.Token, next.Token)
		require.Equal(t, "pool a", next.Info.Label)
		ends := decode[tokenJSON](t, a.do(t, "GET", path, ""), 200).RevokedAt
		require.WithinDuration(t, time.Now().Add(time.Minute), ends, 10*time.Second, "the old one ends after the overlap")
		for _, token := range []string{got.Token, next.Token} {
			require.NotNil(t, a.Bundle(t, bundle.NewValue(token)), "both work meanwhile")
		}

		require.Equal(t, 204, a.do(t, "POST", path+"/revoke", `{}`).status)
		_, err := a.Bootstrap(t.Context(), bundle.NewValue(got.Token), nil)
		requireReason(t, err, vault.TokenRevoked, "it ends immediately")
		require.Equal(t, "alice", decode[tokenJSON](t, a.do(t, "GET", path, ""), 200).RevokedBy)
		requireRefusal(t, a.do(t, "POST", path+"/rotate", ""), 400, "the token is revoked; issue a new one", "a revoked token cannot be rotated")

		for _, body := range []string{`{"overlap_seconds":0}`, `{"overlap_seconds":-1}`, `{"overlap_seconds":7776001}`, `{"overlap_seconds":9223372036854775807}`} {
			requireRefusal(t, a.do(t, "POST", "/v1/tokens/"+next.Info.ID+"/rotate", body), 400, `"overlap_seconds" must be from 1 to 7776000`, "an overlap is bounded")
		}
	})

	t.Run("does not tell a token outside the actor's scopes from an unknown one", func(t *testing.T) {
		a := newAdmin(t)
		id := tokenID(t, a.MustIssue(t, "acme/web"))
		a.who = func(*http.Request) (vaulthttp.Actor, error) {
			return vaulthttp.Actor{Scopes: []string{"acme/api", "other"}}, nil
		}
		var replies []*reply
		for _, id := range []string{id, "AAAAAAAAAAAA"} {
			for _, request := range [][2]string{{"GET", ""}, {"POST", "/rotate"}, {"POST", "/revoke"}} {
				got := a.do(t, request[0], "/v1/tokens/"+id+request[1], "")
				requireRefusal(t, got, 404, "No such token", "the responses are the same")
				replies = append(replies, got)
			}
		}
		for _, got := range replies {
			require.Equal(t, replies[0].body, got.body)
		}
		infos, err := a.Tokens(t.Context(), "acme/web")
		require.NoError(t, err)
		require.True(t, infos[0].Revoked.IsZero())
	})
}

func TestAdmin_Scope(t *testing.T) {
	a := newAdmin(t)
	a.Bundle(t, a.MustIssue(t, "acme/web")) // mints
	integrations := decode[struct {
		Integrations []struct {
			Name, Scope, Problem string
			MintedAt             time.Time `json:"minted_at"`
		}
	}](t, a.do(t, "GET", "/v1/integrations?scope=acme/web", ""), 200).Integrations
	require.Len(t, integrations, 1)
	require.Equal(t, "github", integrations[0].Name)
	require.False(t, integrations[0].MintedAt.IsZero())

	readiness := decode[struct {
		Ready bool
		Items []struct {
			Name, Status, Detail string
			From                 struct{ Provider, Location string }
		}
	}](t, a.do(t, "GET", "/v1/readiness?scope=acme/web", ""), 200)
	require.False(t, readiness.Ready)
	require.Equal(t, "ANTHROPIC_API_KEY", readiness.Items[0].Name)
	require.Equal(t, "missing", readiness.Items[0].Status)
	require.Contains(t, readiness.Items[0].Detail, "ask the platform team")
	require.Equal(t, "present", readiness.Items[1].Status)
	require.Equal(t, "github", readiness.Items[1].From.Provider)
	require.JSONEq(t, `{"integrations":[]}`, string(a.do(t, "GET", "/v1/integrations?scope=other", "").body))
	require.JSONEq(t, `{"scope":"other","ready":true,"items":[]}`, string(a.do(t, "GET", "/v1/readiness?scope=other", "").body))
}

func TestAdmin_Conditions(t *testing.T) {
	t.Run("refuses a write that would lose another", func(t *testing.T) {
		a := newAdmin(t)
		const one = "/v1/secrets/A?scope=acme"
		require.Equal(t, 200, a.do(t, "PUT", one, `{"value":"1"}`, "If-None-Match", "*").status)
		requireRefusal(t, a.do(t, "PUT", one, `{"value":"2"}`, "If-None-Match", "*"), 412, "the secret exists, at version 1", "it must not exist")
		require.Equal(t, 200, a.do(t, "PUT", one, `{"value":"2"}`, "If-Match", `"1"`).status)
		requireRefusal(t, a.do(t, "PUT", one, `{"value":"3"}`, "If-Match", `"1"`), 412, "the secret is at version 2; version 1 was expected", "version 2 must not be lost")
		requireRefusal(t, a.do(t, "PUT", "/v1/secrets/B?scope=acme", `{"value":"3"}`, "If-Match", `"1"`), 412, "the secret does not exist", "there is no version")
		require.Equal(t, "2", a.Values(t, a.MustIssue(t, "acme"))["A"])
	})

	t.Run("refuses a condition that it would ignore", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		id := tokenID(t, a.MustIssue(t, "acme"))
		a.requireUnchanged(t, "nothing is written under an unsupported condition", func() {
			for _, headers := range [][]string{
				{"If-Match", `*`}, {"If-Match", `W/"1"`}, {"If-Match", `"1", "2"`}, {"If-Match", `"1"`, "If-Match", `"1"`}, {"If-Match", `1`},
				{"If-Match", `"0"`}, {"If-Match", `"-1"`}, {"If-Match", `"01"`}, {"If-Match", `"+1"`}, {"If-Match", `"9223372036854775808"`}, {"If-Match", `"abc"`},
				{"If-None-Match", `"1"`}, {"If-None-Match", `**`}, {"If-None-Match", `*`, "If-Match", `"1"`},
				{"If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT"},
			} {
				requireRefusal(t, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"2"}`, headers...), 400, headers[0][:3], fmt.Sprint(headers))
			}
			for _, request := range [][2]string{
				{"DELETE", "/v1/secrets/A?scope=acme"}, {"POST", "/v1/secrets/A/hide?scope=acme"}, {"POST", "/v1/secrets/A/activate?scope=acme"},
				{"POST", "/v1/tokens?scope=acme"}, {"POST", "/v1/tokens/" + id + "/rotate"}, {"POST", "/v1/tokens/" + id + "/revoke"},
			} {
				requireRefusal(t, a.do(t, request[0], request[1], "", "If-Match", `"7"`), 400, "If-Match is not supported here", request[0]+request[1])
			}
		})
	})

	t.Run("lets one of several concurrent writes win", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "0")
		var won atomic.Int64
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				got := a.do(t, "PUT", "/v1/secrets/A?scope=acme", fmt.Sprintf(`{"value":"%d"}`, i+1), "If-Match", `"1"`)
				if got.status == 200 {
					won.Add(1)
				} else if got.status != 412 {
					t.Errorf("a write that lost got status %d", got.status)
				}
			})
		}
		group.Wait()
		require.Equal(t, int64(1), won.Load())
		info, err := a.Info(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Equal(t, int64(2), info.Version, "no update was lost")
	})

	t.Run("responds 409 to a write that keeps losing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newAdminOver(t, contended{memstore.New()}, nil)
			requireRefusal(t, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"1"}`), 409, "conflicted with another write", "the vault gives up")
		})
	})
}

// contended is a storage in which another write always wins.
type contended struct{ store.Store }

func (c contended) Apply(ctx context.Context, change *store.Change) error {
	if len(change.Insert) > 0 {
		return store.ErrConflict
	}
	return c.Store.Apply(ctx, change)
}

func TestActor_Covers(t *testing.T) {
	t.Run("limits an administrator to those scopes and the scopes below", func(t *testing.T) {
		a := newAdmin(t)
		web := vaulthttp.Actor{Name: "bob", Scopes: []string{"acme/web"}}
		for _, row := range []struct {
			actor vaulthttp.Actor
			scope string
			may   bool
		}{
			{web, "acme/web", true},
			{web, "acme/web/pool-a", true},
			{web, "acme", false},
			{web, "acme/web-2", false},
			{web, "acme/we", false},
			{web, "acme/api", false},
			{web, "other", false},
			{vaulthttp.Actor{Name: "root", Scopes: []string{"x", vaulthttp.AllScopes}}, "other", true},
			{vaulthttp.Actor{Name: "powerless"}, "acme", false},
			{vaulthttp.Actor{Name: "odd", Scopes: []string{"", "acme/", "/", "acme/*", "ACME"}}, "acme/web", false},
		} {
			a.who = func(*http.Request) (vaulthttp.Actor, error) { return row.actor, nil }
			require.Equal(t, row.may, row.actor.Covers(row.scope), "%v covers %s", row.actor.Scopes, row.scope)
			for _, route := range vaulthttp.AdminRoutes() {
				if route.Required != "scope" {
					continue
				}
				target := strings.ReplaceAll(route.Path, "{name}", "A") + "?scope=" + row.scope
				got := a.do(t, route.Method, target, "")
				if row.may {
					require.NotContains(t, []int{401, 403}, got.status, "%s may %s %s", row.actor.Name, route.Method, target)
				} else {
					requireRefusal(t, got, 403, "in scope "+row.scope, fmt.Sprintf("%s may not %s %s", row.actor.Name, route.Method, target))
				}
			}
			got := a.do(t, "GET", "/v1/audit?tenant="+store.Tenant(row.scope), "")
			require.Equal(t, row.actor.Covers(store.Tenant(row.scope)), got.status == 200, "the audit chain needs an administrator of the entire tenant: %v", row.actor.Scopes)
		}
	})

	t.Run("is false for an empty scope", func(t *testing.T) {
		require.False(t, vaulthttp.Actor{Scopes: []string{""}}.Covers(""))
		require.False(t, vaulthttp.Actor{Scopes: []string{""}}.Covers("acme"))
	})
}

func TestAdmin_Authorize(t *testing.T) {
	t.Run("runs before anything else", func(t *testing.T) {
		const clue = "clue-from-the-identity-provider"
		for about, row := range map[string]struct {
			actor  vaulthttp.Actor
			err    error
			status int
		}{
			"an error":                   {err: errors.New(clue), status: 401},
			"forbidden":                  {err: fmt.Errorf("%s: %w", clue, vaulthttp.ErrForbidden), status: 403},
			"an actor beside an error":   {actor: vaulthttp.Actor{Name: "root", Scopes: []string{"*"}}, err: errors.New(clue), status: 401},
			"a name with a control code": {actor: vaulthttp.Actor{Name: clue + "\n", Scopes: []string{"*"}}, status: 403},
			"a name that is too long":    {actor: vaulthttp.Actor{Name: strings.Repeat("x", 257), Scopes: []string{"*"}}, status: 403},
		} {
			t.Run(about, func(t *testing.T) {
				a := newAdmin(t)
				id := tokenID(t, a.MustIssue(t, "acme"))
				a.who = func(*http.Request) (vaulthttp.Actor, error) { return row.actor, row.err }
				before := a.Storage.Calls()
				for _, route := range vaulthttp.AdminRoutes() {
					target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(route.Path)
					got := a.do(t, route.Method, target+"?scope=acme", `{"value":"1"}`)
					require.Equal(t, row.status, got.status, "%s %s", route.Method, target)
					require.NotContains(t, string(got.body), clue)
					require.Equal(t, row.status == 401, got.header.Get("WWW-Authenticate") != "")
				}
				require.Equal(t, before, a.Storage.Calls(), "the storage was not used")
				require.NotContains(t, a.Log.Text(), clue, "authorize's errors are not logged")
			})
		}
		t.Run("behind a proxy", func(t *testing.T) {
			a := newAdmin(t)
			refuse := func(*http.Request) (vaulthttp.Actor, error) { return vaulthttp.Actor{}, errors.New(clue) }
			a.handler = vaulthttp.Admin(a.Vault, refuse, &vaulthttp.AdminOptions{
				Logger:     a.Log.Logger(),
				RemoteAddr: func(r *http.Request) string { return r.Header.Get("X-Real-IP") },
			})
			require.Equal(t, 401, a.do(t, "GET", "/v1/secrets?scope=acme", "", "X-Real-IP", "198.51.100.9").status)
			require.Contains(t, a.Log.Text(), "address=198.51.100.9", "the log has the client's address, not the proxy's")
			require.Equal(t, 401, a.do(t, "GET", "/v1/secrets?scope=acme", "", "X-Real-IP", strings.Repeat("9", 257)).status)
			require.NotContains(t, a.Log.Text(), "9999", "an invalid address is omitted")
		})
		t.Run("no authorize", func(t *testing.T) {
			a := newAdmin(t)
			a.handler = vaulthttp.Admin(a.Vault, nil, nil)
			require.Equal(t, 403, a.do(t, "GET", "/v1/secrets?scope=acme", "").status)
		})
	})

	t.Run("makes the actor the author", func(t *testing.T) {
		a := newAdmin(t)
		a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"1"}`)
		entries := decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=acme", ""), 200).Entries
		require.Equal(t, "alice", entries[0].Actor)
		require.Equal(t, "secret.put", entries[0].Action)
	})
}

func TestAdmin_TokenInText(t *testing.T) {
	a := newAdmin(t)
	token, _ := wire.NewToken()
	for _, text := range []string{token, "of ada: " + token, "sat_" + token[4:], token[:60]} {
		for _, row := range []struct{ method, target, body string }{
			{"POST", "/v1/tokens?scope=acme", `{"label":"` + text + `"}`},
			{"POST", "/v1/tokens?scope=acme", `{"waive":["` + text + `"]}`},
			{"PUT", "/v1/secrets/A?scope=acme", `{"value":"1","kind":"` + text + `"}`},
			{"PUT", "/v1/secrets/" + url.PathEscape(text) + "?scope=acme", `{"value":"1"}`},
			{"DELETE", "/v1/tokens/" + url.PathEscape(text), ""},
		} {
			got := a.do(t, row.method, row.target, row.body)
			require.Equal(t, 400, got.status, "%s %s: %s", row.method, row.target, got.body)
			require.False(t, wire.HoldsToken(string(got.body)), "%s", got.body)
		}
		who := a.who
		a.who = func(*http.Request) (vaulthttp.Actor, error) {
			return vaulthttp.Actor{Name: text, Scopes: []string{vaulthttp.AllScopes}}, nil
		}
		require.Equal(t, 403, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"1"}`).status, "an actor's name")
		a.who = who
	}
	require.False(t, wire.HoldsToken(a.Log.Text()), "the log")
	require.Empty(t, decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=acme", ""), 200).Entries, "nothing was stored")
}

// remotely returns a request from the network.
func remotely(t testing.TB, method, target string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
}

func TestAdmin_TLS(t *testing.T) {
	a := newAdmin(t)
	requireRefusal(t, a.send(t, remotely(t, "GET", "/v1/secrets?scope=acme")), 403, "TLS is required", "the network could read it")
	secure := remotely(t, "GET", "https://satchel.example.com/v1/secrets?scope=acme")
	require.NotNil(t, secure.TLS)
	require.Equal(t, 200, a.send(t, secure).status)
	who := a.who
	a.handler = vaulthttp.Admin(a.Vault, who, &vaulthttp.AdminOptions{AllowPlaintext: true, Logger: a.Log.Logger()})
	require.Equal(t, 200, a.send(t, remotely(t, "GET", "/v1/secrets?scope=acme")).status, "a proxy may terminate TLS")
}

func TestAdmin_Failures(t *testing.T) {
	const clue = "clue-from-the-database"
	for about, row := range map[string]struct {
		trouble func(a *admin)
		status  int
	}{
		"storage down":     {func(a *admin) { a.Storage.Down.Set(errors.New(clue)) }, 503},
		"key service down": {func(a *admin) { a.KEK.Break(keyring.ErrUnavailable) }, 503},
		"access denied":    {func(a *admin) { a.KEK.Break(keyring.ErrDenied) }, 503},
		"tampered": {func(a *admin) {
			a.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
				for i := range snap.Path[0].Secrets {
					snap.Path[0].Secrets[i].Kind = clue
				}
				for i := range snap.Path[0].Docs {
					snap.Path[0].Docs[i].Key = clue
				}
			})
		}, 500},
	} {
		t.Run(about, func(t *testing.T) {
			warm := newAdmin(t)
			warm.MustPut(t, "acme", "A", "1")
			id := tokenID(t, warm.MustIssue(t, "acme"))
			_, _, err := warm.AddAdministrator(t.Context(), "ada", &vault.AdministratorOptions{Scopes: []string{"acme"}})
			require.NoError(t, err)
			a := newAdminOver(t, warm.Storage.Store, nil) // without keys in memory
			a.KEK = warm.KEK
			keys, err := keyring.New(a.KEK, nil)
			require.NoError(t, err)
			a.Vault, err = vault.New(t.Context(), a.Storage, keys, &vault.Options{Logger: a.Log.Logger()})
			require.NoError(t, err)
			a.handler = vaulthttp.Admin(a.Vault, a.who, &vaulthttp.AdminOptions{Logger: a.Log.Logger()})
			row.trouble(a)
			for _, route := range vaulthttp.AdminRoutes() {
				target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(route.Path)
				if route.Required != "" {
					target += "?" + route.Required + "=acme"
				}
				got := a.do(t, route.Method, target, map[string]string{"PUT": `{"value":"2"}`, "POST": bodyFor(route.Path)}[route.Method])
				if route.Path == "/v1/tenants" && about != "storage down" {
					require.Equal(t, 200, got.status, "the names of tenants are neither encrypted nor sealed")
					continue
				}
				require.Equal(t, row.status, got.status, "%s %s: %s", route.Method, target, got.body)
				require.NotContains(t, string(got.body), clue, "the client gets a fixed text")
				if row.status == 503 {
					seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
					require.NoError(t, err)
					require.Positive(t, seconds)
				}
			}
			require.Positive(t, a.Log.Errors(), "the log has the cause")
		})
	}
}

// bodyFor returns a valid body for the route.
func bodyFor(path string) string {
	if strings.HasSuffix(path, "/activate") {
		return `{"version":1}`
	}
	if path == "/v1/administrators" {
		return `{"name":"bob","scopes":["acme"]}`
	}
	return ""
}

// stubborn is a sink that records nothing.
type stubborn struct{}

func (stubborn) Record(context.Context, string, []audit.Record) error {
	return errors.New("the sink is full")
}

func TestAdmin_Audit(t *testing.T) {
	t.Run("refuses a write that cannot be recorded", func(t *testing.T) {
		a := newAdminOver(t, memstore.New(), func(o *vault.Options) { o.Audit = []audit.Sink{stubborn{}} })
		for value := range 2 {
			got := a.do(t, "PUT", "/v1/secrets/A?scope=acme", fmt.Sprintf(`{"value":"%d"}`, value))
			requireRefusal(t, got, 503, "A change may be stored", "by default every write is recorded")
			require.NotContains(t, string(got.body), "the sink is full")
		}
		a.do(t, "PUT", "/v1/secrets/B?scope=acme", `{"value":"1"}`)
		listed := string(a.do(t, "GET", "/v1/secrets?scope=acme", "").body)
		require.Contains(t, listed, `"name":"A"`, "the first one is stored, before the sink fails")
		require.NotContains(t, listed, `"name":"B"`, "and no other")
	})
}

func TestAdmin_Mounted(t *testing.T) {
	t.Run("works below a prefix and over a network", func(t *testing.T) {
		a := newAdmin(t)
		mux := http.NewServeMux()
		mux.Handle("/admin/", http.StripPrefix("/admin", a.handler))
		server := httptest.NewTLSServer(mux)
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), "PUT", server.URL+"/admin/v1/secrets/A?scope=acme", strings.NewReader(`{"value":"1"}`))
		require.NoError(t, err)
		r.Header.Set(vaulthttp.AdminHeader, "1")
		r.Header.Set("Content-Type", "application/json; charset=UTF-8")
		response, err := server.Client().Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, 200, response.StatusCode)
		require.Equal(t, `"1"`, response.Header.Get("ETag"))

		response, err = server.Client().Head(server.URL + "/admin/v1/secrets/A?scope=acme")
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, 200, response.StatusCode)
	})

	t.Run("gives authorize the request of the outer mux", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		a.who = func(r *http.Request) (vaulthttp.Actor, error) {
			return vaulthttp.Actor{Name: r.PathValue("tenant"), Scopes: []string{r.PathValue("tenant")}}, nil
		}
		pattern := "/t/{tenant}/v1/{rest...}"
		mux := http.NewServeMux()
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			http.StripPrefix("/t/"+r.PathValue("tenant"), a.handler).ServeHTTP(w, r)
			require.Equal(t, pattern, r.Pattern)
		})
		mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
			a.handler.ServeHTTP(w, r)
			require.Equal(t, "/v1/", r.Pattern, "the caller's request stays unchanged")
		})
		status := func(target string) int {
			return serve(mux, httptest.NewRequestWithContext(t.Context(), "GET", target, nil)).status
		}
		require.Equal(t, 200, status("/t/acme/v1/secrets/A?scope=acme"))
		require.Equal(t, 403, status("/t/other/v1/secrets/A?scope=acme"))
		require.Equal(t, 403, status("/v1/secrets/A?scope=acme"))
	})
}
