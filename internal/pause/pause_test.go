package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/pause"
)

func TestFor(t *testing.T) {
	t.Run("returns after the time has passed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			require.NoError(t, pause.For(t.Context(), time.Hour))
			require.Equal(t, time.Hour, time.Since(start))
		})
	})

	t.Run("returns the cause as soon as the context is done", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			reason := errors.New("shutting down")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(reason) })
			start := time.Now()
			require.ErrorIs(t, pause.For(ctx, time.Hour), reason)
			require.Equal(t, time.Second, time.Since(start))
		})
	})
}

func TestAfterConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for attempt, most := range map[int]time.Duration{0: 2 * time.Millisecond, 1: 4 * time.Millisecond, 19: 40 * time.Millisecond, 1000: 40 * time.Millisecond} {
			longest := time.Duration(0)
			for range 1000 {
				start := time.Now()
				require.NoError(t, pause.AfterConflict(t.Context(), attempt))
				longest = max(longest, time.Since(start))
			}
			require.Less(t, longest, most)
			require.Greater(t, longest, most/2, "pauses use the full range")
		}
	})
}
