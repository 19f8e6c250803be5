package providers_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/internal/remote/remotetest"
)

// accepting is a platform that accepts one token, and refuses others as revoked.
type accepting struct {
	token    atomic.Pointer[string]
	requests atomic.Int64
}

func accept(token string) *accepting {
	a := &accepting{}
	a.token.Store(&token)
	return a
}

func (a *accepting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	if wait := wire.Wait(r.Header.Values("Prefer")); wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+*a.token.Load():
		refuse(401, wire.TokenProblem, "revoked")(w, r)
	case r.Header.Get("If-None-Match") == `"rev-1"`:
		w.WriteHeader(http.StatusNotModified)
	default:
		writeAnswer(w, "rev-1", "x")
	}
}

func newTokens() (first, second string) {
	first, _ = wire.NewToken()
	second, _ = wire.NewToken()
	return first, second
}

func putFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestTokenFile(t *testing.T) {
	token, other := newTokens()
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	read := providers.TokenFile(path)

	t.Run("reads the file each time", func(t *testing.T) {
		for _, want := range []string{token, other} {
			for _, text := range []string{want, want + "\n", "\r\n " + want + "\r\n\n", "\ufeff" + want + "\r\n"} {
				putFile(t, path, text)
				got, err := read(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, got.Reveal())
			}
		}
	})

	t.Run("follows a link that is replaced", func(t *testing.T) {
		// As Kubernetes mounts secrets.
		link := filepath.Join(dir, "link")
		for i, want := range []string{token, other} {
			target := filepath.Join(dir, string(rune('a'+i)))
			putFile(t, target, want)
			require.NoError(t, os.Symlink(target, link+".new"))
			require.NoError(t, os.Rename(link+".new", link))
			got, err := providers.TokenFile(link)(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, got.Reveal())
		}
	})

	t.Run("names the file and the fix, and not the token", func(t *testing.T) {
		for about, row := range map[string]struct {
			spoil func()
			want  string
		}{
			"missing":     {func() { _ = os.Remove(path) }, "create the file"},
			"a directory": {func() { _ = os.Remove(path); require.NoError(t, os.Mkdir(path, 0o700)) }, "is a directory; use a regular file"},
			"empty":       {func() { _ = os.Remove(path); putFile(t, path, "\n") }, path + ": the token is empty"},
			"cut":         {func() { putFile(t, path, token[:40]) }, path + ": the token has 40 characters, want 65"},
			"two tokens":  {func() { putFile(t, path, token+"\n"+other+"\n") }, path + ": the token has an invalid character"},
			"an entry":    {func() { putFile(t, path, "SATCHEL_RUNNER_TOKEN="+token) }, path + `: the token does not start with "rnt_"`},
			"too large":   {func() { putFile(t, path, string(make([]byte, 5000))) }, path + " is larger than"},
		} {
			row.spoil()
			_, err := read(t.Context())
			remotetest.RequireKind(t, err, bundle.FetchPermanent)
			require.ErrorContains(t, err, row.want, about)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), token[4:20])
		}
	})

	t.Run("refuses a file that other users can read", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("files have no mode")
		}
		putFile(t, path, token)
		require.NoError(t, os.Chmod(path, 0o644))
		_, err := read(t.Context())
		remotetest.RequireKind(t, err, bundle.FetchPermanent)
		require.ErrorContains(t, err, "chmod 600")
	})
}

