package vault_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/memstore"
)

func TestBootstrap_Meta(t *testing.T) {
	t.Run("describes the bundle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			expires, rotate := soon().Add(time.Hour), soon()
			token := f.MustIssue(t, "acme/web", vault.TokenOptions{Expires: expires, RotateBy: rotate})
			meta := f.Bundle(t, token).Meta()
			require.Equal(t, "acme/web", meta.Scope)
			require.Equal(t, tokenID(t, token), meta.TokenID)
			require.Equal(t, expires, meta.TokenExpires)
			require.Equal(t, rotate, meta.RotateBy)
			require.Equal(t, time.Now().UTC().Truncate(time.Microsecond), meta.IssuedAt)
			require.Equal(t, 15*time.Minute, meta.RefreshAfter)
			require.Len(t, meta.Revision, 22)
			require.Empty(t, meta.Problems)
			require.Zero(t, f.Bundle(t, token).Len(), "a scope without secrets has an empty bundle")
		})
	})

	t.Run("carries notices unabridged", func(t *testing.T) {
		f := newFixture(t)
		keys, err := keyring.New(f.KEK, nil)
		require.NoError(t, err)
		longest := strings.Repeat("é", 512)
		for _, notice := range []string{"", " ", "two\nlines", "\x1b[31mred", "\xff", longest + "."} {
			_, err := vault.New(t.Context(), f.Storage, keys, &vault.Options{Notices: []string{"fine", notice}})
			require.ErrorIs(t, err, vault.ErrInvalid, "%q", notice)
			requireOption(t, err, "vault.Options.Notices", "Notices[1] ")
		}
		f = f.with(t, vault.Options{Notices: []string{"fine", longest}})
		sent, err := wire.Encode(f.Bundle(t, f.MustIssue(t, "acme")))
		require.NoError(t, err)
		b, err := wire.Decode(sent, "https://host")
		require.NoError(t, err)
		require.Equal(t, []string{"fine", longest}, b.Meta().Notices, "runners do not shorten notices")
	})
}

