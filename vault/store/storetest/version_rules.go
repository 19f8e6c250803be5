package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/store"
)

// theName is the secret that the version rules are about.
var theName = store.NameRef{Scope: "acme", Name: "NAME"}

func theVersion(version int64) store.VersionRef {
	return store.VersionRef{Scope: theName.Scope, Name: theName.Name, Version: version}
}

// insert stores versions of NAME, each in a separate change.
func (c *checker) insert(versions ...int64) {
	c.Helper()
	for _, v := range versions {
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", v)}})
	}
}

// versions requires the stored versions of NAME. active is 0 if none is active.
func (c *checker) versions(active, last int64, stored []int64, why string) {
	c.Helper()
	snap := c.read(store.Query{Scope: "acme", Name: "NAME"})
	var want, got []store.SecretRow
	for _, v := range stored {
		want = append(want, secretRow("acme", "NAME", v))
	}
	c.sameSecrets(want, snap.Versions, why)
	want = nil
	if active != 0 {
		want = append(want, secretRow("acme", "NAME", active))
	}
	for _, row := range snap.Path[0].Secrets {
		if row.Name == "NAME" {
			got = append(got, row)
		}
	}
	c.sameSecrets(want, got, why)
	require.Equal(c, last, snap.Last, why)
}

// Rules about the versions of a secret.
var versionRules = []contractRule{
	{"the version inserted last is the active one", func(c *checker) {
		c.versions(0, 0, nil, "a name that was never stored has no versions")
		c.insert(1)
		c.versions(1, 1, []int64{1}, "the first version is active")
		c.insert(2, 5)
		c.versions(5, 5, []int64{1, 2, 5}, "the newest version is active, and numbers may have gaps")
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", 7), secretRow("acme", "NAME", 6)}})
		c.versions(6, 7, []int64{1, 2, 5, 6, 7}, "the last version of a change is active, and the highest number is remembered")
	}},
	{"a tombstone is a version like any other", func(c *checker) {
		c.insert(1)
		c.apply(store.Change{Insert: []store.SecretRow{tombstoneRow("acme", "NAME", 2)}})
		c.sameSecrets([]store.SecretRow{tombstoneRow("acme", "NAME", 2)}, c.last(store.Query{Scope: "acme"}).Secrets, "the tombstone is the active version")
		c.apply(store.Change{Activate: []store.VersionRef{theVersion(1)}})
		c.sameSecrets([]store.SecretRow{secretRow("acme", "NAME", 1)}, c.last(store.Query{Scope: "acme"}).Secrets, "activating the previous version ends the effect of the tombstone")
	}},
	{"activating a version makes it the active one", func(c *checker) {
		c.insert(1, 2, 3)
		for _, v := range []int64{1, 3, 2, 2} {
			c.apply(store.Change{Activate: []store.VersionRef{theVersion(v)}})
			c.versions(v, 3, []int64{1, 2, 3}, "activating changes nothing else")
		}
		c.insert(4)
		c.versions(4, 4, []int64{1, 2, 3, 4}, "a new version is active, even after an activation")
	}},
	{"activating a version that is not stored fails and changes nothing", func(c *checker) {
		c.insert(1, 2)
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme/web", "NAME", 3), secretRow("acme", "OTHER", 3)}})
		newest, _ := c.changes(0)
		for _, ref := range []store.VersionRef{theVersion(3), theVersion(0), {Scope: "acme", Name: "NONE", Version: 1}, {Scope: "none", Name: "NAME", Version: 1}} {
			change := store.Change{Insert: []store.SecretRow{secretRow("acme", "MORE", 1)}, Activate: []store.VersionRef{ref}}
			err := c.s.Apply(c.Context(), &change)
			require.Error(c, err, "%+v is not stored", ref)
			require.NotErrorIs(c, err, store.ErrConflict, "retrying after a conflict would not help")
		}
		c.versions(2, 2, []int64{1, 2}, "the active version is unchanged")
		require.Zero(c, c.read(store.Query{Scope: "acme", Name: "MORE"}).Last, "the rest of the change was applied")
		n, _ := c.changes(0)
		require.Equal(c, newest, n, "a failed change is not counted")
	}},
	{"revoking a token that is not stored fails and changes nothing", func(c *checker) {
		c.apply(store.Change{Issue: []store.TokenRow{tokenRow("acme", "t1")}})
		err := c.s.Apply(c.Context(), &store.Change{Revoke: []store.RevokedRow{revokedRow("t1"), revokedRow("t2")}})
		require.Error(c, err, "there is no token t2")
		require.NotErrorIs(c, err, store.ErrConflict, "retrying after a conflict would not help")
		require.True(c, c.read(store.Query{Token: "t1"}).Token.Revoked.IsZero(), "the rest of the change was applied")
	}},
	{"pruning removes lower versions and never the active one", func(c *checker) {
		c.insert(1, 2, 3, 4, 5)
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "OTHER", 1), secretRow("acme/web", "NAME", 1)}})
		c.apply(store.Change{Prune: []store.VersionRef{theVersion(3)}})
		c.versions(5, 5, []int64{3, 4, 5}, "versions below 3 are removed")
		c.apply(store.Change{Activate: []store.VersionRef{theVersion(3)}})
		c.apply(store.Change{Prune: []store.VersionRef{theVersion(5)}})
		c.versions(3, 5, []int64{3, 5}, "the active version is kept, however low it is")
		c.apply(store.Change{Activate: []store.VersionRef{theVersion(5)}, Prune: []store.VersionRef{theVersion(100)}})
		c.versions(5, 5, []int64{5}, "the version activated by the same change is the active one")
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", 6)}, Prune: []store.VersionRef{theVersion(6)}})
		c.versions(6, 6, []int64{6}, "so is the version inserted by it")
		c.apply(store.Change{Prune: []store.VersionRef{theVersion(-5), {Scope: "acme", Name: "NONE", Version: 3}, {Scope: "none", Name: "NAME", Version: 3}}})
		c.versions(6, 6, []int64{6}, "without versions to prune, nothing happens")
		require.Len(c, c.read(store.Query{Scope: "acme", Name: "OTHER"}).Versions, 1, "other names keep their versions")
		require.Len(c, c.read(store.Query{Scope: "acme/web", Name: "NAME"}).Versions, 1, "other scopes keep their versions")
	}},
	{"deleting removes all versions", func(c *checker) {
		c.insert(1, 2, 3)
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "OTHER", 1), secretRow("acme/web", "NAME", 1)}})
		c.apply(store.Change{Delete: []store.NameRef{theName}})
		snap := c.read(store.Query{Scope: "acme", Name: "NAME"})
		require.Empty(c, snap.Versions, "a deleted name has no versions")
		c.sameSecrets([]store.SecretRow{secretRow("acme", "OTHER", 1)}, snap.Path[0].Secrets, "other names of the scope stay")
		require.Len(c, c.read(store.Query{Scope: "acme/web", Name: "NAME"}).Versions, 1, "the name stays in other scopes")
		require.Error(c, c.s.Apply(c.Context(), &store.Change{Activate: []store.VersionRef{theVersion(2)}}), "a deleted version cannot be activated")
		c.apply(store.Change{Delete: []store.NameRef{theName, {Scope: "none", Name: "NAME"}, {Scope: "acme", Name: "NONE"}}})
		require.Zero(c, c.read(store.Query{Scope: "acme", Name: "NONE"}).Last, "deleting a missing name does nothing")
	}},
	{"version numbers are never reused", func(c *checker) {
		c.insert(1, 2, 3)
		c.apply(store.Change{Delete: []store.NameRef{theName}})
		c.versions(0, 3, nil, "the highest version outlives Delete")
		c.apply(store.Change{Delete: []store.NameRef{theName}})
		c.versions(0, 3, nil, "and a second Delete")
		c.insert(4)
		c.versions(4, 4, []int64{4}, "a restored name continues its numbers")
		c.insert(6)
		c.apply(store.Change{Activate: []store.VersionRef{theVersion(4)}})
		c.apply(store.Change{Prune: []store.VersionRef{theVersion(7)}})
		c.versions(4, 6, []int64{4}, "the highest version outlives Prune")
		c.apply(store.Change{Insert: []store.SecretRow{secretRow("acme", "NAME", 9)}, Delete: []store.NameRef{theName}})
		c.versions(0, 9, nil, "the parts of a change are applied in order, so Delete comes after Insert")
		require.Zero(c, c.read(store.Query{Scope: "acme/web", Name: "NAME"}).Last, "another scope has separate numbers")
	}},
}
