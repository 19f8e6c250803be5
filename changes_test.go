package satchel_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// next returns the next diff, and fails if there is none within a day.
func next(t *testing.T, changes iter.Seq[bundle.Diff]) string {
	t.Helper()
	got := make(chan bundle.Diff, 1)
	go func() {
		for d := range changes {
			got <- d
			return
		}
	}()
	select {
	case d := <-got:
		return d.String()
	case <-time.After(24 * time.Hour):
		require.Fail(t, "no diff within a day")
		return ""
	}
}

// refreshTo sets the source to b and refreshes the client. It ignores the end of the
// test's context: a test may end as soon as it sees the change, which must not cut
// the refresh off.
func refreshTo(t *testing.T, c *satchel.Client, s *source, b *bundle.Bundle) {
	t.Helper()
	s.become(gives(b))
	if _, err := c.Refresh(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestClient_Changes(t *testing.T) {
	t.Run("starts from the bundle at the call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"), secret("B", "1"))))
			c := newClient(t, nil, s)
			refreshTo(t, c, s, bundleOf(secret("A", "2"), secret("B", "1")))
			changes := c.Changes(t.Context())
			refreshTo(t, c, s, bundleOf(secret("A", "2"), secret("C", "1")))
			require.Equal(t, "added C; removed B", next(t, changes), "changes before the call do not count, but changes before the loop do")
			require.Equal(t, "added C; removed B", next(t, changes), "a second loop over the same sequence starts where the first did")

			changes = c.Changes(t.Context())
			inAnHour(func() { refreshTo(t, c, s, bundleOf(secret("C", "1"))) })
			require.Equal(t, "removed A", next(t, changes), "a loop waits for the first change")
		})
	})

	t.Run("gives a slow reader one diff for all missed changes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"), secret("B", "1"))))
			c := newClient(t, nil, s)
			var got []string
			inAnHour(func() { refreshTo(t, c, s, bundleOf(secret("A", "2"), secret("B", "1"))) })
			for d := range c.Changes(t.Context()) {
				got = append(got, d.String())
				if len(got) == 2 {
					break
				}
				refreshTo(t, c, s, bundleOf(secret("A", "3"), secret("B", "1"), secret("C", "1"), secret("D", "1")))
				refreshTo(t, c, s, bundleOf(secret("A", "4"), secret("C", "1")))
			}
			require.Equal(t, []string{"changed A", "added C; changed A; removed B"}, got)
		})
	})

	t.Run("ignores a change that is reverted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			changes := c.Changes(t.Context())
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			refreshTo(t, c, s, bundleOf(secret("A", "1")))
			refreshTo(t, c, s, bundleWith(bundle.Meta{Revision: "new"}, secret("A", "1")))
			inAnHour(func() { refreshTo(t, c, s, bundleOf(secret("A", "1"), secret("B", "1"))) })
			require.Equal(t, "added B", next(t, changes), "a new revision of the same secrets is not a change either")
		})
	})

	t.Run("shows every reader all changes and the final state", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPushing(bundleOf())
			c := newClient(t, nil, p)
			run(t, c)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			shared := c.Changes(ctx)
			const readers = 6
			held := make([]map[string]string, readers) // each reader's secrets
			diffs := make([]int, readers)
			var group sync.WaitGroup
			for i := range readers {
				changes := shared // two of them share one sequence
				if i > 1 {
					changes = c.Changes(ctx)
				}
				held[i] = map[string]string{}
				group.Go(func() {
					for d := range changes {
						diffs[i]++
						now := c.Bundle()
						for _, name := range append(d.Added, d.Changed...) {
							s, _ := now.Get(name)
							held[i][name] = s.Value.Reveal()
						}
						for _, name := range d.Removed {
							delete(held[i], name)
						}
						time.Sleep(time.Duration(max(0, i-2)*3) * time.Second) // some are slow
					}
				})
			}
			want := map[string]string{}
			for n := range 300 {
				name := fmt.Sprint("N", rand.N(10))
				if _, ok := want[name]; ok && rand.N(3) == 0 {
					delete(want, name)
				} else {
					want[name] = fmt.Sprint(n)
				}
				var secrets []bundle.Secret
				for name, v := range want {
					secrets = append(secrets, secret(name, v))
				}
				p.set(bundleOf(secrets...))
				time.Sleep(time.Duration(rand.N(4000)) * time.Millisecond)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			cancel()
			group.Wait()
			for i := range readers {
				require.Equal(t, want, held[i], "reader %d has the final state, even if it is slow or others read too", i)
				require.Positive(t, diffs[i])
			}
			require.Greater(t, diffs[0], 150, "a reader that keeps up gets a diff for each rotation")
			require.Equal(t, diffs[0], diffs[2], "and other readers do not take diffs from it")
		})
	})

	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			start := time.Now()
			for range c.Changes(ctx) {
				require.Fail(t, "a diff without a change")
			}
			require.Equal(t, time.Hour, time.Since(start))

			changes := c.Changes(ctx)
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			for range changes {
				require.Fail(t, "a diff after the end of the context")
			}
		})
	})

	t.Run("includes expiry and revocation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(expiring("A", "1", time.Now().Add(time.Minute)), secret("B", "1"))))
			c := newClient(t, nil, s)
			changes := c.Changes(t.Context())
			run(t, c)
			s.become(fails(errDown))
			require.Equal(t, "removed A", next(t, changes))
			changes = c.Changes(t.Context())
			s.become(fails(errRevoked))
			time.Sleep(time.Hour)
			require.Equal(t, "removed B", next(t, changes))
		})
	})
}

// inAnHour runs f in the background.
func inAnHour(f func()) { time.AfterFunc(time.Hour, f) }
