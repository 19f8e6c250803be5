package bundle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// from returns a secret of provider p.
func from(p, name, value string) bundle.Secret {
	return bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: p, Location: name}}
}

func reveal(t *testing.T, b *bundle.Bundle, name string) string {
	t.Helper()
	s, ok := b.Get(name)
	require.True(t, ok, "%s is present", name)
	return s.Value.Reveal()
}

func TestMerge(t *testing.T) {
	t.Run("takes each value from the last layer that has it", func(t *testing.T) {
		b := bundle.Merge(
			mustNew(t, from("platform", "A", "1"), from("platform", "B", "1")),
			nil,
			mustNew(t, from("yaml", "A", "2"), from("yaml", "C", "2")),
			mustNew(t, from("dotenv", "A", "3")),
		)
		require.Equal(t, []string{"A=3", "B=1", "C=2"}, b.Environ())
	})

	t.Run("lets an empty value shadow the platform's", func(t *testing.T) {
		platform := mustNew(t, from("platform", "A", "1"), from("platform", "B", "1"))
		b := bundle.Merge(platform, mustNew(t, from("dotenv", "A", "")))
		require.Empty(t, reveal(t, b, "A"), "an empty value counts as present")
		require.Equal(t, "1", reveal(t, b, "B"), "an absent name shadows nothing")
	})

	t.Run("combines the metadata of all layers", func(t *testing.T) {
		with := func(m bundle.Meta) *bundle.Bundle {
			b, err := bundle.New(nil, &m)
			require.NoError(t, err)
			return b
		}
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		platform := bundle.Meta{
			Revision: "r1", RefreshAfter: time.Hour, Scope: "acme/web", TokenID: "t1", IssuedAt: now, TokenExpires: now.Add(time.Hour), RotateBy: now,
			Problems: []bundle.Problem{{Name: "X"}}, Notices: []string{"one"},
		}
		local := bundle.Meta{RefreshAfter: time.Minute, Problems: []bundle.Problem{{Name: "Y"}}, Notices: []string{"two"}}
		want := platform
		want.RefreshAfter = time.Minute
		want.Problems = []bundle.Problem{{Name: "X"}, {Name: "Y"}}
		want.Notices = []string{"one", "two"}
		require.Equal(t, want, bundle.Merge(with(platform), with(local)).Meta(), "a layer without an identity keeps the platform's")

		want.Problems = []bundle.Problem{{Name: "Y"}, {Name: "X"}}
		want.Notices = []string{"two", "one"}
		require.Equal(t, want, bundle.Merge(with(local), with(platform)).Meta(), "problems and notices are in the order of the layers")

		other := bundle.Merge(with(platform), with(bundle.Meta{TokenID: "t2"})).Meta()
		require.Equal(t, "t2", other.TokenID, "the last layer with an identity wins")
		require.Empty(t, other.Scope, "identities are not mixed")
		require.Empty(t, other.Revision)
		require.Equal(t, time.Hour, other.RefreshAfter, "a layer without a refresh interval does not override another's")

		revised := with(bundle.Meta{Revision: "r2"})
		require.Equal(t, platform.TokenExpires, bundle.Merge(with(platform), revised).Meta().TokenExpires, "a layer that has only a revision does not replace the platform's identity")
		require.Equal(t, "r1", bundle.Merge(with(platform), revised).Meta().Revision)
		require.Equal(t, "r2", bundle.Merge(with(local), with(bundle.Meta{Revision: "r0"}), revised).Meta().Revision)
	})

	t.Run("drops a problem that a later layer solves", func(t *testing.T) {
		expired := func(name string) *bundle.Bundle {
			b, err := bundle.New([]bundle.Secret{secret("OTHER", "")}, &bundle.Meta{Problems: []bundle.Problem{{Name: name, Reason: "it expired"}}})
			require.NoError(t, err)
			return b
		}
		local := mustNew(t, secret("A", canary))
		require.Empty(t, bundle.Merge(expired("A"), local).Problems(), "the bundle has A from a later layer")
		require.Empty(t, bundle.Merge(expired("A"), bundle.Merge(nil, local)).Problems())
		require.Empty(t, bundle.Merge(bundle.Merge(nil, expired("A")), local).Problems())
		require.Len(t, bundle.Merge(expired("B"), local).Problems(), 1)
		require.Len(t, bundle.Merge(local, expired("A")).Problems(), 1, "an earlier layer does not solve the problem")
		require.Len(t, bundle.Merge(expired(""), local).Problems(), 1, "the problem of a source stays")
	})

	t.Run("does not change the layers", func(t *testing.T) {
		low, high := mustNew(t, from("a", "A", "1")), mustNew(t, from("b", "A", "2"))
		_ = bundle.Merge(low, high)
		require.Equal(t, "1", reveal(t, low, "A"))
		require.Len(t, low.Trace("A"), 1)
		require.Len(t, high.Trace("A"), 1)
	})

	t.Run("is associative", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			a, b, c := anyBundle(t, rng, "a"), anyBundle(t, rng, "b"), anyBundle(t, rng, "c")
			all := bundle.Merge(a, b, c)
			require.True(t, all.Equal(bundle.Merge(bundle.Merge(a, b), c)), "%v, %v and %v: merging the first two first", a, b, c)
			require.True(t, all.Equal(bundle.Merge(a, bundle.Merge(b, c))), "%v, %v and %v: merging the last two first", a, b, c)
			require.True(t, all.Equal(bundle.Merge(all)), "a merged bundle can itself be a layer")
			for s := range all.All() {
				require.Len(t, all.Trace(s.Name), has(a, s.Name)+has(b, s.Name)+has(c, s.Name), "%s: the trace has every layer's value", s.Name)
			}
		}
	})
}

