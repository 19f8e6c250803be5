package vault_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/vault"
)

func TestSecrets_Inheritance(t *testing.T) {
	t.Run("takes each value from the nearest scope", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "tenant")
		f.MustPut(t, "acme", "B", "tenant")
		f.MustPut(t, "acme", "C", "tenant")
		f.MustPut(t, "acme/web", "B", "web")
		f.MustPut(t, "acme/web", "C", "web")
		f.MustPut(t, "acme/web/pool-a", "C", "pool")
		f.MustPut(t, "acme/web/pool-b", "C", "sibling")
		f.MustPut(t, "globex", "D", "another tenant")

		require.Equal(t, map[string]string{"A": "tenant", "B": "tenant", "C": "tenant"}, f.Values(t, f.MustIssue(t, "acme")))
		require.Equal(t, map[string]string{"A": "tenant", "B": "web", "C": "web"}, f.Values(t, f.MustIssue(t, "acme/web")))
		pool := f.Bundle(t, f.MustIssue(t, "acme/web/pool-a"))
		require.Equal(t, map[string]string{"A": "tenant", "B": "web", "C": "pool"}, reveal(pool))
		for name, scope := range map[string]string{"A": "acme", "B": "acme/web", "C": "acme/web/pool-a"} {
			s, _ := pool.Get(name)
			require.Equal(t, scope, s.Scope, "a secret names its scope")
			require.Equal(t, bundle.Origin{Provider: "vault", Location: scope}, s.Origin)
		}
		require.Equal(t, map[string]string{"A": "tenant"}, f.Values(t, func() bundle.Value {
			f.MustPut(t, "initech", "A", "tenant")
			return f.MustIssue(t, "initech/never/written")
		}()), "a scope that was never written inherits")
	})

	t.Run("reports an expired secret as a problem", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.MustIssue(t, "acme/web")
			f.MustPut(t, "acme", "A", "inherited")
			end := soon()
			f.MustPut(t, "acme/web", "A", "one", vault.PutOptions{Expires: end})
			f.MustPut(t, "acme/web", "B", "stays")
			s, _ := f.Bundle(t, token).Get("A")
			require.Equal(t, end, s.Expires)

			time.Sleep(time.Until(end) - 1)
			require.Contains(t, f.Values(t, token), "A", "it is valid until then")
			time.Sleep(time.Nanosecond)
			b := f.Bundle(t, token)
			require.Equal(t, map[string]string{"B": "stays"}, reveal(b), "the shadowed secret is not delivered")
			require.Len(t, b.Problems(), 1)
			require.Equal(t, "A", b.Problems()[0].Name)
			require.Equal(t, bundle.Origin{Provider: "vault", Location: "acme/web"}, b.Problems()[0].Origin)
			require.False(t, b.Problems()[0].Retryable)

			info := f.MustPut(t, "acme/web", "A", "one")
			require.EqualValues(t, 2, info.Version, "the same value is a new version after the expiry")
			require.Equal(t, map[string]string{"A": "one", "B": "stays"}, f.Values(t, token))
			require.Empty(t, f.Bundle(t, token).Problems())
		})
	})
}

