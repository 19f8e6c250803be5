package vault_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
)

// misshapen are edits of rows of acme after which no program could read them.
var misshapen = map[string]string{
	"a key record of zeros":              "UPDATE data_keys SET record = zeroblob(100) WHERE tenant = 'acme'",
	"a short key id of a secret":         "UPDATE secrets SET key_id = x'00' WHERE scope = 'acme'",
	"a long MAC of a secret":             "UPDATE secrets SET mac = zeroblob(33) WHERE scope = 'acme'",
	"an empty hash of a token":           "UPDATE tokens SET hash = x'' WHERE scope = 'acme/web'",
	"a short MAC of a token":             "UPDATE tokens SET mac = x'00' WHERE scope = 'acme/web'",
	"a short MAC of a document":          "UPDATE docs SET mac = x'00' WHERE owner = 'acme'",
	"a short MAC of the oldest entry":    "UPDATE audit SET mac = x'00' WHERE tenant = 'acme' AND seq = 1",
	"a short key id of the newest entry": "UPDATE audit SET key_id = x'00' WHERE tenant = 'acme' AND seq = (SELECT max(seq) FROM audit WHERE tenant = 'acme')",
}

func TestDamageColumns(t *testing.T) {
	world := newWorld(t)
	for about, edit := range misshapen {
		t.Run(about+" does not take other tenants along", func(t *testing.T) {
			w := world.copy(t)
			w.sql(t, edit)
			f := w.fresh(t)
			require.NoError(t, f.Check(t.Context()), "a platform starts")
			require.Empty(t, f.Health(t.Context()).Detail, "and is ready")

			var out bytes.Buffer
			_, err := f.Export(t.Context(), &out, nil)
			require.True(t, isIntegrity(err), "%v", err)
			require.ErrorContains(t, err, "tenant acme: ")
			require.NotContains(t, err.Error(), "tenant globex")
			_, err = f.Export(t.Context(), &out, &vault.ExportOptions{Skip: []string{"acme"}})
			require.NoError(t, err)

			_, err = f.PruneTokens(t.Context())
			require.True(t, err == nil || isIntegrity(err), "%v", err)
			rotated, err := f.RotateDataKeys(t.Context(), 0)
			require.True(t, err == nil || isIntegrity(err), "%v", err)
			require.Positive(t, rotated.Keys, "globex, which comes after acme, gets a new data key")
			_, err = f.Put(t.Context(), "globex", "A", bundle.NewValue("new"), nil)
			require.NoError(t, err)
		})
	}

	t.Run("a damaged row is no outage to a poll", func(t *testing.T) {
		w := world.copy(t)
		w.sql(t, misshapen["a short key id of a secret"])
		_, err := w.fresh(t).Bootstrap(t.Context(), w.token, &vault.BootstrapRequest{IfNoneMatch: "old", Wait: time.Minute})
		require.ErrorIs(t, err, keyring.ErrMalformed)
	})

	t.Run("a tenant whose name is no name is quoted, and can be skipped as it is quoted", func(t *testing.T) {
		w := world.copy(t)
		w.sql(t, "UPDATE OR REPLACE heads SET scope = CAST(x'ff' AS TEXT) WHERE scope = 'acme' AND name = 'D'")
		f := w.fresh(t)
		_, err := f.Export(t.Context(), &bytes.Buffer{}, nil)
		require.ErrorContains(t, err, `tenant "\xff": `)
		_, err = f.Export(t.Context(), &bytes.Buffer{}, &vault.ExportOptions{Skip: []string{`"\xff"`}})
		require.NoError(t, err)
	})
}
