package vault_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// swap exchanges columns between two rows of the secrets table.
func (w *world) swap(t *testing.T, one, two, columns string) {
	t.Helper()
	w.sql(t, "CREATE TEMP TABLE swapped AS SELECT * FROM main.secrets")
	w.sql(t, fmt.Sprintf("UPDATE main.secrets SET (%s) = (SELECT %s FROM swapped WHERE %s) WHERE %s", columns, columns, two, one))
	w.sql(t, fmt.Sprintf("UPDATE main.secrets SET (%s) = (SELECT %s FROM swapped WHERE %s) WHERE %s", columns, columns, one, two))
}

func TestAttackRows_Swap(t *testing.T) {
	t.Run("refuses swapped values", func(t *testing.T) {
		const c, e = "scope = 'acme/web' AND name = 'C'", "scope = 'acme/web' AND name = 'E'"
		for _, columns := range []string{"message", "message, preview", "message, preview, mac", "message, preview, mac, key_id, kind, delivery, author, comment, hosts, created, rotated, expires"} {
			w := newWorld(t)
			w.swap(t, c, e, columns)
			w.requireBundleRefused(t, "swapped: "+columns)
		}
		w := newWorld(t)
		w.swap(t, c, "scope = 'globex'", "message, preview, mac, key_id, kind, delivery, author, comment, hosts, created, rotated, expires")
		w.requireBundleRefused(t, "swapped with another tenant")
		b, err := w.Bootstrap(t.Context(), w.other, nil)
		require.Nil(t, b)
		requireRefused(t, w.fixture, err, "the other tenant does not get the value either")
	})

	t.Run("does not list swapped previews", func(t *testing.T) {
		w := newWorld(t)
		w.swap(t, "scope = 'acme/web' AND name = 'C'", "scope = 'acme/web' AND name = 'E'", "preview")
		for _, process := range []*fixture{w.fixture, w.fresh(t)} {
			list, err := process.List(t.Context(), "acme/web")
			require.Nil(t, list)
			requireRefused(t, process, err, "an administrator would mistake one secret for the other")
			_, err = process.Info(t.Context(), "acme/web", "C")
			requireRefused(t, process, err, "one secret")
			require.Equal(t, w.genuine, process.Values(t, w.token), "bundles do not contain previews")
		}
	})
}