func TestVault_Hide(t *testing.T) {
	t.Run("hides an inherited name", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "tenant")
		above, here, below := f.MustIssue(t, "acme"), f.MustIssue(t, "acme/web"), f.MustIssue(t, "acme/web/pool-a")

		info, err := f.Hide(t.Context(), "acme/web", "A")
		require.NoError(t, err)
		require.True(t, info.Hidden)
		require.True(t, info.Active)
		require.Empty(t, info.Preview)
		require.Equal(t, map[string]string{"A": "tenant"}, f.Values(t, above), "the scope above keeps it")
		require.Empty(t, f.Values(t, here))
		require.Empty(t, f.Values(t, below), "the scopes below inherit the tombstone")

		f.MustPut(t, "acme/web/pool-a", "A", "pool")
		require.Equal(t, map[string]string{"A": "pool"}, f.Values(t, below), "a nearer secret wins")

		listed, err := f.List(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Len(t, listed, 1)
		require.True(t, listed[0].Hidden, "a tombstone is listed")

		require.NoError(t, f.Delete(t.Context(), "acme/web", "A"))
		require.Equal(t, map[string]string{"A": "tenant"}, f.Values(t, here), "without the tombstone, the inherited secret is delivered again")
	})

	t.Run("adds a version", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		f.MustPut(t, "acme", "A", "one", vault.PutOptions{Kind: "anthropic", Delivery: bundle.DeliverFile})
		hidden, err := f.Hide(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.EqualValues(t, 2, hidden.Version)
		require.Equal(t, "anthropic", hidden.Kind)
		require.Empty(t, f.Values(t, token))

		applies := f.Storage.Applies.Load()
		again, err := f.Hide(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.EqualValues(t, 2, again.Version, "hiding a hidden name changes nothing")
		require.Equal(t, applies, f.Storage.Applies.Load())

		three := f.MustPut(t, "acme", "A", "one")
		require.EqualValues(t, 3, three.Version, "a value after a tombstone is a new version, even if it was stored before")
		require.Equal(t, "anthropic", three.Kind)
		require.Equal(t, bundle.DeliverFile, three.Delivery)
		require.Equal(t, map[string]string{"A": "one"}, f.Values(t, token))

		back, err := f.Activate(t.Context(), "acme", "A", 2)
		require.NoError(t, err)
		require.True(t, back.Hidden)
		require.Empty(t, f.Values(t, token), "a tombstone can be the active version again")
	})
}

func TestVault_Activate(t *testing.T) {
	t.Run("moves back and forth between versions", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		for _, value := range []string{"one", "two", "three"} {
			f.MustPut(t, "acme", "A", value)
		}
		for _, step := range []struct {
			version int64
			value   string
		}{{1, "one"}, {3, "three"}, {2, "two"}, {1, "one"}, {2, "two"}} {
			info, err := f.Activate(t.Context(), "acme", "A", step.version)
			require.NoError(t, err)
			require.Equal(t, step.version, info.Version)
			require.True(t, info.Active)
			s, ok := f.Bundle(t, token).Get("A")
			require.True(t, ok)
			require.Equal(t, step.value, s.Value.Reveal())
			require.Equal(t, step.version, s.Version)
			current, err := f.Info(t.Context(), "acme", "A")
			require.NoError(t, err)
			require.Equal(t, step.version, current.Version)
		}
		history, err := f.History(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Len(t, history, 3)
		for i, want := range []struct {
			version int64
			active  bool
		}{{3, false}, {2, true}, {1, false}} {
			require.Equal(t, want.version, history[i].Version, "history is newest first")
			require.Equal(t, want.active, history[i].Active)
		}
		require.EqualValues(t, 4, f.MustPut(t, "acme", "A", "four").Version, "the next version follows the newest, not the active one")
	})

	t.Run("does nothing for the active version", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		applies := f.Storage.Applies.Load()
		_, err := f.Activate(t.Context(), "acme", "A", 1)
		require.NoError(t, err)
		require.Equal(t, applies, f.Storage.Applies.Load())
	})

	t.Run("returns ErrNotFound for a version that is not stored", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		f.MustPut(t, "acme", "B", "one")
		f.MustPut(t, "acme", "B", "two")
		for _, version := range []int64{-1, 0, 2, 1 << 40} {
			_, err := f.Activate(t.Context(), "acme", "A", version)
			require.ErrorIs(t, err, vault.ErrNotFound, "version %d", version)
		}
		_, err := f.Activate(t.Context(), "acme", "NEVER", 1)
		require.ErrorIs(t, err, vault.ErrNotFound)
		_, err = f.Activate(t.Context(), "never", "A", 1)
		require.ErrorIs(t, err, vault.ErrNotFound)
	})

	t.Run("rejects an expired version", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.MustIssue(t, "acme")
			f.MustPut(t, "acme", "A", "one", vault.PutOptions{Expires: time.Now().Add(time.Hour)})
			f.MustPut(t, "acme", "A", "two", vault.PutOptions{Expires: time.Now().Add(2 * time.Hour)})
			time.Sleep(time.Hour)
			_, err := f.Activate(t.Context(), "acme", "A", 1)
			require.ErrorIs(t, err, vault.ErrInvalid, "going back must not take the secret away")
			require.ErrorContains(t, err, "put a new value")
			require.Equal(t, map[string]string{"A": "two"}, f.Values(t, token))
			time.Sleep(time.Hour)
			info, err := f.Activate(t.Context(), "acme", "A", 2)
			require.NoError(t, err, "the active version stays active")
			require.True(t, info.Active)
		})
	})
}