func TestBundle_Trace(t *testing.T) {
	t.Run("lists the winner, then the shadowed origins", func(t *testing.T) {
		b := bundle.Merge(
			mustNew(t, from("platform", "A", "1"), from("platform", "B", "1")),
			mustNew(t, from("yaml", "A", "2")),
			mustNew(t, from("dotenv", "A", "1")),
		)
		require.Equal(t, []bundle.Origin{{Provider: "dotenv", Location: "A"}, {Provider: "yaml", Location: "A"}, {Provider: "platform", Location: "A"}},
			b.Trace("A"), "nearest layer first")
		require.Equal(t, []bundle.Origin{{Provider: "platform", Location: "B"}}, b.Trace("B"))
		require.Empty(t, b.Trace("C"), "a missing name has no origin")
	})
}

func TestBundle_Shadowed(t *testing.T) {
	b := bundle.Merge(
		mustNew(t, from("platform", "A", "1"), from("platform", "B", "1"), from("platform", "Z", "1")),
		mustNew(t, from("yaml", "A", "2"), from("yaml", "Z", "1")),
		mustNew(t, from("dotenv", "A", "1")),
	)
	dotenv := bundle.Origin{Provider: "dotenv", Location: "A"}
	require.Equal(t, []bundle.Shadow{
		{Name: "A", Winner: dotenv, Hidden: bundle.Origin{Provider: "yaml", Location: "A"}, Same: false},
		{Name: "A", Winner: dotenv, Hidden: bundle.Origin{Provider: "platform", Location: "A"}, Same: true},
		{Name: "Z", Winner: bundle.Origin{Provider: "yaml", Location: "Z"}, Hidden: bundle.Origin{Provider: "platform", Location: "Z"}, Same: true},
	}, b.Shadowed(), "by name, nearest layer first; Same compares with the winner")
}

// anyBundle returns a bundle with some of a few names.
func anyBundle(t *testing.T, rng *rand.Rand, who string) *bundle.Bundle {
	if rng.IntN(8) == 0 {
		return nil
	}
	var secrets []bundle.Secret
	for _, name := range []string{"A", "B", "C", "D"} {
		if rng.IntN(2) == 0 {
			secrets = append(secrets, from(who, name, fmt.Sprint(rng.IntN(3))))
		}
	}
	var m bundle.Meta
	if rng.IntN(2) == 0 {
		m.Revision = who
	}
	if rng.IntN(3) == 0 {
		m.Scope = who
	}
	if rng.IntN(2) == 0 {
		m.RefreshAfter = time.Duration(rng.IntN(4)) * time.Minute
	}
	for range rng.IntN(3) {
		m.Problems = append(m.Problems, bundle.Problem{Name: who})
		m.Notices = append(m.Notices, who)
	}
	b, err := bundle.New(secrets, &m)
	require.NoError(t, err)
	return b
}

func has(b *bundle.Bundle, name string) int {
	if _, ok := b.Get(name); ok {
		return 1
	}
	return 0
}

func TestShadow_Fix(t *testing.T) {
	for origin, want := range map[bundle.Origin]string{
		{Provider: "dotenv", Location: ".env:3"}:               "remove line 3 of .env",
		{Provider: "yaml", Location: "c:/x.yaml:12"}:           "remove line 12 of c:/x.yaml",
		{Provider: "yaml", Location: "c:/x.yaml"}:              "remove it from yaml c:/x.yaml",
		{Provider: "env", Location: "A"}:                       "remove it from env A",
		{Provider: "bootstrap", Location: "https://host:8443"}: "remove it from bootstrap https://host:8443",
		{Provider: "static", Location: ":3"}:                   "remove it from static :3",
	} {
		require.Equal(t, want, bundle.Shadow{Winner: origin}.Fix())
		require.Equal(t, want, origin.Removal())
	}
}

func TestOrigin_FileLine(t *testing.T) {
	file, line, ok := bundle.Origin{Location: "a/.env:3"}.FileLine()
	require.True(t, ok)
	require.Equal(t, []string{"a/.env", "3"}, []string{file, line})
	for _, location := range []string{"", ".env", ".env:", ".env:x", ":3", "https://host:8443"} {
		_, _, ok := bundle.Origin{Location: location}.FileLine()
		require.False(t, ok, "%s is not a line of a file", location)
	}
}

func TestBundle_AllWithShadowed(t *testing.T) {
	b := bundle.Merge(
		mustNew(t, from("platform", "A", "1"), from("platform", "B", "1")),
		mustNew(t, from("yaml", "A", "2"), from("yaml", "C", "2")),
		mustNew(t, from("dotenv", "A", "3")),
	)
	var all []string
	for s := range b.AllWithShadowed() {
		all = append(all, s.Origin.Provider+" "+s.Name+"="+s.Value.Reveal())
	}
	require.Equal(t, []string{"dotenv A=3", "yaml A=2", "platform A=1", "platform B=1", "yaml C=2"}, all)
	for range b.AllWithShadowed() {
		break
	}
	for range (*bundle.Bundle)(nil).AllWithShadowed() {
		t.Fatal("a nil bundle is empty")
	}
}
