package vault_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/store"
)

// mustAdd adds an administrator and returns the token.
func (f *fixture) mustAdd(t testing.TB, name string, opts vault.AdministratorOptions) bundle.Value {
	t.Helper()
	token, info, err := f.AddAdministrator(vault.WithActor(t.Context(), "root"), name, &opts)
	require.NoError(t, err)
	require.Equal(t, name, info.Name)
	return token
}

func TestAdministrators(t *testing.T) {
	t.Run("are authenticated by their tokens", func(t *testing.T) {
		f := newFixture(t)
		ada := f.mustAdd(t, "ada@example.com", vault.AdministratorOptions{Scopes: []string{"acme/web", "globex"}})
		bob := f.mustAdd(t, "bob", vault.AdministratorOptions{Scopes: []string{vault.AllScopes}, Role: api.RoleReadOnly})
		require.Regexp(t, `^sat_[0-9A-Za-z]{61}$`, ada.Reveal())
		for _, process := range []*fixture{f, f.process(t)} {
			info, err := process.Administrator(t.Context(), ada)
			require.NoError(t, err)
			require.Equal(t, "ada@example.com", info.Name)
			require.Equal(t, []string{"acme/web", "globex"}, info.Scopes)
			require.Equal(t, api.RoleAdministrator, info.Role)
			require.Equal(t, "root", info.Author)
			require.Equal(t, ada.Reveal()[4:16], info.TokenID)
			info, err = process.Administrator(t.Context(), bob)
			require.NoError(t, err)
			require.Equal(t, api.RoleReadOnly, info.Role)
			all, err := process.Administrators(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, "ada@example.com", all[0].Name)
		}
	})

	t.Run("are refused with a token of another kind, or none", func(t *testing.T) {
		f := newFixture(t)
		f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
		other := newFixture(t).mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
		runner := f.MustIssue(t, "acme")
		for token, reason := range map[string]vault.TokenReason{
			"":              vault.TokenMissing,
			"hunter2":       vault.TokenMalformed,
			runner.Reveal(): vault.TokenMalformed,
			other.Reveal():  vault.TokenUnknown,
		} {
			_, err := f.Administrator(t.Context(), bundle.NewValue(token))
			requireReason(t, err, reason, string(reason))
		}
		_, err := f.Administrator(t.Context(), runner)
		require.ErrorContains(t, err, "the token is a runner token")
		_, err = f.Bootstrap(t.Context(), other, nil)
		requireReason(t, err, vault.TokenMalformed, "an administrator's token gets no bundle")
		require.ErrorContains(t, err, "the token is an administrator's")
	})

	t.Run("lose access when they are removed", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		token := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
		_, err := other.Administrator(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, f.RemoveAdministrator(t.Context(), "ada"))
		for _, process := range []*fixture{f, other} {
			_, err = process.Administrator(t.Context(), token)
			requireReason(t, err, vault.TokenUnknown, "with the next request in every process")
		}
		require.ErrorIs(t, f.RemoveAdministrator(t.Context(), "ada"), vault.ErrNotFound)
		again := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
		_, err = f.Administrator(t.Context(), token)
		requireReason(t, err, vault.TokenUnknown, "the name has a new token")
		_, err = f.Administrator(t.Context(), again)
		require.NoError(t, err)
	})

	t.Run("expire", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}, Expires: time.Now().Add(time.Hour)})
			time.Sleep(time.Hour - time.Second)
			_, err := f.Administrator(t.Context(), token)
			require.NoError(t, err)
			time.Sleep(time.Second)
			_, err = f.Administrator(t.Context(), token)
			requireReason(t, err, vault.TokenExpired, "an hour later")
			all, err := f.Administrators(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 1, "an expired one is still listed")
		})
	})

	t.Run("rotate their tokens", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			old := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}, Role: api.RoleReadOnly, Expires: time.Now().Add(24 * time.Hour)})
			for range 2 {
				time.Sleep(20 * time.Hour)
				token, info, err := f.RotateAdministrator(t.Context(), "ada", time.Time{})
				require.NoError(t, err)
				require.Equal(t, api.RoleReadOnly, info.Role)
				require.Equal(t, []string{"acme"}, info.Scopes)
				require.InDelta(t, 24*time.Hour, time.Until(info.Expires), float64(time.Second), "the same lifetime")
				_, err = f.Administrator(t.Context(), old)
				requireReason(t, err, vault.TokenUnknown, "the old token ends immediately")
				_, err = f.Administrator(t.Context(), token)
				require.NoError(t, err)
				old = token
			}
			_, _, err := f.RotateAdministrator(t.Context(), "eve", time.Time{})
			require.ErrorIs(t, err, vault.ErrNotFound)
			_, _, err = f.RotateAdministrator(t.Context(), "ada", time.Now().Add(-time.Second))
			require.ErrorIs(t, err, vault.ErrInvalid)
		})
	})

	t.Run("are no tenant, and have an audit chain", func(t *testing.T) {
		f := newFixture(t)
		token := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
		_, _, err := f.RotateAdministrator(vault.WithActor(t.Context(), "ada"), "ada", time.Time{})
		require.NoError(t, err)
		require.NoError(t, f.RemoveAdministrator(vault.WithActor(t.Context(), "bob"), "ada"))
		for tenant, err := range f.Tenants(t.Context()) {
			require.NoError(t, err)
			t.Errorf("there is a tenant %s", tenant)
		}
		var actions []audit.Action
		var actors []string
		_, err = f.VerifyAudit(t.Context(), store.Platform, nil, func(_ int64, e audit.Entry) error {
			require.Equal(t, "ada", e.Name)
			require.Equal(t, store.Platform, e.Scope)
			actions, actors = append(actions, e.Action), append(actors, e.Actor)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []audit.Action{audit.AddAdmin, audit.RotateAdmin, audit.RemoveAdmin}, actions)
		require.Equal(t, []string{"root", "ada", "bob"}, actors)
		page, err := f.AuditPage(t.Context(), store.Platform, 0, 10)
		require.NoError(t, err)
		require.Len(t, page, 3)
		sent, err := json.Marshal(page)
		require.NoError(t, err)
		require.NotContains(t, string(sent), token.Reveal())
	})
}

