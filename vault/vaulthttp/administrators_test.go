package vaulthttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

type newAdminJSON struct {
	Token string
	Info  api.Administrator
}

// named returns an administrators' API for named administrators, and the token of chief.
func named(t *testing.T, next func(*http.Request) (vaulthttp.Actor, error)) (a *admin, root string) {
	t.Helper()
	a = newAdmin(t)
	token, _, err := a.AddAdministrator(t.Context(), "chief", &vault.AdministratorOptions{Scopes: []string{vault.AllScopes}})
	require.NoError(t, err)
	a.who = vaulthttp.Authenticate(a.Vault, next)
	return a, token.Reveal()
}

func TestAuthenticate(t *testing.T) {
	t.Run("adds, rotates and removes named administrators", func(t *testing.T) {
		a, root := named(t, nil)
		as := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
		added := decode[newAdminJSON](t, a.do(t, "POST", "/v1/administrators", `{"name":"ada@example.com","scopes":["acme/web"]}`, as(root)...), 201)
		require.Equal(t, "chief", added.Info.Author)
		require.Equal(t, added.Token[4:16], added.Info.TokenID)

		decode[api.Secret](t, a.do(t, "PUT", "/v1/secrets/A?scope=acme/web", `{"value":"1"}`, as(added.Token)...), 200)
		info, err := a.Info(t.Context(), "acme/web", "A")
		require.NoError(t, err)
		require.Equal(t, "ada@example.com", info.Author, "the audit and the version say who")
		requireRefusal(t, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"1"}`, as(added.Token)...), 403, "in scope acme", "another scope")

		rotated := decode[newAdminJSON](t, a.do(t, "POST", "/v1/administrators/ada@example.com/rotate", "", as(root)...), 201)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme/web", "", as(added.Token)...), 401, "Authentication required", "the old token")
		require.Equal(t, 200, a.do(t, "GET", "/v1/secrets?scope=acme/web", "", as(rotated.Token)...).status)
		list := decode[api.AdministratorList](t, a.do(t, "GET", "/v1/administrators", "", as(root)...), 200).Administrators
		require.Len(t, list, 2)
		require.Equal(t, rotated.Info, list[0])

		require.Equal(t, 204, a.do(t, "DELETE", "/v1/administrators/ada@example.com", "", as(root)...).status)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme/web", "", as(rotated.Token)...), 401, "Authentication required", "removed")
		requireRefusal(t, a.do(t, "DELETE", "/v1/administrators/ada@example.com", "", as(root)...), 404, "No such resource", "again")
		requireRefusal(t, a.do(t, "POST", "/v1/administrators", `{"name":"chief","scopes":["acme"]}`, as(root)...), 409, "there is an administrator with this name", "twice")
		requireRefusal(t, a.do(t, "POST", "/v1/administrators", `{"name":"eve","scopes":[]}`, as(root)...), 400, `"scopes" has 0 scopes`, "no scope")
		requireRefusal(t, a.do(t, "POST", "/v1/administrators", `{"name":"eve","scopes":["acme"],"role":"owner"}`, as(root)...), 400, `"role" must be`, "a role")
		for _, token := range []string{added.Token, rotated.Token, root} {
			require.NotContains(t, a.Log.Text(), token)
		}

		page := decode[auditJSON](t, a.do(t, "GET", "/v1/audit?tenant=_platform", "", as(root)...), 200)
		require.Equal(t, "administrator.remove", page.Entries[0].Action)
		require.Equal(t, "chief", page.Entries[0].Actor)
		require.True(t, decode[verifiedJSON](t, a.do(t, "POST", "/v1/audit/verify?tenant=_platform", "", as(root)...), 200).Intact)
	})

	t.Run("lets read-only administrators change nothing", func(t *testing.T) {
		a, _ := named(t, nil)
		a.MustPut(t, "acme", "A", "1")
		id := tokenID(t, a.MustIssue(t, "acme"))
		for _, role := range []api.Role{api.RoleReadOnly, "unknown"} {
			a.who = func(*http.Request) (vaulthttp.Actor, error) {
				return vaulthttp.Actor{Name: "eve", Scopes: []string{vaulthttp.AllScopes}, Role: role}, nil
			}
			a.requireUnchanged(t, "nothing is stored", func() {
				for _, route := range vaulthttp.AdminRoutes() {
					target := strings.NewReplacer("{admin}", "chief", "{name}", "A", "{id}", id).Replace(route.Path)
					if route.Required != "" {
						target += "?" + route.Required + "=acme"
					}
					got := a.do(t, route.Method, target, map[string]string{"PUT": `{"value":"2"}`, "POST": bodyFor(route.Path)}[route.Method])
					if route.Method == "GET" || route.Path == "/v1/audit/verify" {
						require.Equal(t, 200, got.status, "%s may read: %s %s", role, route.Method, target)
						continue
					}
					requireRefusal(t, got, 403, "Read-only administrators", fmt.Sprintf("%s %s %s", role, route.Method, target))
				}
			})
		}
	})

	t.Run("keeps the platform from administrators of scopes", func(t *testing.T) {
		a, _ := named(t, nil)
		a.who = func(*http.Request) (vaulthttp.Actor, error) {
			return vaulthttp.Actor{Name: "ada", Scopes: []string{"acme", "_platform"}}, nil
		}
		for _, request := range [][3]string{
			{"GET", "/v1/administrators"},
			{"POST", "/v1/administrators", `{"name":"eve","scopes":["*"]}`},
			{"POST", "/v1/administrators/chief/rotate"},
			{"DELETE", "/v1/administrators/chief"},
			{"GET", "/v1/audit?tenant=_platform"},
			{"POST", "/v1/audit/verify?tenant=_platform"},
		} {
			requireRefusal(t, a.do(t, request[0], request[1], request[2]), 403, "needs an administrator of all scopes", request[1])
		}
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=_platform", ""), 400, "segment 1 of the scope", "it is no scope")
	})

	t.Run("passes other credentials on", func(t *testing.T) {
		calls := 0
		a, root := named(t, func(*http.Request) (vaulthttp.Actor, error) {
			calls++
			return vaulthttp.Actor{Name: "session", Scopes: []string{"acme"}}, nil
		})
		runner := a.MustIssue(t, "acme").Reveal()
		for _, header := range []string{"", "Basic eDp5", "Bearer " + runner, "Bearer other"} {
			require.Equal(t, 200, a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", header).status)
		}
		require.Equal(t, 4, calls)
		never, _ := wire.NewAdminToken()
		for _, header := range []string{"Bearer " + never, "Bearer " + root[:40], "bearer " + root + "x"} {
			requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", header), 401, "Authentication required", "a token in this form is never anything else")
		}
		require.Equal(t, 4, calls)
		a.who = vaulthttp.Authenticate(a.Vault, nil)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", "Bearer "+runner), 401, "Authentication required", "there is nothing else")
	})

	t.Run("is unavailable, and refuses no token, while it cannot know", func(t *testing.T) {
		a, root := named(t, nil)
		a.Storage.Down.Set(errors.New("clue-from-the-database"))
		got := a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", "Bearer "+root)
		requireRefusal(t, got, 503, "temporarily unavailable", "storage is down")
		require.NotContains(t, string(got.body), "clue")
		a.Storage.Down.Set(nil)
		cold, err := keyring.New(a.KEK, nil)
		require.NoError(t, err)
		v, err := vault.New(t.Context(), a.Storage, cold, nil)
		require.NoError(t, err)
		a.KEK.Break(keyring.ErrUnavailable)
		a.who = vaulthttp.Authenticate(v, nil)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", "Bearer "+root), 503, "temporarily unavailable", "the key service is down")
	})

	t.Run("refuses an expired token", func(t *testing.T) {
		a, _ := named(t, nil)
		token, _, err := a.AddAdministrator(t.Context(), "ada", &vault.AdministratorOptions{Scopes: []string{"acme"}, Expires: time.Now().Add(50 * time.Millisecond)})
		require.NoError(t, err)
		time.Sleep(60 * time.Millisecond)
		requireRefusal(t, a.do(t, "GET", "/v1/secrets?scope=acme", "", "Authorization", "Bearer "+token.Reveal()), 401, "Authentication required", "expired")
	})
}
