package admin_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/admin"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// leftOut has the operations without a method, with the reason.
var leftOut = map[string]string{
	"GET /runners/bootstrap": "runners use providers.Platform",
}

// operations returns the operations in docs/openapi.yaml, such as
// "GET /v1/secrets/{name}".
func operations(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("../docs/openapi.yaml")
	require.NoError(t, err)
	var described struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	require.NoError(t, yaml.Unmarshal(data, &described))
	var out []string
	for path, item := range described.Paths {
		for method := range item {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	return out
}

func TestClient_Operations(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	reached := map[string]bool{}
	names, ids := regexp.MustCompile(`/secrets/[^/]+`), regexp.MustCompile(`/tokens/[^/]+`)
	admins := regexp.MustCompile(`/administrators/[^/]+`)
	note := func(err error) {
		t.Helper()
		require.NoError(t, err)
		r := p.seen.Load()
		reached[r.Method+" "+admins.ReplaceAllString(ids.ReplaceAllString(names.ReplaceAllString(r.URL.Path, "/secrets/{name}"), "/tokens/{id}"), "/administrators/{admin}")] = true
	}

	_, err := c.Put(ctx, "acme/web", "A", value(canary), nil)
	note(err)
	_, err = c.Info(ctx, "acme/web", "A")
	note(err)
	_, err = c.List(ctx, "acme/web")
	note(err)
	_, err = c.History(ctx, "acme/web", "A")
	note(err)
	_, err = c.Activate(ctx, "acme/web", "A", 1)
	note(err)
	_, err = c.Hide(ctx, "acme/web", "A")
	note(err)
	note(c.Delete(ctx, "acme/web", "A"))
	_, info, err := c.IssueToken(ctx, "acme/web", nil)
	note(err)
	_, err = c.Tokens(ctx, "acme/web")
	note(err)
	_, err = c.Token(ctx, info.ID)
	note(err)
	_, _, err = c.RotateToken(ctx, info.ID, nil)
	note(err)
	note(c.RevokeToken(ctx, info.ID))
	_, err = c.Readiness(ctx, "acme/web")
	note(err)
	_, err = c.Integrations(ctx, "acme/web")
	note(err)

	_, _, err = c.AddAdministrator(ctx, "ada@example.com", &admin.AdministratorOptions{Scopes: []string{"acme"}})
	note(err)
	_, err = c.Administrators(ctx)
	note(err)
	_, _, err = c.RotateAdministrator(ctx, "ada@example.com", time.Time{})
	note(err)
	note(c.RemoveAdministrator(ctx, "ada@example.com"))
	_, err = c.Tenants(ctx)
	note(err)
	_, err = c.Scopes(ctx, "acme/web")
	note(err)
	_, err = c.TokensBelow(ctx, "acme/web")
	note(err)
	_, err = c.Audit(ctx, "acme", 0, 0)
	note(err)
	_, err = c.VerifyAudit(ctx, "acme", nil)
	note(err)

	for _, op := range operations(t) {
		_, out := leftOut[op]
		require.NotEqual(t, reached[op], out, "%s has either a method that this test calls or a reason", op)
		delete(reached, op)
	}
	require.Empty(t, reached, "every request is described in docs/openapi.yaml")
}

func TestClient_Secrets(t *testing.T) {
	t.Run("are written and never read back", func(t *testing.T) {
		p := newPlatform(t)
		c, ctx := p.client(), t.Context()
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		info, err := c.Put(ctx, "acme/web", "A", value("sk-a-0123456789-canary-of-a-value"), &admin.PutOptions{
			Kind: "anthropic", Comment: "of the build team", Expires: expires, Delivery: bundle.DeliverFile,
		})
		require.NoError(t, err)
		require.Equal(t, "acme/web", info.Scope)
		require.Equal(t, "sk-a****alue", info.Preview)
		require.Equal(t, "anthropic", info.Kind)
		require.Equal(t, "of the build team", info.Comment)
		require.Equal(t, bundle.DeliverFile, info.Delivery)
		require.Equal(t, "alice", info.Author)
		require.EqualValues(t, 1, info.Version)
		require.True(t, info.Active)
		require.True(t, info.Expires.Equal(expires))
		require.False(t, info.Created.IsZero())

		again, err := c.Put(ctx, "acme/web", "A", value("second"), nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, again.Version)
		require.False(t, again.Rotated.IsZero())

		history, err := c.History(ctx, "acme/web", "A")
		require.NoError(t, err)
		require.Len(t, history, 2)
		require.EqualValues(t, 2, history[0].Version, "the newest version is first")

		back, err := c.Activate(ctx, "acme/web", "A", 1)
		require.NoError(t, err)
		require.EqualValues(t, 1, back.Version)
		shown, err := c.Info(ctx, "acme/web", "A")
		require.NoError(t, err)
		require.EqualValues(t, 1, shown.Version)

		hidden, err := c.Hide(ctx, "acme/web", "A")
		require.NoError(t, err)
		require.True(t, hidden.Hidden)
		require.NoError(t, c.Delete(ctx, "acme/web", "A"))
		list, err := c.List(ctx, "acme/web")
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

func TestClient_Put(t *testing.T) {
	t.Run("keeps the value byte for byte", func(t *testing.T) {
		p := newPlatform(t)
		ctx := t.Context()
		token, _, err := p.IssueToken(ctx, "acme", nil)
		require.NoError(t, err)
		for _, text := range []string{"", "x", "<&>\u2028\"\\", "ends in a line break\n", "é漢😀", strings.Repeat("\x01", admin.MaxValue)} {
			_, err := p.client().Put(ctx, "acme", "A", value(text), &admin.PutOptions{AllowTrailingNewline: true})
			require.NoError(t, err)
			b, err := p.Bootstrap(ctx, token, nil)
			require.NoError(t, err)
			got, _ := b.Get("A")
			require.True(t, got.Value.Equal(value(text)), "%d bytes arrive", len(text))
		}
	})

	t.Run("honors IfVersion", func(t *testing.T) {
		p := newPlatform(t)
		c, ctx := p.client(), t.Context()
		_, err := c.Put(ctx, "acme", "A", value("first"), &admin.PutOptions{IfVersion: admin.IfAbsent})
		require.NoError(t, err)
		_, err = c.Put(ctx, "acme", "A", value("first"), &admin.PutOptions{IfVersion: admin.IfAbsent})
		require.ErrorIs(t, err, admin.ErrConflict, "the secret exists, whatever its value")
		_, err = c.Put(ctx, "acme", "A", value("second"), &admin.PutOptions{IfVersion: 1})
		require.NoError(t, err)
		_, err = c.Put(ctx, "acme", "A", value("third"), &admin.PutOptions{IfVersion: 1})
		require.ErrorIs(t, err, admin.ErrConflict, "another version is active")
		require.NotErrorIs(t, err, admin.ErrNotFound)
		_, err = c.Put(ctx, "acme", "A", value("third"), &admin.PutOptions{IfVersion: -7})
		require.ErrorContains(t, err, "IfVersion is -7")
		require.Equal(t, admin.IfAbsent, vault.IfAbsent)
		require.Equal(t, admin.MaxValue, vault.MaxValue)
	})
}

func TestErrNotFound(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	_, err := c.Info(ctx, "acme", "A")
	require.ErrorIs(t, err, admin.ErrNotFound)
	require.ErrorContains(t, err, "showing secret A in scope acme: GET "+p.server.URL+"/v1/secrets/A: status 404 Not Found: No such resource")
	require.ErrorIs(t, c.Delete(ctx, "acme", "A"), admin.ErrNotFound)
	require.ErrorIs(t, c.RevokeToken(ctx, "0123456789ab"), admin.ErrNotFound)

	p.answer(404, "text/html", "<h1>not found</h1>")
	_, err = c.Info(ctx, "acme", "A")
	require.NotErrorIs(t, err, admin.ErrNotFound, "only a platform's own 404 is ErrNotFound")
	require.ErrorContains(t, err, "the response is not from a platform's admin API")
}

func TestClient_Tokens(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	expires := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	token, info, err := c.IssueToken(ctx, "acme/web", &admin.TokenOptions{
		Label: "laptop", Expires: expires, RotateBy: expires.Add(-time.Hour), Waive: []string{"ANTHROPIC_API_KEY"},
	})
	require.NoError(t, err)
	require.Equal(t, "acme/web", info.Scope)
	require.Equal(t, "laptop", info.Label)
	require.Equal(t, []string{"ANTHROPIC_API_KEY"}, info.Waived)
	require.True(t, info.Expires.Equal(expires))
	require.True(t, info.RotateBy.Equal(expires.Add(-time.Hour)))
	_, err = p.Bootstrap(ctx, token, nil)
	require.NoError(t, err, "the token works")

	next, nextInfo, err := c.RotateToken(ctx, info.ID, &admin.RotateTokenOptions{Overlap: 1500 * time.Millisecond, Expires: expires.Add(time.Hour)})
	require.NoError(t, err)
	require.False(t, next.Equal(token))
	require.True(t, nextInfo.Expires.Equal(expires.Add(time.Hour)))
	old, err := c.Token(ctx, info.ID)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(2*time.Second), old.Revoked, time.Minute, "the overlap is rounded up and never becomes the default")

	require.NoError(t, c.RevokeToken(ctx, nextInfo.ID))
	_, err = p.Bootstrap(ctx, next, nil)
	require.Error(t, err, "a revoked token is rejected")
	tokens, err := c.Tokens(ctx, "acme/web")
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	require.Equal(t, "alice", tokens[1].RevokedBy)
	require.False(t, tokens[0].LastUsed.IsZero())
}

func TestClient_Readiness(t *testing.T) {
	p := newPlatform(t)
	c, ctx := p.client(), t.Context()
	r, err := c.Readiness(ctx, "acme/web")
	require.NoError(t, err)
	require.False(t, r.Ready)
	require.Equal(t, []api.ReadyItem{{
		Scope: "acme", Name: "ANTHROPIC_API_KEY", Kind: "anthropic", Help: "get one from the console", Status: api.ReadyMissing,
		Detail: "put it into acme, or into the scope of the runner; get one from the console",
	}}, r.Items)

	_, err = c.Put(ctx, "acme", "ANTHROPIC_API_KEY", value(canary), nil)
	require.NoError(t, err)
	r, err = c.Readiness(ctx, "acme/web")
	require.NoError(t, err)
	require.True(t, r.Ready)
	require.Equal(t, api.ReadyPresent, r.Items[0].Status)
	require.Equal(t, api.Origin{Provider: "vault", Location: "acme"}, r.Items[0].From)
	text, err := json.Marshal(r.Items[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"scope":"acme","name":"ANTHROPIC_API_KEY","kind":"anthropic","help":"get one from the console","status":"present","from":{"provider":"vault","location":"acme"}}`,
		string(text), "JSON uses the documented names")
}

func TestClient_Integrations(t *testing.T) {
	p := newPlatform(t)
	list, err := p.client().Integrations(t.Context(), "acme/web")
	require.NoError(t, err)
	require.Equal(t, []api.Integration{{Name: "github", Scope: "acme"}}, list)
}

func TestClient_URL(t *testing.T) {
	p := newPlatform(t)
	p.fault = http.StripPrefix("/api", vaulthttp.Admin(p.Vault, authorize, nil)).ServeHTTP
	c := p.client()
	c.URL += "/api/"
	_, err := c.Put(t.Context(), "acme", "A", value(canary), nil)
	require.NoError(t, err)
	require.Equal(t, "/v1/secrets/A", strings.TrimPrefix(p.seen.Load().URL.Path, "/api"))
}

func TestClient_Scope(t *testing.T) {
	p := newPlatform(t)
	for _, scope := range []string{"acme", "acme/web/pool-a", "0_-", "a/b/c/d/e/f/g/h", strings.Repeat("a", 63)} {
		require.NoError(t, vault.CheckScope(scope))
		_, err := p.client().List(t.Context(), scope)
		require.NoError(t, err)
	}
	before := p.asked.Load()
	for _, scope := range []string{"", "/", "acme/", "ACME", "acme web", "-a", "a/b/c/d/e/f/g/h/i", strings.Repeat("a", 64), "acme?x=1", "../acme", "acme\n"} {
		require.Error(t, vault.CheckScope(scope))
		_, err := p.client().List(t.Context(), scope)
		require.ErrorContains(t, err, "invalid scope")
	}
	require.Equal(t, before, p.asked.Load(), "no request was sent")
}
