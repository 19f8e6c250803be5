package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// resealed returns a row for Reseal that differs from old in every field except the
// key, and the version that must be stored afterward.
func resealed(old store.SecretRow) (reseal, want store.SecretRow) {
	other := secretRow("other", "OTHER", old.Version+1)
	reseal = other
	reseal.Scope, reseal.Name, reseal.Version = old.Scope, old.Name, old.Version
	reseal.Hidden = !old.Hidden
	reseal.LastUsed, reseal.LastToken = timeOf("reseal"), "t9"
	want = old
	want.KeyID, want.Message, want.Preview, want.MAC = other.KeyID, other.Message, other.Preview, other.MAC
	return reseal, want
}

// remacked is resealed for Remac.
func remacked(old store.TokenRow) (remac, want store.TokenRow) {
	other := tokenRow("other", "other")
	remac = other
	remac.ID = old.ID
	remac.Revoked, remac.RevokedBy, remac.LastUsed, remac.LastAddr, remac.LastRunner = timeOf("remac"), "revoker", timeOf("remac"), "addr", "runner"
	want = old
	want.Generation, want.KeyID, want.MAC = other.Generation, other.KeyID, other.MAC
	return remac, want
}

// Rules about moving rows to another data key.
var resealRules = []contractRule{
	{"resealing replaces key, messages and MAC of a version and nothing else", func(c *checker) {
		c.insert(1, 2, 3)
		c.apply(store.Change{
			Insert:   []store.SecretRow{secretRow("acme", "OTHER", 2), secretRow("acme/web", "NAME", 2), tombstoneRow("acme", "HIDDEN", 1)},
			Activate: []store.VersionRef{theVersion(1)},
		})
		c.touch(store.Usage{Token: "t1", Time: timeOf("use"), Scope: "acme", Name: "NAME"})
		versions := c.read(store.Query{Scope: "acme", Name: "NAME"}).Versions
		require.Len(c, versions, 3)
		var reseals []store.SecretRow
		for i := range 2 {
			var reseal store.SecretRow
			reseal, versions[i] = resealed(versions[i])
			reseals = append(reseals, reseal)
		}
		tomb, hidden := resealed(tombstoneRow("acme", "HIDDEN", 1))
		tomb.Message, tomb.Preview, hidden.Message, hidden.Preview = nil, []byte{}, nil, nil
		c.apply(store.Change{Reseal: append(reseals, tomb)})

		snap := c.read(store.Query{Scope: "acme", Name: "NAME"})
		c.sameSecrets(versions, snap.Versions, "two versions are resealed, and the third is unchanged")
		c.sameSecrets([]store.SecretRow{hidden, versions[0], secretRow("acme", "OTHER", 2)}, snap.Path[0].Secrets, "the active version is unchanged")
		require.EqualValues(c, 3, snap.Last, "no version was added")
		c.sameSecrets([]store.SecretRow{secretRow("acme/web", "NAME", 2)}, c.last(store.Query{Scope: "acme/web"}).Secrets, "the version of another scope is unchanged")

		last, want := resealed(secretRow("acme", "NAME", 4))
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", 4)}, Reseal: []store.SecretRow{secretRow("acme", "NAME", 4), last}})
		want.LastUsed, want.LastToken = timeOf("use"), "t1"
		got := c.read(store.Query{Scope: "acme", Name: "NAME"}).Versions
		c.sameSecrets([]store.SecretRow{want}, got[len(got)-1:], "the parts of a change are applied in order, so Reseal comes after Insert")
	}},
	{"a new MAC of a token replaces its generation, key and MAC and nothing else", func(c *checker) {
		c.apply(store.Change{
			Issue:  []store.TokenRow{tokenRow("acme", "t1"), tokenRow("acme/web", "t2"), tokenRow("acme", "t3")},
			Revoke: []store.RevokedRow{revokedRow("t2")},
		})
		c.touch(store.Usage{Token: "t1", Time: timeOf("use"), Addr: "addr of t1", Runner: "runner of t1"})
		remac1, want1 := remacked(*c.read(store.Query{Token: "t1"}).Token)
		remac2, want2 := remacked(*c.read(store.Query{Token: "t2"}).Token)
		c.apply(store.Change{Remac: []store.TokenRow{remac1, remac2}})
		c.sameTokens([]store.TokenRow{want1}, []store.TokenRow{*c.read(store.Query{Token: "t1"}).Token}, "a token in use")
		c.sameTokens([]store.TokenRow{want2}, []store.TokenRow{*c.read(store.Query{Token: "t2"}).Token}, "a revoked token stays revoked")
		c.sameTokens([]store.TokenRow{tokenRow("acme", "t3")}, []store.TokenRow{*c.read(store.Query{Token: "t3"}).Token}, "another token is unchanged")
		require.Nil(c, c.read(store.Query{Token: "other"}).Token, "no token appears")

		remac4, want4 := remacked(tokenRow("acme", "t4"))
		want4.Revoked, want4.RevokedBy = revokedRow("t4").Revoked, revokedRow("t4").RevokedBy
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t4")}, Revoke: []store.RevokedRow{revokedRow("t4")}, Remac: []store.TokenRow{remac4}})
		c.sameTokens([]store.TokenRow{want4}, []store.TokenRow{*c.read(store.Query{Token: "t4"}).Token}, "one change may issue, revoke and remac a token")
	}},
	{"resealing a row that is not stored fails and changes nothing", func(c *checker) {
		c.insert(1, 2, 3)
		c.apply(store.Change{
			Insert: []store.SecretRow{secretRow("acme", "GONE", 1), secretRow("acme/web", "OTHER", 1)},
			Prune:  []store.VersionRef{theVersion(2)},
			Delete: []store.NameRef{{Scope: "acme", Name: "GONE"}},
			Issue:  []store.TokenRow{tokenRow("acme", "t1")},
		})
		scopes, names, tokens := []string{"acme", "acme/web", "none"}, []string{"NAME", "GONE", "OTHER"}, []string{"t1", "t2"}
		before := c.everything(scopes, names, tokens)
		newest, _ := c.changes(0)
		good, _ := resealed(secretRow("acme", "NAME", 3))
		fails := func(change store.Change, why string) {
			c.Helper()
			change.Reseal = append([]store.SecretRow{good}, change.Reseal...)
			err := c.s.Apply(c.Context(), &change)
			require.Error(c, err, why)
			require.NotErrorIs(c, err, store.ErrConflict, "retrying after a conflict would not help")
			require.Equal(c, before, c.everything(scopes, names, tokens), "%s, but the rest of the change was applied", why)
		}
		for why, row := range map[string]store.SecretRow{
			"the version was never stored": secretRow("acme", "NAME", 4),
			"the version was pruned":       secretRow("acme", "NAME", 1),
			"the name was deleted":         secretRow("acme", "GONE", 1),
			"the name was never stored":    secretRow("acme", "NONE", 1),
			"it belongs to another scope":  secretRow("acme", "OTHER", 1),
			"the scope has no rows":        secretRow("none", "NAME", 1),
		} {
			fails(store.Change{Reseal: []store.SecretRow{row}}, why)
		}
		fails(store.Change{Delete: []store.NameRef{theName}}, "Reseal comes after Delete")
		token := tokenRow("acme", "t1")
		token.Label = "changed"
		fails(store.Change{Remac: []store.TokenRow{token, tokenRow("acme", "t2")}}, "there is no token t2")
		n, _ := c.changes(0)
		require.Equal(c, newest, n, "a failed change is not counted")
	}},
	{"revoking a token again changes the time", func(c *checker) {
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}})
		for _, at := range []time.Time{timeOf("first"), timeOf("first").Add(time.Hour), timeOf("first").Add(-time.Hour)} {
			r := store.RevokedRow{ID: "t1", Revoked: at, RevokedBy: "by " + at.String()}
			c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("t1"), r}})
			c.same(&store.Snapshot{Path: []store.ScopeState{{Scope: "acme", Revoked: []store.RevokedRow{r}}}}, c.read(store.Query{Scope: "acme"}), "the last revocation counts")
			require.True(c, at.Equal(c.read(store.Query{Token: "t1"}).Token.Revoked), "also in the token's row")
		}
	}},
}
