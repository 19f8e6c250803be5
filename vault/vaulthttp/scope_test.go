package vaulthttp_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

func TestScope_Lists(t *testing.T) {
	a := newAdmin(t)
	a.MustPut(t, "acme/web/pool-a", "A", "1")
	a.MustPut(t, "acme-2", "A", "1")
	a.MustIssue(t, "globex")
	as := func(scopes ...string) {
		a.who = func(*http.Request) (vaulthttp.Actor, error) { return vaulthttp.Actor{Name: "ada", Scopes: scopes}, nil }
	}
	tenants := func() []string { return decode[api.TenantList](t, a.do(t, "GET", "/v1/tenants", ""), 200).Tenants }

	t.Run("tenants are those in which the administrator has a scope", func(t *testing.T) {
		as(vaulthttp.AllScopes)
		require.Equal(t, []string{"acme", "acme-2", "globex"}, tenants())
		as("acme/web", "globex", "nothing/there")
		require.Equal(t, []string{"acme", "globex"}, tenants())
		as("acm", "")
		require.Equal(t, []string{}, tenants(), "an empty list and not null")
	})

	t.Run("scopes are those at and below the requested one", func(t *testing.T) {
		as("acme/web")
		scopes := func(scope string) []string {
			return decode[api.ScopeList](t, a.do(t, "GET", "/v1/scopes?scope="+scope, ""), 200).Scopes
		}
		require.Equal(t, []string{"acme/web", "acme/web/pool-a"}, scopes("acme/web"))
		require.Equal(t, []string{}, scopes("acme/web/pool-b"))
		requireRefusal(t, a.do(t, "GET", "/v1/scopes?scope=acme", ""), 403, "in scope acme", "the parent has other scopes")
	})
}

func TestScope_TokensBelow(t *testing.T) {
	a := newAdmin(t)
	for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a"} {
		a.MustIssue(t, scope)
	}
	for query, want := range map[string]int{"": 1, "&below=false": 1, "&below=true": 3} {
		require.Len(t, decode[api.TokenList](t, a.do(t, "GET", "/v1/tokens?scope=acme"+query, ""), 200).Tokens, want, query)
	}
	for _, bad := range []string{"", "yes", "TRUE", "1"} {
		requireRefusal(t, a.do(t, "GET", "/v1/tokens?scope=acme&below="+bad, ""), 400, "below must be true or false", bad)
	}
}

// An audit.Record and the type that clients decode have the same JSON.
func TestScope_AuditEntry(t *testing.T) {
	full := audit.Record{Seq: 7, Entry: audit.Entry{
		Time: time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC), Action: audit.Deliver, Actor: "ada", Scope: "acme", Name: "A", Version: 3, Token: "id",
		Runner: "r", Addr: "192.0.2.1", Reason: "revoked", Delivered: []string{"acme/A@3"}, Through: 2, Head: "00",
	}}
	sent, err := json.Marshal(full)
	require.NoError(t, err)
	var members map[string]any
	require.NoError(t, json.Unmarshal(sent, &members))
	var got api.AuditEntry
	require.NoError(t, json.Unmarshal(sent, &got))
	again, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(sent), string(again))
	require.Len(t, members, 14, "the test sets every field of an entry")
}