func TestAttackRows_Move(t *testing.T) {
	t.Run("refuses a renamed secret", func(t *testing.T) {
		w := newWorld(t)
		w.sql(t, "UPDATE secrets SET name = 'PATH' WHERE scope = 'acme/web' AND name = 'C'")
		w.sql(t, "UPDATE heads SET name = 'PATH' WHERE scope = 'acme/web' AND name = 'C'")
		w.requireBundleRefused(t, "renamed")
	})

	t.Run("refuses a secret moved to another scope", func(t *testing.T) {
		for _, to := range []string{"acme", "acme/web/pool-a", "globex"} {
			w := newWorld(t)
			token := w.MustIssue(t, to)
			for _, table := range []string{"secrets", "heads"} {
				w.sql(t, fmt.Sprintf("UPDATE %s SET scope = '%s' WHERE scope = 'acme/web' AND name = 'C'", table, to))
			}
			w.requireBundleRefused(t, "missing from acme/web")
			b, err := w.fresh(t).Bootstrap(t.Context(), token, nil)
			require.Nil(t, b, "%s got the secret", to)
			require.Error(t, err)
		}
	})

	t.Run("refuses a secret copied to another scope", func(t *testing.T) {
		w := newWorld(t)
		// The attacker has a token for a sibling of the scope with the secrets.
		mine := w.MustIssue(t, "acme/mine")
		w.MustPut(t, "acme/mine", "C", "x")
		w.sql(t, "DELETE FROM secrets WHERE scope = 'acme/mine'")
		w.sql(t, "DELETE FROM heads WHERE scope = 'acme/mine'")
		w.sql(t, `INSERT INTO secrets SELECT 'acme/mine', name, version, hidden, kind, delivery, author, comment, hosts, created, rotated, expires, key_id, message, preview, mac
		FROM secrets WHERE scope = 'acme/web'`)
		w.sql(t, "INSERT INTO heads SELECT 'acme/mine', name, active, last, last_used, last_token FROM heads WHERE scope = 'acme/web'")
		for _, seal := range []string{"", "UPDATE seals SET seal = (SELECT seal FROM seals WHERE scope = 'acme/web') WHERE scope = 'acme/mine'"} {
			if seal != "" {
				w.sql(t, seal)
			}
			f := w.fresh(t)
			b, err := f.Bootstrap(t.Context(), mine, nil)
			require.Nil(t, b)
			requireRefused(t, f, err, "copied, "+seal)
		}
	})

	t.Run("refuses the rows of a renamed tenant", func(t *testing.T) {
		w := newWorld(t)
		for _, statement := range []string{
			"DELETE FROM seals WHERE scope LIKE 'globex%'",
			"DELETE FROM secrets WHERE scope LIKE 'globex%'",
			"DELETE FROM heads WHERE scope LIKE 'globex%'",
			"DELETE FROM data_keys WHERE tenant = 'globex'",
			"UPDATE seals SET scope = replace(scope, 'acme', 'globex')",
			"UPDATE secrets SET scope = replace(scope, 'acme', 'globex')",
			"UPDATE heads SET scope = replace(scope, 'acme', 'globex')",
			"UPDATE data_keys SET tenant = 'globex'",
		} {
			w.sql(t, statement)
		}
		f := w.fresh(t)
		b, err := f.Bootstrap(t.Context(), w.other, nil)
		require.Nil(t, b, "a token of globex must not open secrets of acme")
		requireRefused(t, f, err, "acme's rows under globex's name")
		_, err = f.List(t.Context(), "globex")
		requireRefused(t, f, err, "an administrator of globex does not see them either")
	})
}

func TestAttackRows_Rollback(t *testing.T) {
	t.Run("refuses every operation on rolled-back rows", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "secrets", "heads", "seals")
		w.MustPut(t, "acme/web", "C", "rotated, since it had leaked")
		w.genuine = w.Values(t, w.token)
		for _, table := range []string{"secrets", "heads"} {
			w.restore(t, table, "scope = 'acme/web'")
		}
		w.requireBundleRefused(t, "a row without its seal")

		w.restore(t, "seals", "scope = 'acme/web'")
		b, err := w.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b)
		require.ErrorIs(t, err, vault.ErrRollback, "the earlier rows and their seal are genuine, but this process has seen later ones")
		requireRefused(t, w.fixture, err, "rolled back")
		for name, call := range map[string]func() error{
			"List":       func() error { _, err := w.List(t.Context(), "acme/web"); return err },
			"History":    func() error { _, err := w.History(t.Context(), "acme/web", "C"); return err },
			"Tokens":     func() error { _, err := w.Tokens(t.Context(), "acme/web"); return err },
			"IssueToken": func() error { _, _, err := w.IssueToken(t.Context(), "acme/web", nil); return err },
			"Hide":       func() error { _, err := w.Hide(t.Context(), "acme/web", "C"); return err },
			"Delete":     func() error { return w.Delete(t.Context(), "acme/web", "C") },
			"Put": func() error {
				_, err := w.Put(t.Context(), "acme/web", "C", bundle.NewValue("x"), nil)
				return err
			},
			"RevokeToken": func() error { return w.RevokeToken(t.Context(), tokenID(t, w.token)) },
			"a scope below": func() error {
				_, _, err := w.IssueToken(t.Context(), "acme/web/pool-a", nil)
				return err
			},
			"an unchanged poll": func() error {
				_, err := w.Bootstrap(t.Context(), w.token, &vault.BootstrapRequest{IfNoneMatch: "x"})
				return err
			},
		} {
			require.ErrorIs(t, call(), vault.ErrRollback, "%s is refused on rolled-back rows", name)
		}
	})

	t.Run("is noticed by a process that only reads", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "secrets", "heads", "seals")
		w.MustPut(t, "acme/web", "C", "rotated")
		reader := w.fresh(t)
		reader.Values(t, w.token)
		for _, table := range []string{"secrets", "heads", "seals"} {
			w.restore(t, table, "scope = 'acme/web'")
		}
		b, err := reader.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b)
		require.ErrorIs(t, err, vault.ErrRollback)
		requireRefused(t, reader, err, "rolled back")

		// Only a process that has seen the later state detects the rollback. A new
		// process serves the earlier state.
		require.Equal(t, w.genuine, w.fresh(t).Values(t, w.token))
	})

	t.Run("does not take a forged seal's epoch as the newest", func(t *testing.T) {
		w := newWorld(t)
		var seal []byte
		require.NoError(t, w.forge.QueryRow("SELECT seal FROM seals WHERE scope = 'acme'").Scan(&seal))
		forged := bytes.Clone(seal)
		forged[22] = 0x7f // the first byte of the epoch
		w.sql(t, "UPDATE seals SET seal = ? WHERE scope = 'acme'", forged)
		_, err := w.Bootstrap(t.Context(), w.token, &vault.BootstrapRequest{IfNoneMatch: "x"})
		requireRefused(t, w.fixture, err, "forged")
		w.sql(t, "UPDATE seals SET seal = ? WHERE scope = 'acme'", seal)
		require.Equal(t, w.genuine, w.Values(t, w.token), "a forged seal must not make the genuine one a rollback")
	})

	t.Run("refuses rolled-back rows of a parent scope", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "secrets", "heads", "seals")
		_, err := w.Activate(t.Context(), "acme", "A", 3)
		require.NoError(t, err)
		w.Values(t, w.token)
		for _, table := range []string{"secrets", "heads", "seals"} {
			w.restore(t, table, "scope = 'acme'")
		}
		b, err := w.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b)
		require.ErrorIs(t, err, vault.ErrRollback)
		requireRefused(t, w.fixture, err, "the parent scope is rolled back")
	})
}

