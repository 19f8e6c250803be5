package keyring_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

func TestKeyring_Check(t *testing.T) {
	t.Run("accepts a KEK that works", func(t *testing.T) {
		require.NoError(t, newKeyring(t, newLocal(t, "kek", 1), nil).Check(t.Context()))
		kek, keys := newFake(t, "a")
		require.NoError(t, keys.Check(t.Context()))
		require.Equal(t, 1, kek.Wraps())
		require.Equal(t, 2, kek.Unwraps(), "once with the context, once with another")
	})

	t.Run("rejects a KEK that ignores its context", func(t *testing.T) {
		keys := newKeyring(t, careless{keyringtest.NewFake("a")}, nil)
		err := keys.Check(t.Context())
		require.ErrorContains(t, err, `"fake:a"`)
		require.ErrorContains(t, err, "another context")
		require.NotErrorIs(t, err, keyring.ErrUnavailable, "a platform must not start with this KEK")
	})

	t.Run("rejects a replica that ignores its context", func(t *testing.T) {
		keys := newKeyring(t, keyringtest.NewFake("a"), &keyring.Options{Replicas: []keyring.KEK{careless{keyringtest.NewFake("b")}}})
		require.ErrorContains(t, keys.Check(t.Context()), `"fake:b"`)
	})

	t.Run("rejects a KEK that returns another key", func(t *testing.T) {
		err := newKeyring(t, forgetful{keyringtest.NewFake("a")}, nil).Check(t.Context())
		require.ErrorContains(t, err, "a different key")
		require.NotErrorIs(t, err, keyring.ErrUnavailable)
	})

	t.Run("distinguishes an outage from a refusal", func(t *testing.T) {
		for _, class := range []error{keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrKeyState, keyring.ErrNoKey} {
			kek, keys := newFake(t, "a")
			kek.Break(class)
			require.ErrorIs(t, keys.Check(t.Context()), class)
		}
	})

	t.Run("does not mistake an outage for a refusal", func(t *testing.T) {
		keys := newKeyring(t, fadesAway{keyringtest.NewFake("a")}, nil)
		require.ErrorIs(t, keys.Check(t.Context()), keyring.ErrUnavailable)
	})

	t.Run("reports a refusal before an outage", func(t *testing.T) {
		for _, order := range [][2]error{{keyring.ErrUnavailable, keyring.ErrDenied}, {keyring.ErrDenied, keyring.ErrUnavailable}} {
			a, b := keyringtest.NewFake("a"), keyringtest.NewFake("b")
			keys := newKeyring(t, a, &keyring.Options{Replicas: []keyring.KEK{b}})
			a.Break(order[0])
			b.Break(order[1])
			err := keys.Check(t.Context())
			require.ErrorIs(t, err, keyring.ErrDenied)
			require.NotErrorIs(t, err, keyring.ErrUnavailable)
		}
	})

	t.Run("keeps a good result for a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			require.NoError(t, keys.Check(t.Context()))
			kek.Break(keyring.ErrDenied)
			time.Sleep(59 * time.Second)
			require.NoError(t, keys.Check(t.Context()))
			require.Equal(t, 1, kek.Wraps(), "within the minute there is no call")
			time.Sleep(time.Second)
			require.ErrorIs(t, keys.Check(t.Context()), keyring.ErrDenied)
		})
	})

	t.Run("keeps a bad result for ten seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			kek.Break(keyring.ErrUnavailable)
			require.ErrorIs(t, keys.Check(t.Context()), keyring.ErrUnavailable)
			kek.Break(nil)
			time.Sleep(9 * time.Second)
			require.ErrorIs(t, keys.Check(t.Context()), keyring.ErrUnavailable)
			require.Equal(t, 1, kek.Wraps(), "within ten seconds there is no call")
			time.Sleep(time.Second)
			require.NoError(t, keys.Check(t.Context()))
		})
	})

	t.Run("is shared by concurrent callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			kek.Delay(time.Second)
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					if err := keys.Check(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			callers.Wait()
			require.Equal(t, 1, kek.Wraps())
		})
	})

	t.Run("outlives the caller that started it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			kek.Delay(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.ErrorIs(t, keys.Check(ctx), context.DeadlineExceeded)
			require.NoError(t, keys.Check(t.Context()), "the result does not depend on the first caller's context")
			require.Equal(t, 1, kek.Wraps())
		})
	})
}

// A forgetful KEK unwraps to another key than it wrapped.
type forgetful struct{ *keyringtest.Fake }

func (k forgetful) Unwrap(context.Context, keyring.WrappedKey, keyring.Context) ([]byte, error) {
	return make([]byte, 32), nil
}

// fadesAway is a KEK with an outage in the middle of a check.
type fadesAway struct{ *keyringtest.Fake }

func (k fadesAway) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	defer k.BreakUnwrap(keyring.ErrUnavailable)
	return k.Fake.Unwrap(ctx, w, c)
}
