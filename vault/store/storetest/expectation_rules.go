package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/vault/store"
)

// Rules about the expectations of changes, and about changes that fail.
var expectationRules = []contractRule{
	{"a seal is replaced only if it is the one expected", func(c *checker) {
		seal := func(n int) []byte { return sealOf("acme", n) }
		change := func(old, new []byte) store.Change {
			return store.Change{Seals: []store.SealChange{{Scope: "acme", Old: old, New: new}}}
		}
		stored := func(want []byte) {
			c.Helper()
			require.Equal(c, want, c.last(store.Query{Scope: "acme"}).Seal)
		}
		c.refuse(change(seal(1), seal(2)), "there is no seal to replace")
		stored(nil)
		c.apply(change(nil, seal(1)))
		stored(seal(1))
		c.refuse(change(nil, seal(2)), "there is a seal already")
		c.refuse(change(seal(3), seal(2)), "the seal is another one")
		c.refuse(change(seal(1)[:97], seal(2)), "a prefix of the seal is another seal")
		c.refuse(change(append(seal(1), 0), seal(2)), "an extended seal is another seal")
		stored(seal(1))
		c.apply(change(seal(1), seal(2)))
		stored(seal(2))
		c.apply(store.Change{Seals: []store.SealChange{{Scope: "acme", Old: seal(2), New: seal(3)}, {Scope: "acme", Old: seal(3), New: seal(4)}}})
		stored(seal(4))
	}},
	{"a key record is inserted or replaced only if the stored one is expected", func(c *checker) {
		record := func(key string, n int) keyring.Record { return keyRecord("acme", key, n) }
		change := func(k store.KeyChange) store.Change {
			k.Tenant = "acme"
			return store.Change{Keys: []store.KeyChange{k}}
		}
		stored := func(want ...keyring.Record) {
			c.Helper()
			got := c.read(store.Query{Scope: "acme"})
			require.Equal(c, textOf(&store.Snapshot{Keys: want, Path: got.Path}), textOf(got))
		}
		c.apply(store.Change{Keys: []store.KeyChange{{Tenant: "other", New: keyRecord("other", "first", 1), First: true}}})
		c.refuse(change(store.KeyChange{Old: record("first", 1), New: record("first", 2)}), "there is no record to replace")
		c.apply(change(store.KeyChange{New: record("first", 1), First: true}))
		c.refuse(change(store.KeyChange{New: record("second", 1), First: true}), "the tenant has a record already")
		c.refuse(change(store.KeyChange{New: record("first", 1)}), "the record exists already")
		c.refuse(change(store.KeyChange{New: record("first", 2)}), "a record of the same key exists already")
		stored(record("first", 1))
		c.apply(change(store.KeyChange{New: record("second", 1)}))
		c.refuse(change(store.KeyChange{Old: record("first", 2), New: record("first", 3)}), "the record is another one")
		c.refuse(change(store.KeyChange{Old: record("second", 1), New: record("first", 3)}), "the record of that key is another one")
		stored(record("first", 1), record("second", 1))
		c.apply(change(store.KeyChange{Old: record("first", 1), New: record("first", 2)}))
		stored(record("first", 2), record("second", 1))
		require.Equal(c, []keyring.Record{keyRecord("other", "first", 1)}, c.read(store.Query{Scope: "other"}).Keys, "another tenant's record is unchanged")
	}},
	{"a version that exists is not inserted again", func(c *checker) {
		c.insert(1, 2)
		other := secretRow("acme", "NAME", 1)
		other.Message = []byte("another message")
		c.refuse(store.Change{Insert: []store.SecretRow{other}}, "version 1 exists")
		c.refuse(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", 3), secretRow("acme", "NAME", 3)}}, "a change cannot insert a version twice")
		c.versions(2, 2, []int64{1, 2}, "the stored rows are unchanged")
	}},
	{"a token that exists is not issued again", func(c *checker) {
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}})
		c.refuse(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}}, "t1 exists")
		c.refuse(store.Change{Issue: []store.TokenRow{tokenRow("other", "t1")}}, "token ids are unique in the whole store")
		c.apply(store.Change{Revoke: []store.RevokedRow{revokedRow("t1")}})
		c.refuse(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}}, "a revoked token still exists")
		token := tokenRow("acme", "t1")
		token.Revoked, token.RevokedBy = revokedRow("t1").Revoked, revokedRow("t1").RevokedBy
		c.sameTokens([]store.TokenRow{token}, c.read(store.Query{Scope: "acme", Tokens: true}).Tokens, "the stored rows are unchanged")
	}},
	{"a change that fails changes nothing", func(c *checker) {
		c.apply(store.Change{
			Keys:   []store.KeyChange{{Tenant: "acme", New: keyRecord("acme", "first", 1), First: true}},
			Seals:  []store.SealChange{{Scope: "acme", New: sealOf("acme", 1)}},
			Insert: []store.SecretRow{secretRow("acme", "A", 1), secretRow("acme", "A", 2), secretRow("acme", "A", 3), secretRow("acme", "C", 1)},
			Issue:  []store.TokenRow{tokenRow("acme", "t1")},
			Mint:   []store.MintChange{mintChange("acme", "github", 0, 1), mintChange("acme", "bitbucket", 0, 1)},
			Append: entriesOf("acme", 1, 3),
		})
		good := func() *store.Change {
			return &store.Change{
				Keys: []store.KeyChange{
					{Tenant: "acme", Old: keyRecord("acme", "first", 1), New: keyRecord("acme", "first", 2)},
					{Tenant: "acme", New: keyRecord("acme", "second", 1)},
					{Tenant: "other", New: keyRecord("other", "first", 1), First: true},
				},
				Seals: []store.SealChange{
					{Scope: "acme", Old: sealOf("acme", 1), New: sealOf("acme", 2)},
					{Scope: "acme/web", New: sealOf("acme/web", 1)},
				},
				Insert:   []store.SecretRow{secretRow("acme", "A", 4), secretRow("acme/web", "B", 1)},
				Activate: []store.VersionRef{{Scope: "acme", Name: "A", Version: 2}},
				Prune:    []store.VersionRef{{Scope: "acme", Name: "A", Version: 3}},
				Delete:   []store.NameRef{{Scope: "acme", Name: "C"}},
				Issue:    []store.TokenRow{tokenRow("acme/web", "t2")},
				Revoke:   []store.RevokedRow{revokedRow("t1")},
				Reseal:   []store.SecretRow{secretRow("acme", "A", 3)},
				Remac:    []store.TokenRow{tokenRow("other", "t1")},
				Mint: []store.MintChange{
					mintChange("acme", "github", 1, 2), mintChange("acme", "bitbucket", 1, 0), mintChange("acme/web", "github", 0, 1),
				},
				Append:    append(entriesOf("acme", 4, 5), entryOf("other", 1)),
				DropAudit: []store.AuditRef{{Tenant: "acme", Seq: 2}},
			}
		}
		scopes, names, tokens := []string{"acme", "acme/web", "other"}, []string{"A", "B", "C"}, []string{"t1", "t2"}
		before := c.everything(scopes, names, tokens)
		newest, _ := c.changes(0)
		for _, broken := range []struct {
			why      string
			conflict bool
			spoil    func(*store.Change)
		}{
			{"a key record to replace differs", true, func(ch *store.Change) {
				ch.Keys = append(ch.Keys, store.KeyChange{Tenant: "acme", Old: keyRecord("acme", "second", 9), New: keyRecord("acme", "second", 2)})
			}},
			{"a key record to replace is missing", true, func(ch *store.Change) {
				ch.Keys = append(ch.Keys, store.KeyChange{Tenant: "acme", Old: keyRecord("acme", "third", 1), New: keyRecord("acme", "third", 2)})
			}},
			{"a key record to insert exists", true, func(ch *store.Change) {
				ch.Keys = append(ch.Keys, store.KeyChange{Tenant: "acme", New: keyRecord("acme", "first", 1)})
			}},
			{"a first key record is not the first", true, func(ch *store.Change) {
				ch.Keys = append(ch.Keys, store.KeyChange{Tenant: "acme", New: keyRecord("acme", "third", 1), First: true})
			}},
			{"a seal to replace differs", true, func(ch *store.Change) {
				ch.Seals = append(ch.Seals, store.SealChange{Scope: "acme", Old: sealOf("acme", 1), New: sealOf("acme", 3)})
			}},
			{"a seal to replace is missing", true, func(ch *store.Change) {
				ch.Seals = append(ch.Seals, store.SealChange{Scope: "other", Old: sealOf("other", 1), New: sealOf("other", 2)})
			}},
			{"a first seal is not the first", true, func(ch *store.Change) {
				ch.Seals = append(ch.Seals, store.SealChange{Scope: "acme", New: sealOf("acme", 1)})
			}},
			{"a version to insert exists", true, func(ch *store.Change) {
				ch.Insert = append(ch.Insert, secretRow("acme", "A", 2))
			}},
			{"a token to issue exists", true, func(ch *store.Change) {
				ch.Issue = append(ch.Issue, tokenRow("acme", "t1"))
			}},
			{"a minted row to replace differs", true, func(ch *store.Change) {
				ch.Mint = append(ch.Mint, mintChange("acme", "github", 1, 3))
			}},
			{"a minted row to remove is missing", true, func(ch *store.Change) {
				ch.Mint = append(ch.Mint, mintChange("other", "github", 1, 0))
			}},
			{"a minted row exists already", true, func(ch *store.Change) {
				ch.Mint = append(ch.Mint, mintChange("acme/web", "github", 0, 2))
			}},
			{"an audit entry does not follow the newest", true, func(ch *store.Change) {
				ch.Append = append(ch.Append, entryOf("acme", 7))
			}},
			{"an audit entry exists", true, func(ch *store.Change) {
				ch.Append = append(ch.Append, entryOf("other", 1))
			}},
			{"a conflict takes precedence over a missing version", true, func(ch *store.Change) {
				ch.Activate = append(ch.Activate, store.VersionRef{Scope: "acme", Name: "A", Version: 99})
				ch.Issue = append(ch.Issue, tokenRow("acme", "t1"))
			}},
			{"a conflict takes precedence over a missing token", true, func(ch *store.Change) {
				ch.Revoke = append(ch.Revoke, revokedRow("t3"))
				ch.Append = append(ch.Append, entryOf("acme", 7))
			}},
			{"a conflict takes precedence over a missing row to reseal", true, func(ch *store.Change) {
				ch.Reseal = append(ch.Reseal, secretRow("acme", "A", 99))
				ch.Mint = append(ch.Mint, mintChange("acme", "github", 1, 3))
			}},
			{"a version to activate is missing", false, func(ch *store.Change) {
				ch.Activate = append(ch.Activate, store.VersionRef{Scope: "acme", Name: "A", Version: 99})
			}},
			{"a token to revoke is missing", false, func(ch *store.Change) {
				ch.Revoke = append(ch.Revoke, revokedRow("t3"))
			}},
			{"a version to reseal is missing", false, func(ch *store.Change) {
				ch.Reseal = append(ch.Reseal, secretRow("acme", "A", 1))
			}},
			{"a token for a new MAC is missing", false, func(ch *store.Change) {
				ch.Remac = append(ch.Remac, tokenRow("acme", "t3"))
			}},
		} {
			change := good()
			broken.spoil(change)
			err := c.s.Apply(c.Context(), change)
			require.Error(c, err, broken.why)
			if broken.conflict {
				require.ErrorIs(c, err, store.ErrConflict, broken.why)
			} else {
				require.NotErrorIs(c, err, store.ErrConflict, broken.why)
			}
			require.Equal(c, before, c.everything(scopes, names, tokens), "a part of the change was applied, although %s", broken.why)
			n, sc := c.changes(newest)
			require.Equal(c, newest, n, "a failed change is not counted")
			require.Empty(c, sc, "a failed change changes no seal")
		}
		c.apply(*good())
		require.NotEqual(c, before, c.everything(scopes, names, tokens), "the change without the fault is applied")
	}},
	{"nothing is read or written once the context is done", func(c *checker) {
		c.apply(fillScope("acme", "t1"))
		before := c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"})
		canceled, cancel := context.WithCancel(c.Context())
		cancel()
		late, cancel := context.WithDeadline(c.Context(), time.Unix(1, 0))
		defer cancel()
		for ctx, want := range map[context.Context]error{canceled: context.Canceled, late: context.DeadlineExceeded} {
			_, err := c.s.Read(ctx, store.Query{Scope: "acme"})
			require.ErrorIs(c, err, want, "Read returns the context's error")
			err = c.s.Apply(ctx, &store.Change{Seals: []store.SealChange{{Scope: "acme", Old: sealOf("acme", 1), New: sealOf("acme", 2)}}})
			require.ErrorIs(c, err, want, "Apply returns the context's error")
			err = c.s.Touch(ctx, []store.Usage{{Token: "t1", Time: timeOf("use")}})
			require.ErrorIs(c, err, want, "Touch returns the context's error")
			_, _, err = c.s.Changes(ctx, 0)
			require.ErrorIs(c, err, want, "Changes returns the context's error")
			_, err = c.s.Tenants(ctx, "", 10)
			require.ErrorIs(c, err, want, "Tenants returns the context's error")
			_, err = c.s.Audit(ctx, "acme", 0, 10)
			require.ErrorIs(c, err, want, "Audit returns the context's error")
			_, err = c.s.Scopes(ctx, "acme")
			require.ErrorIs(c, err, want, "Scopes returns the context's error")
			_, err = c.s.Docs(ctx, store.DocQuery{Owner: "acme", Space: "space", Limit: 10})
			require.ErrorIs(c, err, want, "Docs returns the context's error")
			require.ErrorIs(c, c.s.Touch(ctx, nil), want, "Touch does so even without uses")
			require.ErrorIs(c, c.s.Ping(ctx), want, "Ping returns the context's error")
		}
		require.Equal(c, before, c.everything([]string{"acme"}, []string{"NAME"}, []string{"t1"}), "something was written after the context was done")
	}},
}