func TestAttackRows_Delete(t *testing.T) {
	t.Run("is noticed by Bootstrap", func(t *testing.T) {
		for about, statements := range map[string][]string{
			"a secret":          {"DELETE FROM secrets WHERE scope = 'acme/web' AND name = 'C'"},
			"its head":          {"DELETE FROM heads WHERE scope = 'acme/web' AND name = 'C'"},
			"both":              {"DELETE FROM secrets WHERE scope = 'acme/web' AND name = 'C'", "DELETE FROM heads WHERE scope = 'acme/web' AND name = 'C'"},
			"a tombstone":       {"DELETE FROM secrets WHERE scope = 'acme/web' AND name = 'B'", "DELETE FROM heads WHERE scope = 'acme/web' AND name = 'B'"},
			"all secrets":       {"DELETE FROM secrets", "DELETE FROM heads"},
			"the scope's seal":  {"DELETE FROM seals WHERE scope = 'acme/web'"},
			"the tenant's seal": {"DELETE FROM seals WHERE scope = 'acme'"},
			"all seals":         {"DELETE FROM seals"},
			"a scope":           {"DELETE FROM seals WHERE scope = 'acme/web'", "DELETE FROM secrets WHERE scope = 'acme/web'", "DELETE FROM heads WHERE scope = 'acme/web'"},
			"a scope, but not its tokens": {"DELETE FROM seals WHERE scope = 'acme/web'", "DELETE FROM secrets WHERE scope = 'acme/web'",
				"DELETE FROM heads WHERE scope = 'acme/web'", "DELETE FROM tokens WHERE revoked <> 0"},
			"the scope above":    {"DELETE FROM seals WHERE scope = 'acme'", "DELETE FROM secrets WHERE scope = 'acme'", "DELETE FROM heads WHERE scope = 'acme'"},
			"seals and secrets":  {"DELETE FROM seals", "DELETE FROM secrets", "DELETE FROM heads"},
			"the data key":       {"DELETE FROM data_keys WHERE tenant = 'acme'"},
			"all but tokens":     {"DELETE FROM seals", "DELETE FROM secrets", "DELETE FROM heads", "DELETE FROM data_keys"},
			"the revoked tokens": {"DELETE FROM tokens WHERE revoked <> 0"},
		} {
			t.Run(about, func(t *testing.T) {
				w := newWorld(t)
				for _, statement := range statements {
					w.sql(t, statement)
				}
				w.requireBundleRefused(t, about)
				if about == "a scope, but not its tokens" {
					f := w.fresh(t)
					_, err := f.Tokens(t.Context(), "acme/web")
					requireRefused(t, f, err, "tokens of a scope that has no seal")
				}
			})
		}
	})

	t.Run("is noticed by every process that has seen the scope", func(t *testing.T) {
		for _, scope := range []string{"acme/web", "acme"} {
			w := newWorld(t)
			for _, table := range []string{"seals", "secrets", "heads", "tokens"} {
				w.sql(t, fmt.Sprintf("DELETE FROM %s WHERE scope = 'acme/web' OR scope = '%s'", table, scope))
			}
			w.sql(t, fmt.Sprintf("DELETE FROM docs WHERE owner = 'acme/web' OR owner = '%s'", scope))
			for name, call := range map[string]func() error{
				"List": func() error { _, err := w.List(t.Context(), scope); return err },
				"Put":  func() error { _, err := w.Put(t.Context(), scope, "A", bundle.NewValue("x"), nil); return err },
				"Put below": func() error {
					_, err := w.Put(t.Context(), scope+"/below", "A", bundle.NewValue("x"), nil)
					return err
				},
				"IssueToken": func() error { _, _, err := w.IssueToken(t.Context(), scope, nil); return err },
			} {
				require.True(t, isIntegrity(call()), "%s of %s", name, scope)
			}
			// After a restart, the scope looks as if it had never existed. A write still
			// finds the audit chain of the tenant.
			f := w.fresh(t)
			list, err := f.List(t.Context(), scope)
			require.NoError(t, err)
			require.Empty(t, list)
			if scope == "acme" {
				_, err = f.Put(t.Context(), scope, "A", bundle.NewValue("x"), nil)
				requireRefused(t, f, err, "the seal of the tenant is missing, and its audit chain is not empty")
			}
		}
	})

	t.Run("is not covered up by a write", func(t *testing.T) {
		for about, statements := range map[string][]string{
			"the scope's seal":  {"DELETE FROM seals WHERE scope = 'acme/web'"},
			"the tenant's seal": {"DELETE FROM seals WHERE scope = 'acme'"},
			"the tenant":        {"DELETE FROM seals WHERE scope = 'acme'", "DELETE FROM secrets WHERE scope = 'acme'", "DELETE FROM heads WHERE scope = 'acme'"},
			"the data key":      {"DELETE FROM data_keys WHERE tenant = 'acme'"},
			"a secret":          {"DELETE FROM secrets WHERE scope = 'acme/web' AND name = 'C'"},
		} {
			t.Run(about, func(t *testing.T) {
				w := newWorld(t)
				for _, statement := range statements {
					w.sql(t, statement)
				}
				for _, process := range []*fixture{w.fixture, w.fresh(t)} {
					_, err := process.Put(t.Context(), "acme/web", "NEW", bundle.NewValue("x"), nil)
					requireRefused(t, process, err, about)
					_, _, err = process.IssueToken(t.Context(), "acme/web", nil)
					requireRefused(t, process, err, about)
				}
				w.requireBundleRefused(t, about)
			})
		}
	})

	t.Run("does not let a tenant start over above existing scopes", func(t *testing.T) {
		w := newWorld(t)
		for _, table := range []string{"seals", "secrets", "heads"} {
			w.sql(t, "DELETE FROM "+table+" WHERE scope = 'acme'")
		}
		f := w.fresh(t) // this process has not seen the tenant's seal
		_, err := f.Put(t.Context(), "acme", "NEW", bundle.NewValue("x"), nil)
		requireRefused(t, f, err, "a write would create a first seal and hide that secrets are missing")
		_, err = f.Hide(t.Context(), "acme", "NEW")
		requireRefused(t, f, err, "a tombstone would do the same")
		_, _, err = f.IssueToken(t.Context(), "acme", nil)
		requireRefused(t, f, err, "a token would do the same")
		w.requireBundleRefused(t, "the tenant's seal is missing")
	})
}

