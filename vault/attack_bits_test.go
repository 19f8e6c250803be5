package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/store"
)

// TestAttackBits_Flip flips each bit of a row that storage returns. TestAttackRows_Message
// does the same for messages, in SQL.
func TestAttackBits_Flip(t *testing.T) {
	for what, part := range map[string]func(*store.Snapshot) []byte{
		"the scope's seal":  func(s *store.Snapshot) []byte { return s.Path[1].Seal },
		"the tenant's seal": func(s *store.Snapshot) []byte { return s.Path[0].Seal },
		"the key record":    func(s *store.Snapshot) []byte { return s.Keys[0] },
		"the token's hash":  func(s *store.Snapshot) []byte { return s.Token.Hash[:] },
		"the token's MAC":   func(s *store.Snapshot) []byte { return s.Token.MAC[:] },
		"the token's key":   func(s *store.Snapshot) []byte { return s.Token.KeyID[:] },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", canaryTenant)
			f.MustPut(t, "acme/web", "B", canaryWeb)
			token := f.MustIssue(t, "acme/web")
			genuine := f.Values(t, token)
			bit := 0
			done := false
			f.Storage.OnRead(func(q store.Query, snap *store.Snapshot) {
				if q.Token == "" {
					return // the vault looks whether its keys open what is stored
				}
				b := part(snap)
				if done = bit >= len(b)*8; !done {
					b[bit/8] ^= 1 << (bit % 8)
				}
			})
			for ; !done; bit++ {
				f.Log.Reset()
				b, err := f.Bootstrap(t.Context(), token, nil)
				if done {
					require.NoError(t, err)
					require.Equal(t, genuine, reveal(b))
					return
				}
				require.Nil(t, b, "bit %d", bit)
				if what == "the token's hash" {
					requireReason(t, err, vault.TokenUnknown, "the hash is that of another token")
					continue
				}
				requireRefused(t, f, err, fmt.Sprintf("bit %d", bit))
			}
			t.Fatal("the last round has no edit")
		})
	}
}

func TestAttackBits_TruncatedSeal(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", canaryTenant)
	token := f.MustIssue(t, "acme")
	length := 0
	f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) {
		seal := append(snap.Path[0].Seal, 0)
		snap.Path[0].Seal = seal[:length]
	})
	for ; length <= 99; length++ {
		if length == 98 {
			continue // the complete seal
		}
		_, err := f.Bootstrap(t.Context(), token, nil)
		require.ErrorIs(t, err, keyring.ErrMalformed, "%d bytes", length)
		_, err = f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: "x"})
		require.ErrorIs(t, err, keyring.ErrMalformed, "%d bytes", length)
	}
	length = 98
	require.Equal(t, map[string]string{"A": canaryTenant}, f.Values(t, token))
}

// If storage returns other rows than the requested ones, the vault must not serve them.
func TestAttackBits_LyingStorage(t *testing.T) {
	for about, lie := range map[string]func(*store.Snapshot){
		"another token's row":       func(s *store.Snapshot) { s.Token.ID = "AAAAAAAAAAAA" },
		"an invalid scope":          func(s *store.Snapshot) { s.Token.Scope = "acme/../web" },
		"a secret twice":            func(s *store.Snapshot) { s.Path[1].Secrets = append(s.Path[1].Secrets, s.Path[1].Secrets[0]) },
		"a secret of another scope": func(s *store.Snapshot) { s.Path[1].Secrets[0].Scope = "acme" },
		"no secrets":                func(s *store.Snapshot) { s.Path[1].Secrets = nil },
		"secrets exchanged":         func(s *store.Snapshot) { s.Path[0].Secrets, s.Path[1].Secrets = s.Path[1].Secrets, s.Path[0].Secrets },
		"scopes in reverse order":   func(s *store.Snapshot) { s.Path[0], s.Path[1] = s.Path[1], s.Path[0] },
		"no keys":                   func(s *store.Snapshot) { s.Keys = nil },
		"a later version":           func(s *store.Snapshot) { s.Path[1].Secrets[0].Version++ },
		"another revocation":        func(s *store.Snapshot) { s.Token.Revoked = soon() },
		"another revoked token":     func(s *store.Snapshot) { s.Path[1].Revoked = append(s.Path[1].Revoked, store.RevokedRow{ID: "x"}) },
	} {
		t.Run(about, func(t *testing.T) {
			f := newFixture(t)
			f.MustPut(t, "acme", "A", canaryTenant)
			f.MustPut(t, "acme/web", "B", canaryWeb)
			token := f.MustIssue(t, "acme/web")
			f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) { lie(snap) })
			b, err := f.Bootstrap(t.Context(), token, nil)
			require.Nil(t, b)
			requireRefused(t, f, err, about)
		})
	}
}

func TestAttackBits_UnknownToken(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", canaryTenant)
	token := f.MustIssue(t, "acme")
	f.Storage.OnRead(func(_ store.Query, snap *store.Snapshot) { *snap = store.Snapshot{} })
	_, err := f.Bootstrap(t.Context(), token, nil)
	refused, ok := errors.AsType[*vault.TokenError](err)
	require.True(t, ok)
	require.Equal(t, vault.TokenUnknown, refused.Reason)
	_, err = f.Bootstrap(t.Context(), bundle.NewValue("rnt_x"), nil)
	require.Error(t, err)
	require.Empty(t, f.Log.Text(), "unknown tokens must not fill the log")
}
