package storetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// Rules about Touch, Changes and Ping.
var useRules = []contractRule{
	{"the latest use of a token is recorded", func(c *checker) {
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1"), tokenRow("acme", "t2")}})
		at := timeOf("use")
		used := func(why string, at time.Time, addr, runner string) {
			c.Helper()
			token := tokenRow("acme", "t1")
			token.LastUsed, token.LastAddr, token.LastRunner = at, addr, runner
			c.sameTokens([]store.TokenRow{token}, []store.TokenRow{*c.read(store.Query{Token: "t1"}).Token}, why)
		}
		c.touch(store.Usage{Token: "t1", Time: at, Addr: "addr 1", Runner: "runner 1"})
		used("a use is recorded with address and runner", at, "addr 1", "runner 1")
		c.touch(store.Usage{Token: "t1", Time: at.Add(-time.Microsecond), Addr: "addr 0", Runner: "runner 0"})
		used("a use before the recorded one changes nothing", at, "addr 1", "runner 1")
		c.touch(
			store.Usage{Token: "t1", Time: at.Add(3 * time.Second), Addr: "addr 3", Runner: "runner 3"},
			store.Usage{Token: "t1", Time: at.Add(2 * time.Second), Addr: "addr 2", Runner: "runner 2"},
		)
		used("the latest use of a batch wins, in any order", at.Add(3*time.Second), "addr 3", "runner 3")
		c.touch(store.Usage{Token: "t1", Time: at.Add(time.Hour)})
		used("each use replaces all recorded fields", at.Add(time.Hour), "", "")
		c.touch()
		require.True(c, c.read(store.Query{Token: "t2"}).Token.LastUsed.IsZero(), "a use was recorded for another token")

		c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("t2")}})
		c.touch(store.Usage{Token: "t2", Time: at})
		require.False(c, c.read(store.Query{Token: "t2"}).Token.LastUsed.IsZero(), "a use of a revoked token is recorded like any other")
	}},
	{"the latest use of a secret is recorded", func(c *checker) {
		c.apply(store.Change{
			Insert: []store.SecretRow{secretRow("acme", "NAME", 1), secretRow("acme", "OTHER", 1), secretRow("acme/web", "NAME", 1)},
			Issue:  []store.TokenRow{tokenRow("acme/web", "t1")},
		})
		at := timeOf("use")
		used := func(why string, at time.Time, token string, versions ...int64) {
			c.Helper()
			snap := c.read(store.Query{Scope: "acme", Name: "NAME"})
			var want []store.SecretRow
			for _, v := range versions {
				row := secretRow("acme", "NAME", v)
				row.LastUsed, row.LastToken = at, token
				want = append(want, row)
			}
			c.sameSecrets(want, snap.Versions, why)
			c.sameSecrets(append(want[len(want)-1:], secretRow("acme", "OTHER", 1)), snap.Path[0].Secrets, why)
		}
		use := func(at time.Time, token string) store.Usage {
			return store.Usage{Token: token, Time: at, Addr: "addr", Runner: "runner", Scope: "acme", Name: "NAME"}
		}
		c.touch(use(at, "t1"))
		used("a use is recorded with the token", at, "t1", 1)
		c.touch(use(at.Add(-time.Microsecond), "t0"))
		used("a use before the recorded one changes nothing", at, "t1", 1)
		c.touch(use(at.Add(time.Second), "t2"), use(at.Add(time.Millisecond), "t3"))
		used("the latest use of a batch wins, in any order", at.Add(time.Second), "t2", 1)
		row := secretRow("acme", "NAME", 2)
		row.LastUsed, row.LastToken = at.Add(time.Hour), "t9"
		c.apply(store.Change{Insert: []store.SecretRow{row}})
		used("the use belongs to the secret: a new version neither clears nor sets it", at.Add(time.Second), "t2", 1, 2)
		require.True(c, c.read(store.Query{Token: "t1"}).Token.LastUsed.IsZero(), "a use of a secret is not a use of the token")
		require.True(c, c.last(store.Query{Scope: "acme/web"}).Secrets[0].LastUsed.IsZero(), "a use was recorded in another scope")
	}},
	{"a batch can have hundreds of uses", func(c *checker) {
		const count = 300
		var change store.Change
		var uses []store.Usage
		at := timeOf("use")
		for i := range count {
			id, name := fmt.Sprintf("t%03d", i), fmt.Sprintf("NAME_%03d", i)
			change.Issue = append(change.Issue, tokenRow("acme", id))
			change.Insert = append(change.Insert, secretRow("acme", name, 1))
			for _, d := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} { // the second one is the latest
				token, secret := store.Usage{Token: id, Time: at.Add(d), Runner: fmt.Sprint(id, d)}, store.Usage{Token: fmt.Sprint(id, d), Time: at.Add(d), Scope: "acme", Name: name}
				uses = append(uses, token, secret, store.Usage{Token: "none " + id, Time: at})
			}
		}
		c.apply(change)
		c.touch(uses...)
		snap := c.read(store.Query{Scope: "acme", Tokens: true})
		require.Len(c, snap.Tokens, count)
		require.Len(c, snap.Path[0].Secrets, count)
		for _, row := range snap.Tokens {
			require.Equal(c, fmt.Sprint(row.ID, 3*time.Second), row.LastRunner, "the latest use of token %s", row.ID)
			require.True(c, row.LastUsed.Equal(at.Add(3*time.Second)), "the latest use of token %s", row.ID)
		}
		for i, row := range snap.Path[0].Secrets {
			require.Equal(c, fmt.Sprint(fmt.Sprintf("t%03d", i), 3*time.Second), row.LastToken, "the latest use of %s", row.Name)
			require.True(c, row.LastUsed.Equal(at.Add(3*time.Second)), "the latest use of %s", row.Name)
		}
	}},
	{"a use of a deleted secret or missing token changes nothing", func(c *checker) {
		c.insert(1)
		at := timeOf("use")
		use := store.Usage{Token: "t1", Time: at, Scope: "acme", Name: "NAME"}
		c.touch(use)
		c.apply(store.Change{Delete: []store.NameRef{theName}})
		c.touch(store.Usage{Token: "t1", Time: at}, use, store.Usage{Token: "t1", Time: at, Scope: "none", Name: "NAME"}, store.Usage{Token: "t1", Time: at, Scope: "acme", Name: "NONE"})
		c.versions(0, 1, nil, "a deleted secret is not restored")
		c.same(&store.Snapshot{}, c.read(store.Query{Token: "t1"}), "no token is created")
		c.same(&store.Snapshot{Path: []store.ScopeState{{Scope: "none"}}}, c.read(store.Query{Scope: "none", Name: "NAME"}), "no scope is created")
		c.insert(2)
		c.versions(2, 2, []int64{2}, "Delete clears the use, and later uses are ignored")

		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t2")}})
		c.touch(store.Usage{Token: "t3", Time: at}, store.Usage{Token: "t2", Time: at, Addr: "addr"})
		require.Equal(c, "addr", c.read(store.Query{Token: "t2"}).Token.LastAddr, "the rest of the batch is recorded")
	}},
	{"a use does not count as a change", func(c *checker) {
		c.apply(fillScope("acme", "t1"))
		newest, _ := c.changes(0)
		c.touch(store.Usage{Token: "t1", Time: timeOf("use")}, store.Usage{Token: "t1", Time: timeOf("use"), Scope: "acme", Name: "NAME"})
		n, scopes := c.changes(newest)
		require.Equal(c, newest, n, "Touch changed the number of the newest change")
		require.Empty(c, scopes, "Touch changes no seal")
	}},
	{"Changes returns the scopes whose seals were changed", func(c *checker) {
		replace := func(scope string, n int) store.SealChange {
			change := store.SealChange{Scope: scope, New: sealOf(scope, n)}
			if n > 1 {
				change.Old = sealOf(scope, n-1)
			}
			return change
		}
		start, scopes := c.changes(0)
		require.Empty(c, scopes, "an empty store has no changes")

		c.apply(store.Change{Seals: []store.SealChange{replace("acme", 1), replace("acme/web", 1), replace("acme/db", 1)}})
		first, scopes := c.changes(start)
		require.Greater(c, first, start, "numbers increase")
		require.Equal(c, []string{"acme", "acme/db", "acme/web"}, scopes)

		c.apply(store.Change{Seals: []store.SealChange{replace("acme/web", 2)}})
		second, scopes := c.changes(first)
		require.Greater(c, second, first, "numbers increase")
		require.Equal(c, []string{"acme/web"}, scopes, "only changes after the given number are returned")

		c.apply(store.Change{Seals: []store.SealChange{replace("acme/web", 3), replace("acme/db", 2)}})
		third, scopes := c.changes(first)
		require.Equal(c, []string{"acme/db", "acme/web"}, scopes, "a scope that was changed twice is returned once")
		_, scopes = c.changes(start)
		require.Equal(c, []string{"acme", "acme/db", "acme/web"}, scopes, "earlier changes can be read at any time")

		n, scopes := c.changes(third)
		require.Equal(c, third, n, "Changes is not a change")
		require.Empty(c, scopes, "there are no later changes")
		n, scopes = c.changes(third + 1000)
		require.Equal(c, third, n, "a number from the future does not change the newest number")
		require.Empty(c, scopes)

		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}})
		n, scopes = c.changes(third)
		require.Greater(c, n, third, "a change without a seal is counted")
		require.Empty(c, scopes, "it returns no scope")
	}},
	{"a ping succeeds, shows nowhere and does not count as a change", func(c *checker) {
		require.NoError(c, c.s.Ping(c.Context()), "pinging an empty store")
		c.apply(fillScope("acme", "t1"))
		before, _ := c.changes(0)
		rows := c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"})
		for range 3 {
			require.NoError(c, c.s.Ping(c.Context()), "pinging a store that can be written to")
		}
		after, scopes := c.changes(before)
		require.Equal(c, before, after, "a ping counts as a change")
		require.Empty(c, scopes)
		require.Equal(c, rows, c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"}), "a ping changed rows")
		c.apply(fillScope("acme/web", "t2"))
	}},
}