func TestBootstrap_Revision(t *testing.T) {
	t.Run("changes with the bundle and with nothing else", func(t *testing.T) {
		f := newFixture(t)
		other := f.process(t)
		ctx := t.Context()
		for _, scope := range []string{"acme", "acme/web", "acme/web/pool-a", "acme/api", "globex"} {
			f.MustPut(t, scope, "A", scope)
		}
		token := f.MustIssue(t, "acme/web")
		revision := f.Bundle(t, token).Revision()
		seen := map[string]bool{revision: true}
		for range 3 {
			require.Equal(t, revision, f.Bundle(t, token).Revision(), "the same state has one revision")
			require.Equal(t, revision, other.Bundle(t, token).Revision(), "it is the same in every process")
		}
		for about, change := range map[string]func() error{
			"a write below":              func() error { f.MustPut(t, "acme/web/pool-a", "A", "two"); return nil },
			"a write beside":             func() error { f.MustPut(t, "acme/api", "A", "two"); return nil },
			"a write in another tenant":  func() error { f.MustPut(t, "globex", "A", "two"); return nil },
			"another token":              func() error { f.MustIssue(t, "acme/web"); return nil },
			"a use":                      func() error { f.Bundle(t, token); return f.Flush(ctx) },
			"the same value":             func() error { f.MustPut(t, "acme/web", "A", "acme/web"); return nil },
			"the active version":         func() error { _, err := f.Activate(ctx, "acme/web", "A", 1); return err },
			"a listing":                  func() error { _, err := f.List(ctx, "acme/web"); return err },
			"a refused write":            func() error { f.Delete(ctx, "acme/web", "NEVER"); return nil },
			"a scope made further below": func() error { f.MustIssue(t, "acme/web/new/one"); return nil },
		} {
			require.NoError(t, change(), about)
			require.Equal(t, revision, f.Bundle(t, token).Revision(), "the revision does not depend on %s", about)
		}
		spare := f.MustIssue(t, "acme/web")
		for _, change := range []struct {
			about string
			do    func() error
		}{
			{"a write in the scope", func() error { f.MustPut(t, "acme/web", "A", "two"); return nil }},
			{"a write above", func() error { f.MustPut(t, "acme", "NEW", "two"); return nil }},
			{"an older version", func() error { _, err := f.Activate(ctx, "acme/web", "A", 1); return err }},
			{"a tombstone", func() error { _, err := f.Hide(ctx, "acme/web", "NEW"); return err }},
			{"a deleted tombstone", func() error { return f.Delete(ctx, "acme/web", "NEW") }},
			{"a deleted secret", func() error { return f.Delete(ctx, "acme", "NEW") }},
			{"the kind of a value", func() error { f.MustPut(t, "acme/web", "A", "acme/web", vault.PutOptions{Kind: "custom"}); return nil }},
			{"a revoked token", func() error { return f.RevokeToken(ctx, tokenID(t, spare)) }},
		} {
			require.NoError(t, change.do(), change.about)
			revision := f.Bundle(t, token).Revision()
			require.False(t, seen[revision], "%s makes a new revision", change.about)
			require.Equal(t, revision, other.Bundle(t, token).Revision())
			seen[revision] = true
		}
	})

	t.Run("belongs to a token", func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		x, y := f.MustIssue(t, "acme"), f.MustIssue(t, "acme", vault.TokenOptions{RotateBy: soon()})
		require.NotEqual(t, f.Bundle(t, x).Revision(), f.Bundle(t, y).Revision(), "the metadata of the token is part of the bundle")
		_, err := f.Bootstrap(t.Context(), y, &vault.BootstrapRequest{IfNoneMatch: f.Bundle(t, x).Revision()})
		require.NoError(t, err)
	})

	t.Run("does not reveal that a value is back", func(t *testing.T) {
		f := newFixture(t)
		token := f.MustIssue(t, "acme")
		f.MustPut(t, "acme", "A", "weak")
		first := f.Bundle(t, token).Revision()
		f.MustPut(t, "acme", "A", "other")
		f.MustPut(t, "acme", "A", "weak")
		require.NotEqual(t, first, f.Bundle(t, token).Revision(), "the revision does not reveal an earlier value")
	})
}

func TestBootstrap_IfNoneMatch(t *testing.T) {
	f := newFixture(t)
	f.MustPut(t, "acme", "A", "one")
	token := f.MustIssue(t, "acme")
	revision := f.Bundle(t, token).Revision()
	b, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision})
	require.True(t, err == vault.ErrUnchanged, "callers may compare with ==")
	require.Nil(t, b)
	_, err = f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: revision, Wait: -time.Hour})
	require.ErrorIs(t, err, vault.ErrUnchanged, "a negative wait counts as zero")
	for _, stale := range []string{"x", revision[:21], revision + "a", strings.ToUpper(revision), `"` + revision + `"`, "*", "\xff", strings.Repeat("a", 1<<20)} {
		b, err := f.Bootstrap(t.Context(), token, &vault.BootstrapRequest{IfNoneMatch: stale, Wait: time.Minute})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"A": "one"}, reveal(b), "a runner with another revision gets the bundle without waiting")
	}
}

func TestBootstrap_Runner(t *testing.T) {
	f := newFixture(t)
	token := f.MustIssue(t, "acme")
	calls := f.Storage.Calls()
	for _, req := range []vault.BootstrapRequest{
		{Runner: strings.Repeat("r", 129)}, {Runner: "a\nb"}, {Runner: "\xff"}, {Runner: "a\x00"},
		{RemoteAddr: strings.Repeat("1", 257)}, {RemoteAddr: "::1\n"}, {RemoteAddr: "\xff"}, {RemoteAddr: "a\x00"},
	} {
		_, err := f.Bootstrap(t.Context(), token, &req)
		require.ErrorIs(t, err, vault.ErrInvalid, "%+v", req)
	}
	require.Equal(t, calls, f.Storage.Calls())
}

