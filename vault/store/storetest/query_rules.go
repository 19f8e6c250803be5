package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Rules about queries.
var queryRules = []contractRule{
	{"a path has a state for each scope, whether or not anything is stored there", func(c *checker) {
		want := []store.ScopeState{{Scope: "acme"}, {Scope: "acme/web"}, {Scope: "acme/web/pool-a"}}
		c.same(&store.Snapshot{Path: want}, c.read(store.Query{Scope: "acme/web/pool-a", Name: "NAME", Tokens: true, Below: true, History: true, Minted: true, AuditHead: true}), "an empty store has an empty state for each scope")
		c.same(&store.Snapshot{Path: want}, c.read(store.Query{Scope: "acme/web/pool-a", SealsOnly: true}), "also with SealsOnly")

		c.apply(store.Change{Seals: []store.SealChange{{Scope: "acme/web", New: sealOf("acme/web", 1)}}})
		want[1].Seal = sealOf("acme/web", 1)
		c.same(&store.Snapshot{Path: want}, c.read(store.Query{Scope: "acme/web/pool-a"}), "the seal is that of the middle scope")
		require.Nil(c, c.last(store.Query{Scope: "acme/web/pool-a"}).Seal, "the Seal of a scope without a seal is nil")

		deep := "a" + strings.Repeat("/a", 7)
		require.Len(c, c.read(store.Query{Scope: deep}).Path, 8, "a scope has up to eight segments")
	}},
	{"the snapshot for a missing token is empty", func(c *checker) {
		c.apply(fillScope("acme", "t1"))
		got := c.read(store.Query{Token: "t2", Scope: "acme", Name: "NAME", Tokens: true, Below: true, History: true})
		c.same(&store.Snapshot{}, got, "a missing token reveals nothing")
	}},
	{"a token is read with the path of its scope", func(c *checker) {
		c.apply(fillScope("acme", "t1"))
		c.apply(fillScope("acme/web", "t2"))
		c.apply(fillScope("acme/db", "t3"))
		token := tokenRow("acme/web", "t2")
		c.same(&store.Snapshot{
			Token: &token,
			Path: []store.ScopeState{
				{Scope: "acme", Seal: sealOf("acme", 1), Secrets: []store.SecretRow{secretRow("acme", "NAME", 1)}},
				{Scope: "acme/web", Seal: sealOf("acme/web", 1), Secrets: []store.SecretRow{secretRow("acme/web", "NAME", 1)}},
			},
			Versions: []store.SecretRow{secretRow("acme/web", "NAME", 1)},
			Last:     1,
			Tokens:   []store.TokenRow{token},
		}, c.read(store.Query{Token: "t2", Scope: "acme/db", Name: "NAME", Tokens: true}), "Query.Scope is ignored if Query.Token is set")
	}},
	{"SealsOnly leaves out keys, secrets and revoked tokens", func(c *checker) {
		c.apply(store.Change{Keys: []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", 1)}}})
		c.apply(fillScope("acme", "t1"))
		c.apply(fillScope("acme/web", "t2"))
		c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("t1"), revokedRow("t2")}})
		token := tokenRow("acme/web", "t2")
		token.Revoked, token.RevokedBy = revokedRow("t2").Revoked, revokedRow("t2").RevokedBy
		c.same(&store.Snapshot{
			Token: &token,
			Path:  []store.ScopeState{{Scope: "acme", Seal: sealOf("acme", 1)}, {Scope: "acme/web", Seal: sealOf("acme/web", 1)}},
		}, c.read(store.Query{Token: "t2", SealsOnly: true}), "a poll reads the token's row and the seals")
	}},
	{"scopes with similar names are independent", func(c *checker) {
		scopes := []string{
			"ac", "acme", "acme-2", "acme_2", "acme0", "acme2", "acme/a", "acme/ab", "acme/a-b", "acme/a_b", "acme/axb", "acme/a/b", "acme/a0", "acme-2/a",
		}
		for _, scope := range scopes {
			c.apply(fillScope(scope, "t-"+scope))
			c.apply(store.Change{Keys: []store.KeyChange{{Tenant: store.Tenant(scope), New: keyRecord(store.Tenant(scope), scope, 1)}}})
		}
		c.apply(store.Change{Delete: []store.NameRef{{Scope: "acme/a_b", Name: "NAME"}}, Revoke: []store.RevokedRow{revokedRow("t-acme/a_b")}})
		c.touch(store.Usage{Token: "t-acme/a_b", Time: timeOf("use"), Scope: "acme/a-b", Name: "NAME"})

		for _, scope := range scopes {
			want := &store.Snapshot{Last: 1}
			for _, s := range store.Path(scope) {
				row := secretRow(s, "NAME", 1)
				if s == "acme/a-b" {
					row.LastUsed, row.LastToken = timeOf("use"), "t-acme/a_b"
				}
				st := store.ScopeState{Scope: s, Seal: sealOf(s, 1), Secrets: []store.SecretRow{row}}
				if s == "acme/a_b" {
					st.Secrets, st.Revoked = nil, []store.RevokedRow{revokedRow("t-acme/a_b")}
				}
				want.Path = append(want.Path, st)
			}
			want.Versions = want.Path[len(want.Path)-1].Secrets
			token := tokenRow(scope, "t-"+scope)
			if scope == "acme/a_b" {
				token.Revoked, token.RevokedBy = revokedRow(token.ID).Revoked, revokedRow(token.ID).RevokedBy
			}
			want.Tokens = []store.TokenRow{token}
			for _, s := range scopes {
				if store.Tenant(s) == store.Tenant(scope) {
					want.Keys = append(want.Keys, keyRecord(store.Tenant(s), s, 1))
				}
				if strings.HasPrefix(s, scope+"/") {
					want.Below = append(want.Below, s)
				}
			}
			slices.Sort(want.Below)
			h := store.NameHistory{Name: "NAME", Last: 1, Versions: want.Versions}
			if len(h.Versions) > 0 {
				h.Active = 1
			}
			want.History = []store.NameHistory{h}
			c.same(want, c.read(store.Query{Scope: scope, Name: "NAME", Tokens: true, Below: true, History: true}), "scope "+scope+" has only its rows")
		}
	}},
	{"secrets with similar names are independent", func(c *checker) {
		names := []string{"A", "AB", "AXB", "A_B", "A__B", "_", "a_b"} // in byte order
		for i, name := range names {
			c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", name, int64(i+1))}})
		}
		for i, name := range names {
			snap := c.read(store.Query{Scope: "acme", Name: name})
			c.sameSecrets([]store.SecretRow{secretRow("acme", name, int64(i+1))}, snap.Versions, "the versions are those of "+name)
			require.EqualValues(c, i+1, snap.Last, "the highest version is that of %s", name)
		}
	}},
	{"Below has each sealed scope below", func(c *checker) {
		change := store.Change{
			Insert: []store.SecretRow{
				secretRow("acme", "A", 1), secretRow("acme/web", "A", 1), secretRow("acme/gone", "A", 1), tombstoneRow("acme/hidden", "A", 1),
				secretRow("acme-2/web", "A", 1), secretRow("acme/website", "A", 1), secretRow("acme/unsealed", "A", 1),
			},
			Delete: []store.NameRef{{Scope: "acme/gone", Name: "A"}},
			Issue:  []store.TokenRow{tokenRow("acme/tokens", "t1")},
		}
		for _, scope := range []string{"acme", "acme/empty", "acme/web", "acme/web/pool", "acme/gone", "acme/hidden", "acme/website", "acme-2", "acme-2/web"} {
			change.Seals = append(change.Seals, store.SealChange{Scope: scope, New: sealOf(scope, 1)})
		}
		c.apply(change)
		below := func(scope string) []string {
			return c.read(store.Query{Scope: scope, Below: true}).Below
		}
		require.Equal(c, []string{"acme/empty", "acme/gone", "acme/hidden", "acme/web", "acme/web/pool", "acme/website"}, below("acme"),
			"every scope with a seal is included, in byte order")
		require.Equal(c, []string{"acme/web/pool"}, below("acme/web"))
		require.Empty(c, below("acme/web/pool"), "no scope is below")
		require.Empty(c, c.read(store.Query{Scope: "acme"}).Below, "scopes are returned only on request")
	}},
	{"History has every name that a scope ever had", func(c *checker) {
		c.insert(1, 2, 10, 9)
		c.apply(store.Change{
			Insert: []store.SecretRow{
				secretRow("acme", "a", 1), secretRow("acme", "Z", 1), secretRow("acme", "Z", 2), secretRow("acme", "GONE", 4), tombstoneRow("acme", "HIDDEN", 3),
				secretRow("acme/web", "NAME", 1), secretRow("acme/web", "WEB", 1), secretRow("acme_", "NAME", 5),
			},
			Activate: []store.VersionRef{{Scope: "acme", Name: "Z", Version: 1}},
			Prune:    []store.VersionRef{theVersion(2), {Scope: "acme", Name: "NONE", Version: 2}},
			Delete:   []store.NameRef{{Scope: "acme", Name: "GONE"}, {Scope: "acme", Name: "NEVER"}},
			Issue:    []store.TokenRow{tokenRow("acme", "t1")},
		})
		c.touch(store.Usage{Token: "t1", Time: timeOf("use"), Scope: "acme", Name: "Z"}, store.Usage{Token: "t1", Time: timeOf("use"), Scope: "acme", Name: "UNUSED"})
		used := func(row store.SecretRow) store.SecretRow {
			row.LastUsed, row.LastToken = timeOf("use"), "t1"
			return row
		}
		want := &store.Snapshot{History: []store.NameHistory{
			{Name: "GONE", Last: 4},
			{Name: "HIDDEN", Active: 3, Last: 3, Versions: []store.SecretRow{tombstoneRow("acme", "HIDDEN", 3)}},
			{Name: "NAME", Active: 9, Last: 10, Versions: []store.SecretRow{secretRow("acme", "NAME", 2), secretRow("acme", "NAME", 9), secretRow("acme", "NAME", 10)}},
			{Name: "Z", Active: 1, Last: 2, Versions: []store.SecretRow{used(secretRow("acme", "Z", 1)), used(secretRow("acme", "Z", 2))}},
			{Name: "a", Active: 1, Last: 1, Versions: []store.SecretRow{secretRow("acme", "a", 1)}},
		}, Path: []store.ScopeState{{Scope: "acme"}}}
		c.same(want, c.read(store.Query{Scope: "acme", History: true, SealsOnly: true}), "names are in byte order, versions in ascending order")
		got := c.read(store.Query{Token: "t1", History: true})
		want.Token, want.Path = got.Token, got.Path
		c.same(want, got, "the scope is that of the token")
		require.Empty(c, c.read(store.Query{Token: "t1"}).History, "the history is returned only on request")
		c.same(&store.Snapshot{Path: []store.ScopeState{{Scope: "acme"}, {Scope: "acme/none"}}}, c.read(store.Query{Scope: "acme/none", History: true, SealsOnly: true}), "a scope without secrets has no history")
	}},
	{"Tenants returns the tenants with a row of any kind, in byte order", func(c *checker) {
		tenants := func(after string, limit int) []string {
			c.Helper()
			got, err := c.s.Tenants(c.Context(), after, limit)
			require.NoError(c, err, "reading the tenants after %q", after)
			return append([]string{}, got...)
		}
		require.Empty(c, tenants("", 10), "an empty store has no tenants")
		all := []string{"0", "a", "acme", "acme-2", "acme0", "acme2", "acme_", "acme_2", "acmeb", "b"} // in byte order
		for _, i := range []int{3, 0, 9, 5, 1, 8, 2, 7, 4, 6} {
			c.apply(store.Change{Keys: []store.KeyChange{{Tenant: all[i], New: keyRecord(all[i], "first", 1), First: true}}})
		}
		c.apply(store.Change{Keys: []store.KeyChange{
			{Tenant: "acme", New: keyRecord("acme", "second", 1)}, {Tenant: "acme", New: keyRecord("acme", "third", 1)},
			{Tenant: "b", New: keyRecord("b", "second", 1)}, {Tenant: "b", Old: keyRecord("b", "first", 1), New: keyRecord("b", "first", 2)},
		}})
		require.Equal(c, all, tenants("", 100), "each tenant once, in byte order")
		for i, tenant := range all {
			require.Equal(c, all[i+1:], tenants(tenant, 100), "those after %s", tenant)
			require.Equal(c, all[i+1:min(i+4, len(all))], tenants(tenant, 3), "at most 3 after %s", tenant)
		}
		require.Equal(c, all[:1], tenants("", 1))
		require.Empty(c, tenants("", 0), "the limit is zero")
		require.Equal(c, []string{"acme_", "acme_2", "acmeb"}, tenants("acme5", 3), "the name to start after need not exist")
		require.Empty(c, tenants("zzz", 10))

		doc := docRow("i/x", "space", "key", 1)
		c.apply(store.Change{
			Seals:  []store.SealChange{{Scope: "d/x", New: sealOf("d/x", 1)}},
			Insert: []store.SecretRow{secretRow("e/x", "NAME", 1), secretRow("f/x", "NAME", 1)},
			Delete: []store.NameRef{{Scope: "f/x", Name: "NAME"}},
			Issue:  []store.TokenRow{tokenRow("g/x", "t1")},
			Mint:   []store.MintChange{mintChange("h/x", "github", 0, 1)},
			Docs:   []store.DocChange{{New: doc}, {New: docRow(store.Platform, "space", "key", 1)}},
			Append: entriesOf("j", 1, 1),
		})
		require.Equal(c, []string{"d", "e", "f", "g", "h", "i", "j"}, tenants("b", 10),
			"a seal, a version, the number of a deleted name, a token, a minted row, a document and an audit entry each make a tenant")
		require.Equal(c, []string{"0", store.Platform}, tenants("", 2), "an underscore follows the digits")
	}},
	{"rows are sorted", func(c *checker) {
		for _, name := range []string{"a", "Z", "_", "B"} {
			c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", name, 1)}})
		}
		for _, version := range []int64{2, 11, 10, 9} {
			c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "B", version)}})
		}
		at := timeOf("at")
		for id, created := range map[string]time.Time{"b": at, "Z": at, "a": at.Add(time.Microsecond), "c": at.Add(-time.Hour)} {
			token := tokenRow("acme", id)
			token.Created = created
			c.apply(store.Change{Issue: []store.TokenRow{token}, Revoke: []store.RevokedRow{revokedRow(id)}})
		}
		var names, ids, revoked []string
		var versions []int64
		snap := c.read(store.Query{Scope: "acme", Name: "B", Tokens: true})
		for _, row := range snap.Path[0].Secrets {
			names = append(names, row.Name)
		}
		for _, row := range snap.Path[0].Revoked {
			revoked = append(revoked, row.ID)
		}
		for _, row := range snap.Versions {
			versions = append(versions, row.Version)
		}
		for _, row := range snap.Tokens {
			ids = append(ids, row.ID)
		}
		require.Equal(c, []string{"B", "Z", "_", "a"}, names, "secrets are sorted by name, in byte order")
		require.Equal(c, []int64{1, 2, 9, 10, 11}, versions, "versions are in ascending order")
		require.Equal(c, []string{"c", "Z", "b", "a"}, ids, "tokens are sorted by creation time and then by id")
		require.Equal(c, []string{"Z", "a", "b", "c"}, revoked, "revoked tokens are sorted by id")
	}},
	{"a revocation belongs to the scope of the token", func(c *checker) {
		for _, scope := range []string{"acme", "acme/web"} {
			c.apply(store.Change{Issue: []store.TokenRow{tokenRow(scope, scope+" 1"), tokenRow(scope, scope+" 2")}})
		}
		c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("acme 1"), revokedRow("acme/web 2")}})
		c.same(&store.Snapshot{Path: []store.ScopeState{
			{Scope: "acme", Revoked: []store.RevokedRow{revokedRow("acme 1")}},
			{Scope: "acme/web", Revoked: []store.RevokedRow{revokedRow("acme/web 2")}},
		}}, c.read(store.Query{Scope: "acme/web"}), "a scope has its revoked tokens only")
		for _, id := range []string{"acme 1", "acme 2", "acme/web 1", "acme/web 2"} {
			token := c.read(store.Query{Token: id}).Token
			require.NotNil(c, token, "a revoked token stays stored")
			require.Equal(c, slices.Contains([]string{"acme 1", "acme/web 2"}, id), token.RevokedBy != "" && !token.Revoked.IsZero(), "token %s", id)
		}
	}},
	{"all key records of the tenant are returned", func(c *checker) {
		var want []keyring.Record
		for _, key := range []string{"first", "second", "third"} {
			want = append(want, keyRecord("acme", key, 1))
			c.apply(store.Change{Keys: []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", key, 1)}}})
		}
		c.apply(store.Change{Keys: []store.KeyChange{{Tenant: "other", New: keyRecord("other", "first", 1)}}})
		got := c.read(store.Query{Scope: "acme/web/pool"})
		require.Equal(c, textOf(&store.Snapshot{Keys: want, Path: got.Path}), textOf(got))
	}},
}