func TestVault_Delete(t *testing.T) {
	t.Run("does not reset the version count", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		f.MustPut(t, "acme", "A", "one")
		f.MustPut(t, "acme", "A", "two")
		require.NoError(t, f.Delete(t.Context(), "acme", "A"))
		require.Empty(t, f.Values(t, token))
		_, err := f.History(t.Context(), "acme", "A")
		require.ErrorIs(t, err, vault.ErrNotFound, "no version is left")
		_, err = f.Info(t.Context(), "acme", "A")
		require.ErrorIs(t, err, vault.ErrNotFound)
		require.ErrorIs(t, f.Delete(t.Context(), "acme", "A"), vault.ErrNotFound)

		info := f.process(t).MustPut(t, "acme", "A", "three")
		require.EqualValues(t, 3, info.Version)
		require.Zero(t, info.Rotated, "it is the first version of the name again")
		_, err = f.Activate(t.Context(), "acme", "A", 2)
		require.ErrorIs(t, err, vault.ErrNotFound, "a deleted version cannot be activated")
	})

	t.Run("returns ErrNotFound for a missing secret, as do Info and History", func(t *testing.T) {
		f := newFixture(t)
		require.ErrorIs(t, f.Delete(t.Context(), "acme", "A"), vault.ErrNotFound)
		_, err := f.Info(t.Context(), "acme", "A")
		require.ErrorIs(t, err, vault.ErrNotFound)
		_, err = f.History(t.Context(), "acme", "A")
		require.ErrorIs(t, err, vault.ErrNotFound)
		list, err := f.List(t.Context(), "acme")
		require.NoError(t, err, "a scope that was never written is empty")
		require.Empty(t, list)

		f.MustPut(t, "acme", "A", "inherited")
		require.ErrorIs(t, f.Delete(t.Context(), "acme/web", "A"), vault.ErrNotFound, "an inherited secret cannot be deleted here")
		list, err = f.List(t.Context(), "acme/web")
		require.NoError(t, err)
		require.Empty(t, list, "inherited secrets are not listed")
	})
}

