package bundle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestCompare(t *testing.T) {
	t.Run("reports only changes that a job would notice", func(t *testing.T) {
		was, moved, filed := secret("MOVED", "1"), secret("MOVED", "1"), secret("FILED", "1")
		moved.Origin, moved.Version, moved.Expires = bundle.Origin{Provider: "other"}, 7, time.Unix(1, 0)
		byFile := filed
		byFile.Delivery = bundle.DeliverFile
		old := mustNew(t, secret("GONE", "1"), secret("SAME", "1"), secret("NEW_VALUE", "1"), was, filed)
		diff := bundle.Compare(old, mustNew(t, secret("SAME", "1"), secret("NEW_VALUE", "2"), secret("NEW", "1"), moved, byFile))
		require.Equal(t, bundle.Diff{Added: []string{"NEW"}, Changed: []string{"FILED", "NEW_VALUE"}, Removed: []string{"GONE"}}, diff,
			"values and deliveries count; origins, versions and times do not")
		require.Equal(t, "added NEW; changed FILED, NEW_VALUE; removed GONE", diff.String())
		require.False(t, diff.Empty())
	})

	t.Run("is empty for equal bundles, and accepts nil", func(t *testing.T) {
		b := mustNew(t, secret("A", "1"))
		require.True(t, bundle.Compare(b, b).Empty())
		require.Equal(t, "no change", bundle.Compare(b, b).String())
		require.Equal(t, bundle.Diff{Added: []string{"A"}}, bundle.Compare(nil, b))
		require.Equal(t, bundle.Diff{Removed: []string{"A"}}, bundle.Compare(b, nil))
	})

	t.Run("keeps names and values apart", func(t *testing.T) {
		diff := bundle.Compare(mustNew(t, secret("DB", "1"), secret("DB_PASS", "x")), mustNew(t, secret("DB", "1DB_PASSx")))
		require.Equal(t, bundle.Diff{Changed: []string{"DB"}, Removed: []string{"DB_PASS"}}, diff, "names are compared separately")
	})
}

func TestDiff_Touches(t *testing.T) {
	d := bundle.Diff{Added: []string{"A"}, Changed: []string{"C"}, Removed: []string{"R"}}
	for _, name := range []string{"A", "C", "R"} {
		require.True(t, d.Touches("X", name))
	}
	require.False(t, d.Touches("X", "Y"))
	require.True(t, d.Touches(), "without names, any difference counts")
	require.False(t, bundle.Diff{}.Touches())
	require.False(t, bundle.Diff{}.Touches("A"))
}

func TestBundle_Equal(t *testing.T) {
	t.Run("every field counts", func(t *testing.T) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		base := func() (bundle.Secret, bundle.Meta) {
			return bundle.Secret{
					Name: "A", Value: bundle.NewValue("1"), Origin: bundle.Origin{Provider: "p", Location: "l"}, Kind: "k", Scope: "s", Version: 1,
					Created: at, Rotated: at, Expires: at, Delivery: bundle.DeliverEnv,
				}, bundle.Meta{
					Revision: "r", RefreshAfter: 1, Problems: []bundle.Problem{{Name: "X"}}, Notices: []string{"n"}, Scope: "s", TokenID: "t",
					IssuedAt: at, TokenExpires: at, RotateBy: at,
				}
		}
		build := func(change func(s *bundle.Secret, m *bundle.Meta)) *bundle.Bundle {
			s, m := base()
			change(&s, &m)
			b, err := bundle.New([]bundle.Secret{s}, &m)
			require.NoError(t, err)
			return b
		}
		same := build(func(*bundle.Secret, *bundle.Meta) {})
		require.True(t, same.Equal(build(func(s *bundle.Secret, m *bundle.Meta) {
			s.Created = at.In(time.FixedZone("X", 3600))
			m.IssuedAt = at.Local()
		})), "the same instant in another zone is equal")

		for name, change := range map[string]func(s *bundle.Secret, m *bundle.Meta){
			"name":                 func(s *bundle.Secret, _ *bundle.Meta) { s.Name = "B" },
			"value":                func(s *bundle.Secret, _ *bundle.Meta) { s.Value = bundle.NewValue("2") },
			"provider":             func(s *bundle.Secret, _ *bundle.Meta) { s.Origin.Provider = "q" },
			"location":             func(s *bundle.Secret, _ *bundle.Meta) { s.Origin.Location = "m" },
			"kind":                 func(s *bundle.Secret, _ *bundle.Meta) { s.Kind = "" },
			"secret's scope":       func(s *bundle.Secret, _ *bundle.Meta) { s.Scope = "" },
			"version":              func(s *bundle.Secret, _ *bundle.Meta) { s.Version = 2 },
			"created":              func(s *bundle.Secret, _ *bundle.Meta) { s.Created = at.Add(1) },
			"rotated":              func(s *bundle.Secret, _ *bundle.Meta) { s.Rotated = at.Add(1) },
			"expires":              func(s *bundle.Secret, _ *bundle.Meta) { s.Expires = time.Time{} },
			"delivery":             func(s *bundle.Secret, _ *bundle.Meta) { s.Delivery = bundle.DeliverFile },
			"literal":              func(s *bundle.Secret, _ *bundle.Meta) { s.Literal = true },
			"revision":             func(_ *bundle.Secret, m *bundle.Meta) { m.Revision = "" },
			"refresh":              func(_ *bundle.Secret, m *bundle.Meta) { m.RefreshAfter = 2 },
			"no problem":           func(_ *bundle.Secret, m *bundle.Meta) { m.Problems = nil },
			"another problem":      func(_ *bundle.Secret, m *bundle.Meta) { m.Problems[0].Retryable = true },
			"notices":              func(_ *bundle.Secret, m *bundle.Meta) { m.Notices[0] = "o" },
			"scope":                func(_ *bundle.Secret, m *bundle.Meta) { m.Scope = "" },
			"token":                func(_ *bundle.Secret, m *bundle.Meta) { m.TokenID = "" },
			"issued":               func(_ *bundle.Secret, m *bundle.Meta) { m.IssuedAt = at.Add(1) },
			"token's expiry":       func(_ *bundle.Secret, m *bundle.Meta) { m.TokenExpires = at.Add(1) },
			"rotate by":            func(_ *bundle.Secret, m *bundle.Meta) { m.RotateBy = at.Add(1) },
			"more than one secret": nil,
		} {
			t.Run(name, func(t *testing.T) {
				other := bundle.Merge(same, mustNew(t, secret("Z", "1")))
				if change != nil {
					other = build(change)
				}
				require.False(t, same.Equal(other), "the difference counts")
				require.False(t, other.Equal(same), "the difference counts in both directions")
			})
		}
	})

	t.Run("shadowed values count", func(t *testing.T) {
		top := mustNew(t, from("dotenv", "A", "3"))
		x := bundle.Merge(mustNew(t, from("platform", "A", "1")), top)
		y := bundle.Merge(mustNew(t, from("platform", "A", "2")), top)
		require.False(t, x.Equal(y), "a shadowed value counts, because Shadowed reports it")
		require.False(t, x.Equal(top), "a bundle without the shadowed value differs")
		require.True(t, x.Equal(bundle.Merge(mustNew(t, from("platform", "A", "1")), top)))
		require.True(t, bundle.Compare(x, y).Empty(), "shadowed values do not matter to a job")
	})
}