func TestAdministrators_Input(t *testing.T) {
	f := newFixture(t)
	acme := []string{"acme"}
	token := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: acme})
	for about, row := range map[string]struct {
		name string
		opts vault.AdministratorOptions
	}{
		"an empty name":          {"", vault.AdministratorOptions{Scopes: acme}},
		"a long name":            {strings.Repeat("a", 65), vault.AdministratorOptions{Scopes: acme}},
		"an upper-case letter":   {"Ada", vault.AdministratorOptions{Scopes: acme}},
		"a slash":                {"a/b", vault.AdministratorOptions{Scopes: acme}},
		"a control character":    {"a\n", vault.AdministratorOptions{Scopes: acme}},
		"no scope":               {"bob", vault.AdministratorOptions{}},
		"a scope with a slash":   {"bob", vault.AdministratorOptions{Scopes: []string{"acme/"}}},
		"the platform":           {"bob", vault.AdministratorOptions{Scopes: []string{store.Platform}}},
		"an empty scope":         {"bob", vault.AdministratorOptions{Scopes: []string{""}}},
		"too many scopes":        {"bob", vault.AdministratorOptions{Scopes: make([]string, 101)}},
		"an unknown role":        {"bob", vault.AdministratorOptions{Scopes: acme, Role: "owner"}},
		"an expiry in the past":  {"bob", vault.AdministratorOptions{Scopes: acme, Expires: time.Now().Add(-time.Second)}},
		"an expiry in year 9999": {"bob", vault.AdministratorOptions{Scopes: acme, Expires: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		_, _, err := f.AddAdministrator(t.Context(), row.name, &row.opts)
		require.ErrorIs(t, err, vault.ErrInvalid, about)
	}
	_, _, err := f.AddAdministrator(t.Context(), token.Reveal(), &vault.AdministratorOptions{Scopes: acme})
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.NotContains(t, err.Error(), token.Reveal()[16:])
	_, _, err = f.AddAdministrator(t.Context(), "ada", &vault.AdministratorOptions{Scopes: acme})
	require.ErrorIs(t, err, vault.ErrConflict)
	_, _, err = f.AddAdministrator(vault.WithActor(t.Context(), "a\x00"), "bob", &vault.AdministratorOptions{Scopes: acme})
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorIs(t, f.RemoveAdministrator(t.Context(), "b\x00"), vault.ErrNotFound)
}

// requireNoAdministrator checks that f refuses the token and the list, as integrity errors.
func requireNoAdministrator(t *testing.T, f *fixture, token bundle.Value, about string) {
	t.Helper()
	_, err := f.Administrator(t.Context(), token)
	requireRefused(t, f, err, about)
	_, err = f.Administrators(t.Context())
	requireRefused(t, f, err, about)
}

func TestAdministrators_Attack(t *testing.T) {
	world := newWorld(t)
	limited := world.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"globex"}, Role: api.RoleReadOnly, Expires: soon()})
	world.mustAdd(t, "root", vault.AdministratorOptions{Scopes: []string{vault.AllScopes}})
	copied := "owner, space, version, expires, sealed, body, key_id, mac"
	for about, edit := range map[string]string{
		"another owner":        "UPDATE docs SET owner = 'acme' WHERE key = 'ada'",
		"another space":        "UPDATE docs SET space = 'tokens' WHERE key = 'ada'",
		"another name":         "UPDATE docs SET key = 'eve' WHERE key = 'ada'",
		"another version":      "UPDATE docs SET version = version + 1 WHERE key = 'ada'",
		"no expiry":            "UPDATE docs SET expires = 0 WHERE key = 'ada'",
		"a later expiry":       "UPDATE docs SET expires = expires + 1 WHERE key = 'ada'",
		"not sealed":           "UPDATE docs SET sealed = 0 WHERE key = 'ada'",
		"the body of another":  "UPDATE docs SET body = (SELECT body FROM docs WHERE key = 'root') WHERE key = 'ada'",
		"the row of another":   "UPDATE docs SET (body, mac, version, expires) = (SELECT body, mac, version, expires FROM docs WHERE key = 'root') WHERE key = 'ada'",
		"more scopes":          `UPDATE docs SET body = CAST(replace(CAST(body AS TEXT), '"globex"', '"*"') AS BLOB) WHERE key = 'ada'`,
		"another role":         `UPDATE docs SET body = CAST(replace(CAST(body AS TEXT), 'read-only', 'administrator') AS BLOB) WHERE key = 'ada'`,
		"another key id":       "UPDATE docs SET key_id = zeroblob(16) WHERE key = 'ada'",
		"another MAC":          "UPDATE docs SET mac = (SELECT mac FROM docs WHERE key = 'root') WHERE key = 'ada'",
		"a planted copy":       "INSERT INTO docs (key, " + copied + ") SELECT 'eve', " + copied + " FROM docs WHERE key = 'root'",
		"a removed row":        "DELETE FROM docs WHERE key = 'root'",
		"a removed seal":       "DELETE FROM seals WHERE scope = '_platform'",
		"the seal of a tenant": "UPDATE seals SET seal = (SELECT seal FROM seals WHERE scope = 'acme') WHERE scope = '_platform'",
		"the key of a tenant":  "UPDATE data_keys SET (id, record) = (SELECT id, record FROM data_keys WHERE tenant = 'globex') WHERE tenant = '_platform'",
	} {
		t.Run(about, func(t *testing.T) {
			w := world.copy(t)
			w.sql(t, edit)
			requireNoAdministrator(t, w.fresh(t), limited, about)
		})
	}

	t.Run("the row of a removed administrator", func(t *testing.T) {
		w := world.copy(t)
		_, err := w.Administrator(t.Context(), limited)
		require.NoError(t, err)
		w.keep(t, "docs", "seals")
		require.NoError(t, w.RemoveAdministrator(t.Context(), "ada"))
		w.restore(t, "docs", "key = 'ada'")
		requireNoAdministrator(t, w.fixture, limited, "put back")
		requireNoAdministrator(t, w.fresh(t), limited, "put back")
		w.restore(t, "seals", "scope = '_platform'")
		_, err = w.Administrator(t.Context(), limited)
		require.ErrorIs(t, err, vault.ErrRollback, "put back with the seal from that time")
	})

	t.Run("the database has no token", func(t *testing.T) {
		content, err := os.ReadFile(world.file)
		require.NoError(t, err)
		require.NotContains(t, string(content), limited.Reveal()[16:])
	})
}

func TestAdministrators_Moves(t *testing.T) {
	f := newFixture(t)
	token := f.mustAdd(t, "ada", vault.AdministratorOptions{Scopes: []string{"acme"}})
	f.MustPut(t, "acme", "A", "one")
	_, err := f.RotateDataKeys(t.Context(), 0)
	require.NoError(t, err)
	_, err = f.process(t).Administrator(t.Context(), token)
	require.NoError(t, err, "after a rotation of data keys")
	export, _ := f.exported(t)
	g := newFixtureOver(t, memstore.New(), f.KEK)
	_, err = g.Import(t.Context(), strings.NewReader(string(export)))
	require.NoError(t, err)
	info, err := g.Administrator(t.Context(), token)
	require.NoError(t, err, "after an import")
	require.Equal(t, "ada", info.Name)
}