func TestVault_Put(t *testing.T) {
	t.Run("keeps ten versions", func(t *testing.T) {
		f := newFixture(t)
		for i := range 14 {
			f.MustPut(t, "acme", "A", strings.Repeat("x", i+1))
		}
		history, err := f.History(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Len(t, history, vault.KeepVersions)
		require.EqualValues(t, 14, history[0].Version)
		require.EqualValues(t, 5, history[len(history)-1].Version)

		_, err = f.Activate(t.Context(), "acme", "A", 5)
		require.NoError(t, err)
		history, err = f.History(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Len(t, history, vault.KeepVersions, "going back deletes nothing")
		f.MustPut(t, "acme", "A", "y")
		_, err = f.Activate(t.Context(), "acme", "A", 5)
		require.ErrorIs(t, err, vault.ErrNotFound, "the next Put drops the oldest version")
	})

	t.Run("takes kind and delivery from the active version", func(t *testing.T) {
		f := newFixture(t)
		first := f.MustPut(t, "acme", "A", "one", vault.PutOptions{Kind: "github", Delivery: bundle.DeliverFile, Expires: soon()})
		require.Equal(t, "github", first.Kind)
		require.Equal(t, bundle.DeliverFile, first.Delivery)

		second := f.MustPut(t, "acme", "A", "two")
		require.Equal(t, "github", second.Kind)
		require.Equal(t, bundle.DeliverFile, second.Delivery)
		require.Zero(t, second.Expires, "the next value does not inherit the expiry")

		third := f.MustPut(t, "acme", "A", "three", vault.PutOptions{Kind: "custom", Delivery: bundle.DeliverBroker})
		require.Equal(t, "custom", third.Kind)
		require.Equal(t, bundle.DeliverBroker, third.Delivery)

		require.Equal(t, bundle.DeliverEnv, f.MustPut(t, "acme", "B", "one").Delivery, "the default delivery is the environment")
		s, _ := f.Bundle(t, f.MustIssue(t, "acme")).Get("A")
		require.Equal(t, "custom", s.Kind)
		require.Equal(t, bundle.DeliverBroker, s.Delivery)
	})

	t.Run("keeps a comment for administrators", func(t *testing.T) {
		f := newFixture(t)
		long := strings.Repeat("c", 1024)
		require.Equal(t, long, f.MustPut(t, "acme", "A", "one", vault.PutOptions{Comment: long}).Comment)
		require.Equal(t, long, f.MustPut(t, "acme", "A", "two").Comment, "the next version takes it over")
		require.Equal(t, "größe ☃", f.MustPut(t, "acme", "A", "two", vault.PutOptions{Comment: "größe ☃"}).Comment)
		history, err := f.process(t).History(t.Context(), "acme", "A")
		require.NoError(t, err)
		require.Equal(t, []string{"größe ☃", long, long}, []string{history[0].Comment, history[1].Comment, history[2].Comment}, "each version keeps its own")
		back, err := f.Activate(t.Context(), "acme", "A", 1)
		require.NoError(t, err)
		require.Equal(t, long, back.Comment)
		for about, comment := range map[string]string{"too long": long + "c", "two lines": "a\nb", "not UTF-8": "a\xff"} {
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("x"), &vault.PutOptions{Comment: comment})
			require.ErrorIs(t, err, vault.ErrInvalid, about)
			require.ErrorContains(t, err, "the comment", about)
		}
	})

	t.Run("stores nothing for the active value", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		end := soon()
		first := f.MustPut(t, "acme", "A", "one", vault.PutOptions{Kind: "github", Expires: end})
		revision := f.Bundle(t, token).Revision()
		applies := f.Storage.Applies.Load()
		for _, opts := range []*vault.PutOptions{
			nil, {}, {Kind: "github"}, {Delivery: bundle.DeliverEnv}, {Expires: end}, {IfVersion: 1},
			{Kind: "github", Delivery: bundle.DeliverEnv, Expires: end},
		} {
			info, err := f.Put(vault.WithActor(t.Context(), "another actor"), "acme", "A", bundle.NewValue("one"), opts)
			require.NoError(t, err)
			require.Equal(t, first, info)
		}
		require.Equal(t, applies, f.Storage.Applies.Load(), "nothing is stored")
		require.Equal(t, revision, f.Bundle(t, token).Revision(), "no runner fetches again")

		for i, opts := range []vault.PutOptions{{Kind: "custom"}, {Delivery: bundle.DeliverFile}, {Expires: end.Add(time.Minute)}, {Comment: "why"}} {
			require.EqualValues(t, i+2, f.MustPut(t, "acme", "A", "one", opts).Version, "changed metadata makes a new version")
		}
	})

	t.Run("stores an inactive older value as a new version", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		f.MustPut(t, "acme", "A", "two")
		require.EqualValues(t, 3, f.MustPut(t, "acme", "A", "one").Version)
		_, err := f.Activate(t.Context(), "acme", "A", 2)
		require.NoError(t, err)
		require.EqualValues(t, 2, f.MustPut(t, "acme", "A", "two").Version, "the active one counts, not the newest")
	})

	t.Run("stores an empty value", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "tenant")
		f.MustPut(t, "acme/web", "A", "")
		require.Equal(t, map[string]string{"A": ""}, f.Values(t, f.MustIssue(t, "acme/web")), "it shadows the inherited value")
		require.EqualValues(t, 1, f.MustPut(t, "acme/web", "A", "").Version)
	})

	t.Run("requires UTF-8 without NUL", func(t *testing.T) {
		f := newFixture(t)
		for _, value := range []string{"a\x00b", "\x00", "caf\xe9", "\xff", "\xed\xa0\x80", "end\xc3"} {
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue(value), nil)
			require.ErrorIs(t, err, vault.ErrInvalid, "%q", value)
		}
		require.Zero(t, f.Storage.Calls(), "an invalid value never reaches the storage")
		for _, value := range []string{"\ufffd", "日本語", "\u0001", "\U0010ffff", "a\u2028b"} {
			f.MustPut(t, "acme", "A", value)
			require.Equal(t, value, f.Values(t, f.MustIssue(t, "acme"))["A"])
		}
	})

	t.Run("keeps the creation time of the name across versions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			token := f.MustIssue(t, "acme")
			begin := time.Now().UTC().Truncate(time.Microsecond)
			first := f.MustPut(t, "acme", "A", "one")
			require.Equal(t, begin, first.Created)
			require.Zero(t, first.Rotated, "the first version rotated nothing")
			time.Sleep(time.Hour)
			second := f.MustPut(t, "acme", "A", "two")
			require.Equal(t, begin, second.Created, "a name is as old as its first version")
			require.Equal(t, begin.Add(time.Hour), second.Rotated)

			s, _ := f.Bundle(t, token).Get("A")
			require.Equal(t, begin, s.Created)
			require.Equal(t, begin.Add(time.Hour), s.Rotated)
		})
	})
}

