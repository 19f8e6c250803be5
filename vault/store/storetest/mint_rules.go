package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// checkMinted requires that want are the minted rows of a scope.
func (c *checker) checkMinted(scope string, want []store.MintedRow, why string) {
	c.Helper()
	got := c.last(store.Query{Scope: scope, Minted: true, SealsOnly: true})
	c.same(
		&store.Snapshot{Path: []store.ScopeState{{Scope: scope, Seal: got.Seal, Minted: want}}},
		&store.Snapshot{Path: []store.ScopeState{got}}, why)
}

// Rules about the minted rows of integrations.
var mintRules = []contractRule{
	{"minted rows are returned as they were stored", func(c *checker) {
		row := mintedRow("acme/web", "github", 1)
		row.Identity = longText
		row.Minted = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("east", 5*3600))
		row.Expires = time.Time{}
		row.Message = append([]byte{0, 0xff}, bytesOf(70_000, "minted")...)
		c.apply(store.Change{Mint: []store.MintChange{{New: row}, mintChange("acme/web", "bitbucket", 0, 1)}})
		row.Minted = row.Minted.Truncate(time.Microsecond)
		c.checkMinted("acme/web", []store.MintedRow{mintedRow("acme/web", "bitbucket", 1), row}, "rows are returned as they were stored, sorted by integration")

		empty := store.MintedRow{Scope: "acme/web", Integration: "github", Identity: "empty"}
		c.apply(store.Change{Mint: []store.MintChange{{Old: row.Identity, New: empty}}})
		c.checkMinted("acme/web", []store.MintedRow{mintedRow("acme/web", "bitbucket", 1), empty}, "a new row replaces all of the old one")
	}},
	{"minted rows are returned on request, for each scope of the path", func(c *checker) {
		c.apply(fillScope("acme/web", "t1"))
		for _, scope := range []string{"acme", "acme/web", "acme/web/pool", "acme/web-2", "acme/we_"} {
			c.apply(store.Change{Mint: []store.MintChange{mintChange(scope, "b", 0, 1), mintChange(scope, "a", 0, 2), mintChange(scope, "Z", 0, 3)}})
		}
		minted := func(scope string) []store.MintedRow {
			return []store.MintedRow{mintedRow(scope, "Z", 3), mintedRow(scope, "a", 2), mintedRow(scope, "b", 1)}
		}
		token := tokenRow("acme/web", "t1")
		want := &store.Snapshot{Token: &token, Path: []store.ScopeState{
			{Scope: "acme", Minted: minted("acme")},
			{Scope: "acme/web", Minted: minted("acme/web"), Seal: sealOf("acme/web", 1)},
		}}
		c.same(want, c.read(store.Query{Token: "t1", Minted: true, SealsOnly: true}), "the rows of the token's path are returned, also with SealsOnly")
		want.Path[1].Secrets = []store.SecretRow{secretRow("acme/web", "NAME", 1)}
		c.same(want, c.read(store.Query{Token: "t1", Minted: true}), "together with everything else")
		want.Path[0].Minted, want.Path[1].Minted = nil, nil
		c.same(want, c.read(store.Query{Token: "t1"}), "nothing without the request")
		c.same(&store.Snapshot{}, c.read(store.Query{Token: "t2", Minted: true}), "nothing for a missing token")
		c.checkMinted("acme/none", nil, "nothing for a scope without rows")
	}},
	{"a minted row is replaced only if its identity is the expected one", func(c *checker) {
		mint := func(from, to int) store.Change {
			return store.Change{Mint: []store.MintChange{mintChange("acme", "github", from, to)}}
		}
		stored := func(n int) {
			c.Helper()
			var want []store.MintedRow
			if n > 0 {
				want = append(want, mintedRow("acme", "github", n))
			}
			c.checkMinted("acme", want, "the last row written is stored")
		}
		c.refuse(mint(1, 2), "there is nothing to replace")
		c.refuse(mint(1, 0), "there is nothing to remove")
		stored(0)
		c.apply(mint(0, 0))
		stored(0)
		c.apply(mint(0, 1))
		stored(1)
		c.refuse(mint(0, 2), "there is a row already")
		c.refuse(mint(0, 1), "there is a row already, even if it is the same")
		c.refuse(mint(0, 0), "there is a row")
		c.refuse(mint(3, 2), "the stored row differs")
		c.refuse(mint(3, 0), "the stored row differs")
		c.refuse(store.Change{Mint: []store.MintChange{mintChange("acme", "bitbucket", 1, 2)}}, "the row belongs to another integration")
		c.refuse(store.Change{Mint: []store.MintChange{{Old: mintedRow("acme", "github", 1).Identity, New: mintedRow("acme/web", "github", 2)}}}, "it belongs to another scope")
		stored(1)
		c.apply(mint(1, 2))
		stored(2)
		c.apply(store.Change{Mint: []store.MintChange{mintChange("acme", "github", 2, 3), mintChange("acme", "github", 3, 4)}})
		stored(4)
		c.refuse(store.Change{Mint: []store.MintChange{mintChange("acme", "github", 4, 5), mintChange("acme", "github", 4, 6)}}, "the second finds the row of the first")
		stored(4)
		c.apply(mint(4, 0))
		stored(0)
		c.apply(mint(0, 1))
		stored(1)
	}},
	{"minting changes no other rows", func(c *checker) {
		c.apply(fillScope("acme", "t1"))
		c.apply(store.Change{Mint: []store.MintChange{mintChange("acme", "a", 0, 1), mintChange("acme/web", "a", 0, 1), mintChange("acme", "b", 0, 1)}})
		newest, _ := c.changes(0)
		before := c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"})
		c.apply(store.Change{Mint: []store.MintChange{mintChange("acme/web", "a", 1, 2)}})
		require.Equal(c, before, c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"}), "another scope was changed")
		c.apply(store.Change{Mint: []store.MintChange{mintChange("acme", "a", 1, 0)}})
		c.checkMinted("acme", []store.MintedRow{mintedRow("acme", "b", 1)}, "the row of another integration is unchanged")
		c.checkMinted("acme/web", []store.MintedRow{mintedRow("acme/web", "a", 2)}, "the row of another scope is unchanged")
		n, scopes := c.changes(newest)
		require.Greater(c, n, newest, "minting counts as a change")
		require.Empty(c, scopes, "minting changes no seal")
	}},
}