func TestAttackRows_Token(t *testing.T) {
	t.Run("refuses a planted token", func(t *testing.T) {
		w := newWorld(t)
		planted, id := wire.NewToken()
		hash := wire.HashToken(planted)
		columns := "scope, created, expires, rotate_by, generation, label, waived, thumbprint, key_id, mac, author, revoked, revoked_by"
		w.sql(t, "INSERT INTO tokens (id, hash, "+columns+") SELECT ?, ?, "+columns+" FROM tokens WHERE id = ?", id, hash[:], tokenID(t, w.token))
		for _, process := range []*fixture{w.fixture, w.fresh(t)} {
			b, err := process.Bootstrap(t.Context(), bundle.NewValue(planted), nil)
			require.Nil(t, b)
			requireRefused(t, process, err, "planted")
			_, err = process.Tokens(t.Context(), "acme/web")
			requireRefused(t, process, err, "a planted token is not listed")
			require.NotContains(t, process.Log.Text(), planted)
		}
	})

	t.Run("refuses a token of another tenant", func(t *testing.T) {
		w := newWorld(t)
		// The holder of the token of globex changes its scope to acme.
		for _, statement := range []string{
			"UPDATE tokens SET scope = 'acme/web' WHERE scope = 'globex'",
			"UPDATE tokens SET key_id = (SELECT key_id FROM tokens WHERE scope = 'acme/web' AND revoked = 0) WHERE id = :other",
			"INSERT INTO data_keys SELECT 'acme', id, record FROM data_keys WHERE tenant = 'globex'",
			"UPDATE tokens SET key_id = (SELECT id FROM data_keys WHERE tenant = 'globex') WHERE id = :other",
		} {
			w.sql(t, statement, named(t, statement, w)...)
			f := w.fresh(t)
			b, err := f.Bootstrap(t.Context(), w.other, nil)
			require.Nil(t, b)
			requireRefused(t, f, err, statement)
		}
	})

	t.Run("refuses a token moved to another scope", func(t *testing.T) {
		w := newWorld(t)
		poor := w.MustIssue(t, "acme")
		w.sql(t, "UPDATE tokens SET scope = 'acme/web' WHERE id = ?", tokenID(t, poor))
		for _, process := range []*fixture{w.fixture, w.fresh(t)} {
			for _, revision := range []string{"", "x"} {
				b, err := process.Bootstrap(t.Context(), poor, &vault.BootstrapRequest{IfNoneMatch: revision})
				require.Nil(t, b)
				requireRefused(t, process, err, "moved down")
			}
			err := process.RevokeToken(t.Context(), tokenID(t, poor))
			requireRefused(t, process, err, "the token's scope is not written to either")
		}
	})

	t.Run("refuses a token whose revocation was undone", func(t *testing.T) {
		w := newWorld(t)
		w.keep(t, "tokens", "seals")
		fresh := func(about string) {
			for _, process := range []*fixture{w.fixture, w.fresh(t)} {
				b, err := process.Bootstrap(t.Context(), w.gone, nil)
				require.Nil(t, b)
				requireRefused(t, process, err, about)
			}
		}
		w.sql(t, "UPDATE tokens SET revoked = 0, revoked_by = '' WHERE id = ?", tokenID(t, w.gone))
		fresh("no longer revoked")
		w.sql(t, "DELETE FROM tokens WHERE id = ?", tokenID(t, w.gone))
		w.requireBundleRefused(t, "the revocation is missing")

		w = newWorld(t)
		w.keep(t, "tokens", "seals")
		require.NoError(t, w.RevokeToken(t.Context(), tokenID(t, w.token)))
		w.restore(t, "tokens", "scope = 'acme/web'")
		b, err := w.fresh(t).Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b)
		require.Error(t, err, "the row from before the revocation")
		w.restore(t, "seals", "scope = 'acme/web'")
		b, err = w.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b)
		require.ErrorIs(t, err, vault.ErrRollback, "with the seal from that time")
	})
}

