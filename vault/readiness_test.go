package vault_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/api"
)

func TestVault_Readiness(t *testing.T) {
	t.Run("reports status and origin of each required secret", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &mint{life: time.Hour}
			opts := m.minting(vault.Integration{})
			opts.Required = []vault.Required{
				{Scope: "acme", Name: "AI_KEY", Kind: "anthropic", Help: "ask the team lead"},
				{Scope: "acme/web", Name: "GIT_TOKEN"},
			}
			opts.Notices = []string{"The platform pays."}
			f := newFixture(t).with(t, opts)
			token := f.MustIssue(t, "acme/web")
			status := func(name string) api.ReadyItem {
				t.Helper()
				r, err := f.Readiness(t.Context(), "acme/web")
				require.NoError(t, err)
				require.Len(t, r.Items, 2)
				ready := true
				for _, item := range r.Items {
					ready = ready && item.Status == api.ReadyPresent
				}
				require.Equal(t, ready, r.Ready)
				for _, item := range r.Items {
					if item.Name == name {
						return item
					}
				}
				t.Fatalf("no item for %s", name)
				return api.ReadyItem{}
			}
			require.Equal(t, api.ReadyMissing, status("GIT_TOKEN").Status)
			require.Zero(t, m.count.Load(), "Readiness mints nothing")

			b := f.Bundle(t, token)
			require.Equal(t, []string{"The platform pays."}, b.Meta().Notices)
			require.Len(t, b.Problems(), 1, "a missing secret is a problem, and a minted one is not missing")
			require.Equal(t, "AI_KEY", b.Problems()[0].Name)
			require.Contains(t, b.Problems()[0].Reason, "ask the team lead")
			item := status("GIT_TOKEN")
			require.Equal(t, api.ReadyPresent, item.Status)
			require.Equal(t, api.Origin{Provider: "github", Location: "acme"}, item.From)
			require.Equal(t, api.ReadyMissing, status("AI_KEY").Status)

			f.MustPut(t, "acme", "AI_KEY", "k", vault.PutOptions{Expires: time.Now().Add(time.Minute)})
			item = status("AI_KEY")
			require.Equal(t, api.ReadyPresent, item.Status)
			require.Equal(t, api.Origin{Provider: "vault", Location: "acme"}, item.From)
			require.Empty(t, item.Detail)
			require.Empty(t, f.Bundle(t, token).Problems())
			time.Sleep(time.Minute)
			require.Equal(t, api.ReadyExpired, status("AI_KEY").Status)
			require.Len(t, f.Bundle(t, token).Problems(), 1, "one problem, not two")

			_, err := f.Hide(t.Context(), "acme/web", "AI_KEY")
			require.NoError(t, err)
			require.Equal(t, api.ReadyHidden, status("AI_KEY").Status)
			require.Len(t, f.Bundle(t, token).Problems(), 1)

			waived := f.MustIssue(t, "acme/web", vault.TokenOptions{Waive: []string{"AI_KEY"}})
			require.Empty(t, f.Bundle(t, waived).Problems(), "a waived secret is not a problem")
			next, _, err := f.RotateToken(t.Context(), tokenID(t, waived), nil)
			require.NoError(t, err)
			require.Empty(t, f.Bundle(t, next).Problems(), "nor is it for the successor of the token")
			r, err := f.Readiness(t.Context(), "globex")
			require.NoError(t, err)
			require.Equal(t, api.Readiness{Scope: "globex", Ready: true}, r, "another tenant has no requirements")
		})
	})
}

func TestRequired(t *testing.T) {
	t.Run("rejects invalid names in Required and Waive", func(t *testing.T) {
		f := newFixture(t)
		keys, err := keyring.New(f.KEK, nil)
		require.NoError(t, err)
		for _, need := range []vault.Required{{Scope: "acme"}, {Name: "A"}, {Scope: "acme", Name: "not a name"}, {Scope: "acme", Name: "A", Help: "\x00"}} {
			_, err := vault.New(t.Context(), f.Storage, keys, &vault.Options{Required: []vault.Required{need}})
			require.ErrorIs(t, err, vault.ErrInvalid)
		}
		_, _, err = f.IssueToken(t.Context(), "acme", &vault.TokenOptions{Waive: []string{"not a name"}})
		require.ErrorIs(t, err, vault.ErrInvalid)
	})

	t.Run("stores a name that is waived twice once", func(t *testing.T) {
		f := newFixture(t)
		_, info, err := f.IssueToken(t.Context(), "acme", &vault.TokenOptions{Waive: []string{"B", "A", "B", "A"}})
		require.NoError(t, err)
		require.Equal(t, []string{"B", "A"}, info.Waived, "in the order given")
		tokens, err := f.Tokens(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []string{"B", "A"}, tokens[0].Waived)
	})
}
