package vaulttest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

// storageResealed returns a version as it is stored after a Reseal by a row
// that differs from it in every field.
func storageResealed(old vault.SecretRow) (reseal, want vault.SecretRow) {
	other := storageSecret("other", "OTHER", old.Version+1)
	reseal = other
	reseal.Scope, reseal.Name, reseal.Version = old.Scope, old.Name, old.Version
	reseal.Hidden = !old.Hidden
	reseal.LastUsed, reseal.LastToken = storageTime("reseal"), "nobody"
	want = old
	want.KeyID, want.Message, want.Preview, want.MAC = other.KeyID, other.Message, other.Preview, other.MAC
	return reseal, want
}

// storageRemacked is storageResealed for Remac.
func storageRemacked(old vault.TokenRow) (remac, want vault.TokenRow) {
	other := storageToken("other", "other")
	remac = other
	remac.ID = old.ID
	remac.Revoked, remac.RevokedBy, remac.LastUsed, remac.LastAddr, remac.LastRunner = storageTime("remac"), "nobody", storageTime("remac"), "addr", "runner"
	want = old
	want.KeyID, want.MAC = other.KeyID, other.MAC
	return remac, want
}

// Rules about moving what is stored to another data key.
var storageResealRules = []storageRule{
	{"resealing replaces key, messages and MAC of a version and nothing else", func(c *storageCheck) {
		c.insert(1, 2, 3)
		c.apply(vault.Change{
			Insert:   []vault.SecretRow{storageSecret("acme", "OTHER", 2), storageSecret("acme/web", "NAME", 2), storageTombstone("acme", "HIDDEN", 1)},
			Activate: []vault.VersionRef{storageVersion(1)},
		})
		c.touch(vault.Use{Token: "t1", Time: storageTime("use"), Scope: "acme", Name: "NAME"})
		versions := c.read(vault.Query{Scope: "acme", Name: "NAME"}).Versions
		require.Len(c, versions, 3)
		var reseals []vault.SecretRow
		for i := range 2 {
			var reseal vault.SecretRow
			reseal, versions[i] = storageResealed(versions[i])
			reseals = append(reseals, reseal)
		}
		tomb, hidden := storageResealed(storageTombstone("acme", "HIDDEN", 1))
		tomb.Message, tomb.Preview, hidden.Message, hidden.Preview = nil, []byte{}, nil, nil
		c.apply(vault.Change{Reseal: append(reseals, tomb)})

		snap := c.read(vault.Query{Scope: "acme", Name: "NAME"})
		c.sameSecrets(versions, snap.Versions, "both versions are resealed, and the third is as it was")
		c.sameSecrets([]vault.SecretRow{hidden, versions[0], storageSecret("acme", "OTHER", 2)}, snap.Path[0].Secrets, "the active version is what it was")
		require.EqualValues(c, 3, snap.Last, "no version was added")
		c.sameSecrets([]vault.SecretRow{storageSecret("acme/web", "NAME", 2)}, c.last(vault.Query{Scope: "acme/web"}).Secrets, "another scope's is as it was")

		last, want := storageResealed(storageSecret("acme", "NAME", 4))
		c.apply(vault.Change{Insert: []vault.SecretRow{storageSecret("acme", "NAME", 4)}, Reseal: []vault.SecretRow{storageSecret("acme", "NAME", 4), last}})
		want.LastUsed, want.LastToken = storageTime("use"), "t1"
		got := c.read(vault.Query{Scope: "acme", Name: "NAME"}).Versions
		c.sameSecrets([]vault.SecretRow{want}, got[len(got)-1:], "the parts of a change are applied in order, so Reseal comes after Insert")
	}},
	{"a new MAC of a token replaces its key and MAC and nothing else", func(c *storageCheck) {
		c.apply(vault.Change{
			Issue:  []vault.TokenRow{storageToken("acme", "t1"), storageToken("acme/web", "t2"), storageToken("acme", "t3")},
			Revoke: []vault.RevokedRow{storageRevoked("t2")},
		})
		c.touch(vault.Use{Token: "t1", Time: storageTime("use"), Addr: "addr of t1", Runner: "runner of t1"})
		remac1, want1 := storageRemacked(*c.read(vault.Query{Token: "t1"}).Token)
		remac2, want2 := storageRemacked(*c.read(vault.Query{Token: "t2"}).Token)
		c.apply(vault.Change{Remac: []vault.TokenRow{remac1, remac2}})
		c.sameTokens([]vault.TokenRow{want1}, []vault.TokenRow{*c.read(vault.Query{Token: "t1"}).Token}, "a token in use")
		c.sameTokens([]vault.TokenRow{want2}, []vault.TokenRow{*c.read(vault.Query{Token: "t2"}).Token}, "a revoked token stays revoked")
		c.sameTokens([]vault.TokenRow{storageToken("acme", "t3")}, []vault.TokenRow{*c.read(vault.Query{Token: "t3"}).Token}, "another token is as it was")
		require.Nil(c, c.read(vault.Query{Token: "other"}).Token, "no token appears")

		remac4, want4 := storageRemacked(storageToken("acme", "t4"))
		want4.Revoked, want4.RevokedBy = storageRevoked("t4").Revoked, storageRevoked("t4").RevokedBy
		c.apply(vault.Change{Issue: []vault.TokenRow{storageToken("acme", "t4")}, Revoke: []vault.RevokedRow{storageRevoked("t4")}, Remac: []vault.TokenRow{remac4}})
		c.sameTokens([]vault.TokenRow{want4}, []vault.TokenRow{*c.read(vault.Query{Token: "t4"}).Token}, "one change may issue, revoke and do this")
	}},
	{"resealing what is not stored fails and changes nothing", func(c *storageCheck) {
		c.insert(1, 2, 3)
		c.apply(vault.Change{
			Insert: []vault.SecretRow{storageSecret("acme", "GONE", 1), storageSecret("acme/web", "OTHER", 1)},
			Prune:  []vault.VersionRef{storageVersion(2)},
			Delete: []vault.NameRef{{Scope: "acme", Name: "GONE"}},
			Issue:  []vault.TokenRow{storageToken("acme", "t1")},
		})
		scopes, names, tokens := []string{"acme", "acme/web", "none"}, []string{"NAME", "GONE", "OTHER"}, []string{"t1", "t2"}
		before := c.everything(scopes, names, tokens)
		newest, _ := c.changes(0)
		good, _ := storageResealed(storageSecret("acme", "NAME", 3))
		fails := func(change vault.Change, why string) {
			c.Helper()
			change.Reseal = append([]vault.SecretRow{good}, change.Reseal...)
			err := c.s.Apply(c.Context(), &change)
			require.Error(c, err, why)
			require.NotErrorIs(c, err, vault.ErrConflict, "a conflict would be tried again for nothing")
			require.Equal(c, before, c.everything(scopes, names, tokens), "%s, but the rest of the change was applied", why)
		}
		for why, row := range map[string]vault.SecretRow{
			"the version was never stored": storageSecret("acme", "NAME", 4),
			"the version was pruned":       storageSecret("acme", "NAME", 1),
			"the name was deleted":         storageSecret("acme", "GONE", 1),
			"the name was never stored":    storageSecret("acme", "NONE", 1),
			"it is another scope's":        storageSecret("acme", "OTHER", 1),
			"the scope has nothing":        storageSecret("none", "NAME", 1),
		} {
			fails(vault.Change{Reseal: []vault.SecretRow{row}}, why)
		}
		fails(vault.Change{Delete: []vault.NameRef{storageName}}, "Reseal comes after Delete")
		token := storageToken("acme", "t1")
		token.Label = "changed"
		fails(vault.Change{Remac: []vault.TokenRow{token, storageToken("acme", "t2")}}, "there is no token t2")
		n, _ := c.changes(0)
		require.Equal(c, newest, n, "what fails is no change")
	}},
	{"revoking again changes when", func(c *storageCheck) {
		c.apply(vault.Change{Issue: []vault.TokenRow{storageToken("acme", "t1")}})
		for _, at := range []time.Time{storageTime("first"), storageTime("first").Add(time.Hour), storageTime("first").Add(-time.Hour)} {
			r := vault.RevokedRow{ID: "t1", Revoked: at, RevokedBy: "by " + at.String()}
			c.apply(vault.Change{Revoke: []vault.RevokedRow{storageRevoked("t1"), r}})
			c.same(&vault.Snapshot{Path: []vault.ScopeState{{Scope: "acme", Revoked: []vault.RevokedRow{r}}}}, c.read(vault.Query{Scope: "acme"}), "the last revocation counts")
			require.True(c, at.Equal(c.read(vault.Query{Token: "t1"}).Token.Revoked), "also in the token's row")
		}
	}},
}