func TestAttackRows_History(t *testing.T) {
	for about, statement := range map[string]string{
		"another version's value": "UPDATE secrets SET (message, preview) = (SELECT message, preview FROM secrets WHERE scope = 'acme' AND name = 'A' AND version = 3) WHERE scope = 'acme' AND name = 'A' AND version = 1",
		"another version":         "UPDATE secrets SET (message, preview, mac) = (SELECT message, preview, mac FROM secrets WHERE scope = 'acme' AND name = 'A' AND version = 3) WHERE scope = 'acme' AND name = 'A' AND version = 1",
		"another secret's value":  "UPDATE secrets SET (message, preview, mac) = (SELECT message, preview, mac FROM secrets WHERE scope = 'acme' AND name = 'B' AND version = 1) WHERE scope = 'acme' AND name = 'A' AND version = 1",
		"a tombstone":             "UPDATE secrets SET hidden = 1, message = x'', preview = x'' WHERE scope = 'acme' AND name = 'A' AND version = 1",
		"a planted version":       "INSERT INTO secrets SELECT scope, name, 0, hidden, kind, delivery, author, comment, hosts, created, rotated, expires, key_id, message, preview, mac FROM secrets WHERE scope = 'acme' AND name = 'A' AND version = 1",
	} {
		t.Run(about, func(t *testing.T) {
			w := newWorld(t)
			w.sql(t, statement)
			version := int64(1)
			if about == "a planted version" {
				version = 0
			}
			for _, process := range []*fixture{w.fixture, w.fresh(t)} {
				_, err := process.Activate(t.Context(), "acme", "A", version)
				requireRefused(t, process, err, about)
				_, err = process.History(t.Context(), "acme", "A")
				requireRefused(t, process, err, about)
				require.Equal(t, w.genuine, process.Values(t, w.token), "the active version is unchanged")
			}
		})
	}
}

