package keyringtest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func TestFake(t *testing.T) {
	t.Run("counts its calls, including failed ones", func(t *testing.T) {
		f := NewFake("a")
		w, err := f.Wrap(t.Context(), newDEK(), tenant())
		require.NoError(t, err)
		f.Break(keyring.ErrDenied)
		_, err = f.Unwrap(t.Context(), w, tenant())
		require.ErrorIs(t, err, keyring.ErrDenied, "a broken fake fails with the class that is set")
		f.Break(nil)
		_, err = f.Unwrap(t.Context(), w, tenant())
		require.NoError(t, err, "a repaired fake works again")
		require.Equal(t, 1, f.Wraps())
		require.Equal(t, 2, f.Unwraps(), "a failed call counts")
	})

	t.Run("fails in one direction only", func(t *testing.T) {
		f := NewFake("a")
		w, err := f.Wrap(t.Context(), newDEK(), nil)
		require.NoError(t, err)
		f.BreakUnwrap(keyring.ErrKeyState)
		_, err = f.Wrap(t.Context(), newDEK(), nil)
		require.NoError(t, err, "only Unwrap is broken")
		_, err = f.Unwrap(t.Context(), w, nil)
		require.ErrorIs(t, err, keyring.ErrKeyState)
		f.BreakUnwrap(nil)
		f.BreakWrap(keyring.ErrUnavailable)
		_, err = f.Unwrap(t.Context(), w, nil)
		require.NoError(t, err, "only Wrap is broken")
		_, err = f.Wrap(t.Context(), newDEK(), nil)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
	})

	t.Run("opens older versions after a rotation", func(t *testing.T) {
		f := NewFake("a")
		dek := newDEK()
		before, err := f.Wrap(t.Context(), dek, nil)
		require.NoError(t, err)
		f.Rotate()
		after, err := f.Wrap(t.Context(), dek, nil)
		require.NoError(t, err)
		require.Equal(t, "1", before.Version)
		require.Equal(t, "2", after.Version)
		for _, w := range []keyring.WrappedKey{before, after} {
			got, err := f.Unwrap(t.Context(), w, nil)
			require.NoError(t, err, "every version unwraps")
			require.Equal(t, dek, got)
		}
	})

	t.Run("waits for its delay or until its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := NewFake("a")
			f.Delay(time.Minute)
			begin := time.Now()
			_, err := f.Wrap(t.Context(), newDEK(), nil)
			require.NoError(t, err)
			require.Equal(t, time.Minute, time.Since(begin), "a call takes the delay")

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin = time.Now()
			_, err = f.Wrap(ctx, newDEK(), nil)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(begin), "a call ends with its context")
		})
	})

	t.Run("counts the most concurrent calls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := NewFake("a")
			f.Delay(time.Second)
			for range 3 {
				go f.Wrap(t.Context(), newDEK(), nil)
			}
			synctest.Wait()
			time.Sleep(2 * time.Second)
			_, err := f.Wrap(t.Context(), newDEK(), nil)
			require.NoError(t, err)
			require.Equal(t, 3, f.MostCalls())
		})
	})
}