func TestNew_Keyring(t *testing.T) {
	for _, class := range []error{keyring.ErrDenied, keyring.ErrNoKey, keyring.ErrKeyState, keyring.ErrTampered} {
		kek := keyringtest.NewFake("kek")
		kek.Break(class)
		keys, err := keyring.New(kek, nil)
		require.NoError(t, err)
		_, err = vault.New(t.Context(), memstore.New(), keys, nil)
		require.ErrorIs(t, err, class)
	}
	kek := keyringtest.NewFake("kek")
	kek.Break(keyring.ErrUnavailable)
	f := newFixtureOver(t, memstore.New(), kek)
	require.Contains(t, f.Log.Text(), "level=WARN", "an unavailable key service may recover")
	kek.Break(nil)
	f.MustPut(t, "acme", "A", "one")
}

func TestNew_Options(t *testing.T) {
	keys, err := keyring.New(keyringtest.NewFake("kek"), nil)
	require.NoError(t, err)
	for _, d := range []time.Duration{-time.Second, time.Millisecond} {
		_, err := vault.New(t.Context(), memstore.New(), keys, &vault.Options{RefreshAfter: d})
		require.ErrorIs(t, err, vault.ErrInvalid)
	}
	_, err = vault.New(t.Context(), memstore.New(), keys, &vault.Options{Audit: []audit.Sink{audit.NewSlogSink(nil), nil}})
	require.ErrorIs(t, err, vault.ErrInvalid)
	requireOption(t, err, "vault.Options.Audit", "Audit[1] is nil; leave it out")
	_, err = vault.New(t.Context(), nil, keys, nil)
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "store is nil; open one, for example with package sqlstore")
	_, err = vault.New(t.Context(), (*memstore.Store)(nil), keys, nil)
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "store is nil; open one, for example with package sqlstore")
	_, err = vault.New(t.Context(), memstore.New(), nil, nil)
	require.ErrorIs(t, err, vault.ErrInvalid)
	require.ErrorContains(t, err, "keyring is nil")
	v, err := vault.New(t.Context(), memstore.New(), keys, &vault.Options{RefreshAfter: time.Minute})
	require.NoError(t, err)
	token, _, err := v.IssueToken(t.Context(), "acme", nil)
	require.NoError(t, err)
	b, err := v.Bootstrap(t.Context(), token, nil)
	require.NoError(t, err)
	require.Equal(t, time.Minute, b.Meta().RefreshAfter)
}

func TestVault_StorageFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.MustPut(t, "acme", "A", "one")
		token := f.MustIssue(t, "acme")
		revision := f.Bundle(t, token).Revision()
		broken := errors.New("disk full")
		f.Storage.Down.Set(broken)
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"Put":        func() error { _, err := f.Put(ctx, "acme", "A", bundle.NewValue("x"), nil); return err },
			"Hide":       func() error { _, err := f.Hide(ctx, "acme", "A"); return err },
			"Activate":   func() error { _, err := f.Activate(ctx, "acme", "A", 1); return err },
			"Delete":     func() error { return f.Delete(ctx, "acme", "A") },
			"List":       func() error { _, err := f.List(ctx, "acme"); return err },
			"Info":       func() error { _, err := f.Info(ctx, "acme", "A"); return err },
			"History":    func() error { _, err := f.History(ctx, "acme", "A"); return err },
			"IssueToken": func() error { _, _, err := f.IssueToken(ctx, "acme", nil); return err },
			"Tokens":     func() error { _, err := f.Tokens(ctx, "acme"); return err },
			"RevokeToken": func() error {
				return f.RevokeToken(ctx, tokenID(t, token))
			},
			"Bootstrap": func() error { _, err := f.Bootstrap(ctx, token, nil); return err },
			"Bootstrap with a revision": func() error {
				_, err := f.Bootstrap(ctx, token, &vault.BootstrapRequest{IfNoneMatch: revision, Wait: time.Minute})
				return err
			},
		} {
			require.ErrorIs(t, call(), broken, name)
		}
		f.Storage.Down.Set(nil)
		require.Equal(t, map[string]string{"A": "one"}, f.Values(t, token))
	})
}