func TestPutOptions_IfVersion(t *testing.T) {
	f := newFixture(t)
	put := func(version int64) error {
		_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("value"), &vault.PutOptions{IfVersion: version})
		return err
	}
	require.ErrorIs(t, put(1), vault.ErrConflict, "the secret does not exist yet")
	require.NoError(t, put(vault.IfAbsent))
	require.ErrorIs(t, put(vault.IfAbsent), vault.ErrConflict)
	require.ErrorIs(t, put(2), vault.ErrConflict)
	require.NoError(t, put(1))

	f.MustPut(t, "acme", "A", "two")
	_, err := f.Activate(t.Context(), "acme", "A", 1)
	require.NoError(t, err)
	require.ErrorIs(t, put(2), vault.ErrConflict, "the active version counts, not the newest")
	require.NoError(t, put(1))

	_, err = f.Hide(t.Context(), "acme", "A")
	require.NoError(t, err)
	require.ErrorIs(t, put(vault.IfAbsent), vault.ErrConflict, "the tombstone is the active version")
	require.NoError(t, put(3))
	require.NoError(t, f.Delete(t.Context(), "acme", "A"))
	require.ErrorIs(t, put(4), vault.ErrConflict)
	require.NoError(t, put(vault.IfAbsent))
	require.ErrorIs(t, put(-2), vault.ErrInvalid)
}

func TestPutOptions(t *testing.T) {
	t.Run("rejects a trailing line break unless it is allowed", func(t *testing.T) {
		f := newFixture(t)
		for _, value := range []string{"key\n", "key\r\n", "key\r", "key\n\n", "\n", "a\nb\n"} {
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue(value), nil)
			require.ErrorIs(t, err, vault.ErrInvalid, "%q", value)
			require.ErrorContains(t, err, "AllowTrailingNewline", "the error names the fix")
			f.MustPut(t, "acme", "A", value, vault.PutOptions{AllowTrailingNewline: true})
			require.Equal(t, value, f.Values(t, f.MustIssue(t, "acme"))["A"])
		}
		for _, value := range []string{"a\nb", "\nkey", "key ", "key\t"} {
			f.MustPut(t, "acme", "A", value)
		}
	})

	t.Run("rejects invalid fields", func(t *testing.T) {
		f := newFixture(t)
		for about, opts := range map[string]vault.PutOptions{
			"long kind":             {Kind: strings.Repeat("k", 65)},
			"line break in kind":    {Kind: "a\nb"},
			"invalid UTF-8 in kind": {Kind: "\xff"},
			"unknown delivery":      {Delivery: "pigeon"},
			"long delivery":         {Delivery: bundle.Delivery(strings.Repeat("d", 1<<20))},
			"expired":               {Expires: time.Now().Add(-time.Second)},
			"unknown condition":     {IfVersion: -2},
			"after the year 9999":   {Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
			"beyond microseconds":   {Expires: time.Unix(1<<60, 0)},
		} {
			_, err := f.Put(t.Context(), "acme", "A", bundle.NewValue("x"), &opts)
			require.ErrorIs(t, err, vault.ErrInvalid, about)
			require.Less(t, len(err.Error()), 1000, about)
		}
		require.Zero(t, f.Storage.Calls())
	})
}