func TestPlatform_TokenRotation(t *testing.T) {
	t.Run("needs no restart and no second request while the token is valid", func(t *testing.T) {
		token, next := newTokens()
		path := filepath.Join(t.TempDir(), "token")
		putFile(t, path, token)
		server := accept(token)
		inBubble(t, server.ServeHTTP, func(t *testing.T, p *providers.Platform) {
			p.Token = providers.TokenFile(path)
			c := start(t, p)
			time.Sleep(time.Minute)
			putFile(t, path, next)
			server.token.Store(&next) // in the middle of a poll
			for range 120 {
				time.Sleep(time.Minute)
				requireValue(t, c, "x")
				require.Equal(t, satchel.Fresh, c.Status().State)
			}
			require.LessOrEqual(t, server.requests.Load(), int64(121*60/50+20), "one request for each poll, and those on schedule")
		})
	})

	t.Run("repeats a request once if the token was replaced meanwhile", func(t *testing.T) {
		token, next := newTokens()
		server := accept(next)
		p := runnerOf(remotetest.Listen(t, server.ServeHTTP))
		var calls atomic.Int64
		p.Token = func(context.Context) (bundle.Value, error) {
			if calls.Add(1) == 1 {
				return bundle.NewValue(token), nil
			}
			return bundle.NewValue(next), nil
		}
		_, err := p.Fetch(t.Context(), nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, server.requests.Load())

		third, _ := wire.NewToken()
		server.token.Store(&third)
		server.requests.Store(0)
		_, err = p.Fetch(t.Context(), nil)
		require.Equal(t, "revoked", requireStatus(t, err, bundle.FetchRevoked, 401).Reason)
		require.EqualValues(t, 1, server.requests.Load(), "the same token is not sent again")

		p.Token = func(context.Context) (bundle.Value, error) {
			token, _ := wire.NewToken()
			return bundle.NewValue(token), nil
		}
		server.requests.Store(0)
		_, err = p.Fetch(t.Context(), nil)
		requireStatus(t, err, bundle.FetchRevoked, 401)
		require.EqualValues(t, 2, server.requests.Load(), "a request is repeated once")
	})

	t.Run("is noticed within a minute after the old token has ended", func(t *testing.T) {
		for _, reason := range []string{"revoked", "expired", "unknown"} {
			for _, late := range []time.Duration{5 * time.Second, 14 * time.Minute} {
				token, next := newTokens()
				path := filepath.Join(t.TempDir(), "token")
				putFile(t, path, token)
				inBubble(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") == "Bearer "+next {
						writeAnswer(w, "rev-2", "new")
						return
					}
					if r.Header.Get("If-None-Match") == "" {
						writeAnswer(w, "rev-1", "old")
						return
					}
					refuse(401, wire.TokenProblem, reason)(w, r)
				}, func(t *testing.T, p *providers.Platform) {
					p.Token = providers.TokenFile(path)
					c := start(t, p)
					time.Sleep(2 * time.Second)
					require.NotEqual(t, satchel.Fresh, c.Status().State)
					time.Sleep(late)
					putFile(t, path, next)
					time.Sleep(time.Minute)
					requireValue(t, c, "new")
				})
			}
		}
	})

	t.Run("keeps the last good token while its source fails, and reports it", func(t *testing.T) {
		token, next := newTokens()
		path := filepath.Join(t.TempDir(), "token")
		putFile(t, path, token)
		server := accept(token)
		p := runnerOf(remotetest.Listen(t, server.ServeHTTP))
		p.Token = providers.TokenFile(path)
		first, err := p.Fetch(t.Context(), nil)
		require.NoError(t, err)
		last := first
		for about, spoil := range map[string]func(){
			"missing":      func() { require.NoError(t, os.Remove(path)) },
			"empty":        func() { putFile(t, path, "") },
			"half-written": func() { putFile(t, path, token[:30]) },
		} {
			spoil()
			got, err := p.Fetch(t.Context(), last)
			require.NoError(t, err, about)
			require.True(t, bundle.Compare(first, got).Empty(), "the secrets are the same")
			require.Len(t, got.Problems(), 1, about)
			problem := got.Problems()[0]
			require.Equal(t, "runner token", problem.Origin.String())
			require.Contains(t, problem.Reason, "getting the runner token: ")
			require.Contains(t, problem.Reason, path)
			require.Contains(t, problem.Reason, "; the last good token is still in use")
			require.True(t, problem.Retryable)

			again, err := p.Fetch(t.Context(), got)
			require.NoError(t, err)
			require.Same(t, got, again, "the same problem is not a change")

			_, items := p.Check(t.Context())
			require.Contains(t, remotetest.Summary(items), "warning runner token")
			last = got
		}

		server.token.Store(&next)
		_, err = p.Fetch(t.Context(), last)
		require.Equal(t, "revoked", requireStatus(t, err, bundle.FetchRevoked, 401).Reason)
		require.ErrorContains(t, err, path, "the error has the reason why there is no other token")

		putFile(t, path, next)
		got, err := p.Fetch(t.Context(), last)
		require.NoError(t, err)
		require.Empty(t, got.Problems())
		require.True(t, got.Equal(first))
	})

	t.Run("fails without a first token, or if the source says that it was withdrawn", func(t *testing.T) {
		p := runnerOf(remotetest.Listen(t, func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, "rev-1", "x") }))
		give := p.Token
		failing := errors.New("no such token")
		p.Token = func(context.Context) (bundle.Value, error) { return bundle.Value{}, failing }
		_, err := p.Fetch(t.Context(), nil)
		require.ErrorIs(t, err, failing)

		p.Token = give
		_, err = p.Fetch(t.Context(), nil)
		require.NoError(t, err)
		p.Token = func(context.Context) (bundle.Value, error) {
			return bundle.Value{}, &bundle.FetchError{Kind: bundle.FetchRevoked, Err: failing}
		}
		_, err = p.Fetch(t.Context(), nil)
		remotetest.RequireKind(t, err, bundle.FetchRevoked)
	})
}