func TestAttackRows_Message(t *testing.T) {
	w := newWorld(t)
	var message []byte
	require.NoError(t, w.forge.QueryRow("SELECT message FROM secrets WHERE scope = 'acme/web' AND name = 'C'").Scan(&message))
	for i := range len(message) * 8 {
		w.Log.Reset()
		message[i/8] ^= 1 << (i % 8)
		w.sql(t, "UPDATE secrets SET message = ? WHERE scope = 'acme/web' AND name = 'C'", message)
		b, err := w.Bootstrap(t.Context(), w.token, nil)
		require.Nil(t, b, "bit %d", i)
		requireRefused(t, w.fixture, err, fmt.Sprintf("bit %d", i))
		message[i/8] ^= 1 << (i % 8)
	}
	for n := range message {
		w.sql(t, "UPDATE secrets SET message = ? WHERE scope = 'acme/web' AND name = 'C'", message[:n])
		_, err := w.Bootstrap(t.Context(), w.token, nil)
		requireRefused(t, w.fixture, err, fmt.Sprintf("cut to %d bytes", n))
	}
	w.sql(t, "UPDATE secrets SET message = ? WHERE scope = 'acme/web' AND name = 'C'", message)
	require.Equal(t, w.genuine, w.Values(t, w.token), "the original message is served again")
}

// named returns the named arguments of a statement.
func named(t *testing.T, statement string, w *world) []any {
	if strings.Contains(statement, ":other") {
		return []any{sql.Named("other", tokenID(t, w.other))}
	}
	return nil
}

func TestAttackRows_Number(t *testing.T) {
	for _, last := range []int64{9223372036854775807, 9223372036854775806, 1<<53 + 1, -1} {
		w := newWorld(t)
		w.sql(t, "UPDATE heads SET last = ? WHERE scope = 'acme' AND name = 'A'", last)
		for _, f := range []*fixture{w.fixture, w.fresh(t)} {
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("next"), nil)
			requireRefused(t, f, err, "a version number that no vault has stored")
			_, err = f.Hide(t.Context(), "acme", "A")
			requireRefused(t, f, err, "a version number that no vault has stored")
		}
		require.Equal(t, w.genuine, w.Values(t, w.token), "the stored values are still served")
	}
}