func TestSecrets_Names(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for _, name := range []string{
		"", "1A", "A-B", "A.B", "A B", "A=B", "A\n", "A\x00", "É", "Ａ", "A/B", "../A", "*", strings.Repeat("A", 129), strings.Repeat("A", 1<<20), "\xff",
	} {
		for what, call := range map[string]func() error{
			"Put":      func() error { _, err := f.Put(ctx, "acme", name, bundle.NewValue("x"), nil); return err },
			"Hide":     func() error { _, err := f.Hide(ctx, "acme", name); return err },
			"Activate": func() error { _, err := f.Activate(ctx, "acme", name, 1); return err },
			"Delete":   func() error { return f.Delete(ctx, "acme", name) },
			"Info":     func() error { _, err := f.Info(ctx, "acme", name); return err },
			"History":  func() error { _, err := f.History(ctx, "acme", name); return err },
		} {
			err := call()
			require.ErrorIs(t, err, vault.ErrInvalid, "%s of %.40q", what, name)
			require.Less(t, len(err.Error()), 1000, "an error shortens a long name")
		}
	}
	require.Zero(t, f.Storage.Calls())
	for _, name := range []string{"A", "_", "a1_B", strings.Repeat("A", 128), "path"} {
		f.MustPut(t, "acme", name, "x")
	}
}

func TestWithActor(t *testing.T) {
	f := newFixture(t)
	ctx := vault.WithActor(t.Context(), "ada@example.com")
	info, err := f.Put(ctx, "acme", "A", bundle.NewValue("one"), nil)
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", info.Author)
	info, err = f.Hide(vault.WithActor(ctx, "grace"), "acme", "A")
	require.NoError(t, err)
	require.Equal(t, "grace", info.Author, "the inner WithActor wins")
	require.Empty(t, f.MustPut(t, "acme", "A", "two").Author, "an actor is not required")
	info, err = f.Activate(vault.WithActor(ctx, "grace"), "acme", "A", 1)
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", info.Author, "activating a version does not change its author")

	_, token, err := f.IssueToken(ctx, "acme", nil)
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", token.Author)
	require.NoError(t, f.RevokeToken(vault.WithActor(ctx, "grace"), token.ID))
	tokens, err := f.Tokens(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", tokens[0].Author)
	require.Equal(t, "grace", tokens[0].RevokedBy)

	calls := f.Storage.Calls()
	for _, name := range []string{strings.Repeat("a", 257), "a\nb", "a\x00", "\xff"} {
		ctx := vault.WithActor(t.Context(), name)
		_, err := f.Put(ctx, "acme", "A", bundle.NewValue("x"), nil)
		require.ErrorIs(t, err, vault.ErrInvalid)
		_, err = f.Hide(ctx, "acme", "A")
		require.ErrorIs(t, err, vault.ErrInvalid)
		_, err = f.Activate(ctx, "acme", "A", 1)
		require.ErrorIs(t, err, vault.ErrInvalid)
		require.ErrorIs(t, f.Delete(ctx, "acme", "A"), vault.ErrInvalid)
		_, _, err = f.IssueToken(ctx, "acme", nil)
		require.ErrorIs(t, err, vault.ErrInvalid)
		require.ErrorIs(t, f.RevokeToken(ctx, token.ID), vault.ErrInvalid)
	}
	require.Equal(t, calls, f.Storage.Calls())
}

func TestVault_List(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "B", "short")
	f.MustPut(t, "acme", "A", "sk-ant-api03-0123456789abcdefghijklmnop")
	_, err := f.Hide(t.Context(), "acme", "C")
	require.NoError(t, err)
	list, err := f.process(t).List(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, "A", list[0].Name)
	require.Equal(t, "sk-a****mnop", list[0].Preview)
	require.Equal(t, "B", list[1].Name)
	require.Equal(t, "****", list[1].Preview)
	require.Equal(t, "C", list[2].Name)
	require.Empty(t, list[2].Preview)
	for _, info := range list {
		require.Equal(t, "acme", info.Scope)
		require.True(t, info.Active)
	}
	one, err := f.Info(t.Context(), "acme", "A")
	require.NoError(t, err)
	require.Equal(t, list[0], one)
}
