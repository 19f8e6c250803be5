package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
)

// conn is a closer that records when it was closed.
type conn struct {
	password string
	uses     atomic.Int32
	mu       sync.Mutex
	closed   []time.Time
	misused  bool
	err      error
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = append(c.closed, time.Now())
	c.misused = c.misused || c.uses.Load() > 0
	return c.err
}

func (c *conn) closings() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *conn) open() bool { return len(c.closings()) == 0 }

func connect(b *bundle.Bundle) (*conn, error) {
	a, _ := b.Get("A")
	return &conn{password: a.Value.Reveal()}, nil
}

func TestDerive_Close(t *testing.T) {
	t.Run("waits for the grace period after a replacement", func(t *testing.T) {
		for _, grace := range []time.Duration{0, time.Second, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				want := grace
				if want == 0 {
					want = time.Minute
				}
				s := newSource("s", gives(bundleOf(secret("A", "1"))))
				c := newClient(t, &satchel.Options{Grace: grace}, s)
				d := satchel.Derive(c, connect, "A")
				run(t, c)
				var all []*conn
				for i := range 4 {
					refreshTo(t, c, s, bundleOf(secret("A", fmt.Sprint(i))))
					all = append(all, mustGet(t, d))
					time.Sleep(want / 4)
				}
				require.True(t, all[0].open(), "a value from Get stays open for the grace period")
				time.Sleep(want/4 - time.Nanosecond)
				require.True(t, all[0].open())
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				require.False(t, all[0].open(), "and no longer")
				require.True(t, all[1].open(), "each value has its own grace period")
				time.Sleep(100 * time.Hour)
				for _, old := range all[:3] {
					require.Len(t, old.closings(), 1, "a replaced value is closed once")
				}
				require.True(t, all[3].open(), "the current value is never closed")
			})
		}
	})

	t.Run("waits for the last use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, connect, "A")
			run(t, c)
			old := mustGet(t, d)
			require.NoError(t, d.Use(func(used *conn) error {
				require.Same(t, old, used)
				refreshTo(t, c, s, bundleOf(secret("A", "2")))
				require.Equal(t, "2", mustGet(t, d).password, "another Get returns the new value")
				var panicking sync.WaitGroup
				panicking.Go(func() {
					defer func() { _ = recover() }()
					_ = d.Use(func(*conn) error { panic("in the middle") })
				})
				panicking.Wait()
				time.Sleep(72 * time.Hour)
				require.True(t, old.open(), "a value is never closed while it is in use")
				return d.Use(func(used *conn) error {
					require.Equal(t, "2", used.password, "a later Use gets the new value, even within a Use of the old one")
					return nil
				})
			}))
			synctest.Wait()
			require.Len(t, old.closings(), 1, "the end of the last use closes it")
			require.True(t, mustGet(t, d).open())
		})
	})

	t.Run("keeps the grace period when a use ends within it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, connect, "A")
			run(t, c)
			var old *conn
			require.NoError(t, d.Use(func(used *conn) error {
				old = used
				refreshTo(t, c, s, bundleOf(secret("A", "2")))
				time.Sleep(10 * time.Second)
				return nil
			}))
			time.Sleep(50*time.Second - time.Nanosecond)
			require.True(t, old.open())
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.False(t, old.open())
		})
	})

	t.Run("is left to the next Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, connect, "A")
			old := mustGet(t, d)
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			require.Equal(t, "2", mustGet(t, d).password)
			time.Sleep(time.Hour)
			require.True(t, old.open())
			run(t, c)
			require.False(t, old.open())
		})
	})

	t.Run("follows the end of Run, except for values in use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, connect, "A")
			stop := run(t, c)
			unused := mustGet(t, d)
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			var used *conn
			require.NoError(t, d.Use(func(v *conn) error {
				used = v
				refreshTo(t, c, s, bundleOf(secret("A", "3")))
				mustGet(t, d)
				synctest.Wait()
				require.NoError(t, stop())
				require.False(t, unused.open(), "Run closes the unused value at its end")
				require.True(t, used.open())
				return nil
			}))
			require.Len(t, used.closings(), 1, "its last use closes it")
			current := mustGet(t, d)
			require.Equal(t, "3", current.password)
			require.True(t, current.open(), "the current value is the program's")
			require.NoError(t, d.Use(func(v *conn) error { require.Same(t, current, v); return nil }))
			require.True(t, current.open())
		})
	})

	t.Run("skips a value that build returns again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kept := map[string]*conn{}
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (*conn, error) {
				fresh, err := connect(b)
				if old := kept[fresh.password]; old != nil && old.open() {
					return old, nil
				}
				kept[fresh.password] = fresh
				return fresh, err
			})
			run(t, c)
			one := mustGet(t, d)
			refreshTo(t, c, s, bundleOf(secret("A", "1"), secret("B", "1")))
			require.Same(t, one, mustGet(t, d))
			time.Sleep(time.Hour)
			require.True(t, one.open(), "the same value again replaces nothing")

			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			two := mustGet(t, d)
			require.NoError(t, d.Use(func(*conn) error {
				time.Sleep(30 * time.Second)
				refreshTo(t, c, s, bundleOf(secret("A", "1")))
				require.Same(t, one, mustGet(t, d))
				time.Sleep(time.Hour)
				require.True(t, one.open(), "a value that build returns again stays open")
				require.True(t, two.open())
				return nil
			}))
			synctest.Wait()
			require.False(t, two.open())
		})
	})

	t.Run("skips a value that build returns again while it is read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one := &conn{}
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, func(*bundle.Bundle) (*conn, error) { return one, nil })
			run(t, c)
			var group sync.WaitGroup
			for range 4 {
				group.Go(func() {
					for range 500 {
						if v, err := d.Get(); v != one || err != nil {
							t.Error(v, err)
						}
						_ = d.Use(func(*conn) error { return nil })
					}
				})
			}
			for i := range 100 {
				refreshTo(t, c, s, bundleOf(secret("A", fmt.Sprint(i))))
			}
			group.Wait()
			require.True(t, one.open())
		})
	})

	t.Run("ignores values that cannot be closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			run(t, c)
			nothing := satchel.Derive(c, func(*bundle.Bundle) (*conn, error) { return nil, nil }, "A")
			open := satchel.Derive(c, func(*bundle.Bundle) (any, error) { return nil, nil }, "A")
			odd := satchel.Derive(c, func(*bundle.Bundle) (uncomparable, error) { return uncomparable{}, nil }, "A")
			for i := range 3 {
				refreshTo(t, c, s, bundleOf(secret("A", fmt.Sprint(i))))
				require.Nil(t, mustGet(t, nothing), "a nil pointer is a value")
				require.Nil(t, mustGet(t, open))
				mustGet(t, odd)
			}
			time.Sleep(time.Hour)
		})
	})

	t.Run("logs an error without secret values", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log notes
			s := newSource("s", gives(bundleOf(secret("A", "pass-word"))))
			c := newClient(t, &satchel.Options{Logger: loggerTo(&log, 0)}, s)
			d := satchel.Derive(c, connect, "A")
			run(t, c)
			mustGet(t, d).err = errors.New("logging pass-word off: connection reset")
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			time.Sleep(time.Hour)
			require.Contains(t, log.String(), `level=WARN msg="closing a replaced derived value failed" derived="*satchel_test.conn from A" error="logging [A] off: connection reset"`)
		})
	})

	t.Run("never happens during a use, with concurrent users and restarts of Run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var all []*conn
			n := 0
			s := newSource("s", func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
				n++
				return bundleWith(bundle.Meta{RefreshAfter: 10 * time.Second}, secret("A", fmt.Sprint(n))), nil
			})
			c := newClient(t, &satchel.Options{Grace: time.Second}, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (*conn, error) {
				if rand.N(3) == 0 {
					return nil, errDown
				}
				time.Sleep(rand.N(3 * time.Second))
				v, err := connect(b)
				mu.Lock()
				all = append(all, v)
				mu.Unlock()
				return v, err
			}, "A")
			use := func() error {
				return d.Use(func(v *conn) error {
					v.uses.Add(1)
					defer v.uses.Add(-1)
					if !v.open() {
						t.Error("a closed value was handed out")
					}
					time.Sleep(rand.N(40 * time.Second))
					if !v.open() {
						t.Error("a value was closed while it was in use")
					}
					return nil
				})
			}
			over, end := context.WithTimeout(t.Context(), 2*time.Hour)
			defer end()
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					for over.Err() == nil {
						_ = use()
						time.Sleep(rand.N(5 * time.Second))
					}
				})
			}
			for over.Err() == nil { // meanwhile, Run starts and ends
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(10*time.Minute))
				require.NoError(t, c.Run(ctx))
				cancel()
				time.Sleep(rand.N(time.Minute))
			}
			group.Wait()
			run(t, c)
			time.Sleep(time.Minute)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			require.Greater(t, len(all), 200)
			open := 0
			for _, v := range all {
				if v.open() {
					open++
				}
				require.LessOrEqual(t, len(v.closings()), 1, "nothing is closed twice")
				require.False(t, v.misused)
			}
			require.LessOrEqual(t, open, 7, "only the current value and those of the last seconds are open")
		})
	})

	t.Run("releases files", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "value")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		s := newSource("s", gives(bundleOf(secret("A", "0"))))
		c := newClient(t, &satchel.Options{Grace: time.Nanosecond}, s)
		d := satchel.Derive(c, func(*bundle.Bundle) (*os.File, error) { return os.Open(path) }, "A")
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = c.Run(ctx) })
		before := leaktest.OpenFiles(t)
		for i := range 100 {
			refreshTo(t, c, s, bundleOf(secret("A", fmt.Sprint(i))))
			require.NoError(t, d.Use(func(f *os.File) error { _, err := f.Stat(); return err }))
		}
		cancel()
		group.Wait()
		require.LessOrEqual(t, leaktest.OpenFiles(t), before+1, "only the current value's file is open")
		require.NoError(t, mustGet(t, d).Close())
	})
}

// uncomparable is a closer that == would panic on.
type uncomparable []int

func (uncomparable) Close() error { return nil }
