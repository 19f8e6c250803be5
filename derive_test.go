package satchel_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// valueOf returns a build function for the value of a secret, which counts its calls.
func valueOf(name string, calls *atomic.Int32) func(*bundle.Bundle) (string, error) {
	return func(b *bundle.Bundle) (string, error) {
		calls.Add(1)
		s, ok := b.Get(name)
		if !ok {
			return "", errors.New(name + " is missing")
		}
		return s.Value.Reveal(), nil
	}
}

func mustGet[T any](t *testing.T, d *satchel.Derived[T]) T {
	t.Helper()
	v, err := d.Get()
	require.NoError(t, err)
	return v
}

func TestDerive_Changes(t *testing.T) {
	a := secret("A", "1")
	byFile := a
	byFile.Delivery = bundle.DeliverFile
	elsewhere := a
	elsewhere.Origin, elsewhere.Version = bundle.Origin{Provider: "elsewhere"}, 7
	for _, row := range []struct {
		rule    string
		to      []bundle.Secret
		rebuilt bool
	}{
		{"a new value", []bundle.Secret{secret("A", "2")}, true},
		{"another delivery", []bundle.Secret{byFile}, true},
		{"its second secret is added", []bundle.Secret{a, secret("B", "1")}, true},
		{"its secret is removed", nil, true},
		{"another secret", []bundle.Secret{a, secret("C", "1")}, false},
		{"another origin and version", []bundle.Secret{elsewhere}, false},
	} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, running is %t", row.rule, running), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var calls atomic.Int32
					s := newSource("s", gives(bundleOf(a)))
					c := newClient(t, nil, s)
					d := satchel.Derive(c, func(*bundle.Bundle) (int32, error) { return calls.Add(1), nil }, "A", "B")
					if running {
						run(t, c)
					}
					refreshTo(t, c, s, bundleOf(a, secret("C", "0")))
					synctest.Wait()
					require.Zero(t, calls.Load(), "nothing is built before the first Get")
					for range 3 {
						require.EqualValues(t, 1, mustGet(t, d), "every Get returns the same value")
					}
					refreshTo(t, c, s, bundleOf(row.to...))
					want := int32(1)
					if row.rebuilt {
						want = 2
					}
					for range 3 {
						require.Equal(t, want, mustGet(t, d), "Get never returns the value for secrets that have changed")
					}
				})
			})
		}
	}
}

func TestDerive(t *testing.T) {
	t.Run("without names rebuilds after any change", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, valueOf("A", &calls))
			require.Equal(t, "1", mustGet(t, d))
			refreshTo(t, c, s, bundleWith(bundle.Meta{Revision: "2"}, secret("A", "1")))
			require.Equal(t, "1", mustGet(t, d))
			require.EqualValues(t, 1, calls.Load(), "a revision is not a secret")
			refreshTo(t, c, s, bundleOf(secret("A", "1"), secret("B", "1")))
			require.Equal(t, "1", mustGet(t, d))
			require.EqualValues(t, 2, calls.Load())
		})
	})

	t.Run("lets Run rebuild values that were used before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked, unasked, late atomic.Int32
			p := newPushing(bundleOf(secret("A", "1")))
			c := newClient(t, nil, p)
			before := satchel.Derive(c, valueOf("A", &asked), "A")
			satchel.Derive(c, valueOf("A", &unasked), "A")
			mustGet(t, before)
			run(t, c)
			after := satchel.Derive(c, valueOf("A", &late), "A")
			mustGet(t, after)
			for i := range 10 {
				p.set(bundleOf(secret("A", fmt.Sprint("next ", i))))
				time.Sleep(2 * time.Second)
			}
			require.EqualValues(t, 11, asked.Load(), "Run rebuilds without another Get")
			require.EqualValues(t, 11, late.Load(), "also for a value derived while Run is active")
			require.Zero(t, unasked.Load())
			require.Equal(t, "next 9", mustGet(t, before))
			require.EqualValues(t, 11, asked.Load())
		})
	})

	t.Run("shares one build among concurrent callers", func(t *testing.T) {
		for _, running := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var calls, inside atomic.Int32
				s := newSource("s", gives(bundleOf(secret("A", "1"))))
				c := newClient(t, nil, s)
				d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
					if inside.Add(1) != 1 {
						t.Error("calls of build overlap")
					}
					defer inside.Add(-1)
					calls.Add(1)
					time.Sleep(time.Second)
					a, _ := b.Get("A")
					return a.Value.Reveal(), nil
				}, "A")
				if running {
					run(t, c)
				}
				for _, want := range []string{"1", "2", "3"} {
					refreshTo(t, c, s, bundleOf(secret("A", want)))
					var group sync.WaitGroup
					for range 50 {
						group.Go(func() {
							if got, err := d.Get(); err != nil || got != want {
								t.Errorf("got %q, %v; want %q", got, err, want)
							}
						})
					}
					group.Wait()
				}
				require.EqualValues(t, 3, calls.Load())
			})
		}
	})

	t.Run("rebuilds after a change during a build", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
				time.Sleep(time.Minute)
				a, _ := b.Get("A")
				return a.Value.Reveal(), nil
			}, "A")
			time.AfterFunc(30*time.Second, func() { refreshTo(t, c, s, bundleOf(secret("A", "2"))) })
			require.Equal(t, "2", mustGet(t, d))
		})
	})

	t.Run("returns the error of build until a first value exists", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			s := newSource("s", gives(bundleOf(secret("B", "1"))))
			c := newClient(t, nil, s)
			run(t, c)
			d := satchel.Derive(c, valueOf("A", &calls), "A")
			for range 3 {
				_, err := d.Get()
				require.EqualError(t, err, "A is missing", "the error of build is returned unchanged")
			}
			err := d.Use(func(string) error { t.Error("f is called without a value"); return nil })
			require.EqualError(t, err, "A is missing")
			require.EqualValues(t, 4, calls.Load())
			time.Sleep(time.Hour)
			require.EqualValues(t, 4, calls.Load(), "Run leaves it to Get")

			refreshTo(t, c, s, bundleOf(secret("A", "1")))
			require.Equal(t, "1", mustGet(t, d))
			require.EqualError(t, d.Use(func(v string) error { return errors.New("used " + v) }), "used 1", "the error of Use is that of its function")
		})
	})
}

// brittle returns a build function for the value of A, which fails for a bad value.
func brittle(calls *notes) func(*bundle.Bundle) (string, error) {
	return func(b *bundle.Bundle) (string, error) {
		a, _ := b.Get("A")
		calls.add("%s at %s", a.Value.Reveal(), time.Now().Format(time.TimeOnly))
		if a.Value.Reveal() == "bad-value" {
			return "half a value", fmt.Errorf("parsing %q: it is bad", a.Value.Reveal())
		}
		return a.Value.Reveal(), nil
	}
}

func TestDerive_FailedBuild(t *testing.T) {
	t.Run("keeps the last good value", func(t *testing.T) {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("running is %t", running), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var calls, log notes
					s := newSource("s", gives(bundleOf(secret("A", "good"))))
					c := newClient(t, &satchel.Options{Logger: loggerTo(&log, 0)}, s)
					d := satchel.Derive(c, brittle(&calls), "A")
					if running {
						run(t, c)
					}
					require.Equal(t, "good", mustGet(t, d))
					require.Equal(t, []satchel.DerivedStatus{{Name: "string from A"}}, c.Status().Derived)

					refreshTo(t, c, s, bundleOf(secret("A", "bad-value")))
					for range 100 {
						require.Equal(t, "good", mustGet(t, d), "stale is better than nothing")
					}
					require.Len(t, calls.all(), 2, "and not every Get is an attempt")
					status := c.Status()
					require.Equal(t, satchel.Fresh, status.State, "the state is about the secrets")
					require.EqualError(t, status.Derived[0].LastError, `parsing "[A]": it is bad`, "a value that the error quotes is masked")
					require.Equal(t, 1, status.Derived[0].Attempts)
					require.Contains(t, status.String(), "\n  string from A: stale, 1 failed attempt, next in ")
					require.Contains(t, log.String(), `level=WARN msg="building a derived value failed; keeping the last good one" derived="string from A" error="parsing \"[A]\": it is bad"`)
					require.NotContains(t, log.String()+status.String(), "bad-value")

					for range 24 * 60 {
						time.Sleep(time.Minute)
						require.Equal(t, "good", mustGet(t, d))
					}
					n := len(calls.all())
					require.GreaterOrEqual(t, n, 200, "the same secrets are tried again")
					require.LessOrEqual(t, n, 3300, "with a back-off up to a minute")
					require.Len(t, log.all(), 2, "a long failure logs its beginning:\n%s", &log)

					refreshTo(t, c, s, bundleOf(secret("A", "better")))
					require.Equal(t, "better", mustGet(t, d), "other secrets are tried immediately")
					require.Equal(t, []satchel.DerivedStatus{{Name: "string from A"}}, c.Status().Derived)
					require.Contains(t, log.String(), `level=INFO msg="building a derived value succeeded again" derived="string from A"`)
				})
			})
		}
	})

	t.Run("ends when build succeeds again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			s := newSource("s", gives(bundleOf(secret("A", "1"))))
			c := newClient(t, nil, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
				if down.Load() {
					return "", errDown
				}
				a, _ := b.Get("A")
				return a.Value.Reveal(), nil
			}, "A")
			run(t, c)
			require.Equal(t, "1", mustGet(t, d))
			down.Store(true)
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			time.Sleep(5 * time.Hour)
			require.ErrorIs(t, c.Status().Derived[0].LastError, errDown, "an error without values is not replaced")
			down.Store(false)
			time.Sleep(5*time.Minute + time.Second)
			require.NoError(t, c.Status().Derived[0].LastError, "Run has rebuilt it without a Get")
			require.Equal(t, "2", mustGet(t, d))

			down.Store(true)
			refreshTo(t, c, s, bundleOf(secret("A", "3")))
			synctest.Wait()
			refreshTo(t, c, s, bundleOf(secret("A", "2")))
			require.Equal(t, "2", mustGet(t, d))
			require.NoError(t, c.Status().Derived[0].LastError, "the value is right for the restored secrets")
		})
	})

	t.Run("is retried without blocking callers", func(t *testing.T) {
		for _, running := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				s := newSource("s", gives(bundleOf(secret("A", "1"))))
				c := newClient(t, nil, s)
				d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
					if slow.Load() {
						time.Sleep(30 * time.Second)
						return "", errDown
					}
					return "good", nil
				}, "A")
				if running {
					run(t, c)
				}
				mustGet(t, d)
				slow.Store(true)
				refreshTo(t, c, s, bundleOf(secret("A", "2")))
				mustGet(t, d)
				var waited atomic.Int32
				var group sync.WaitGroup
				for range 10 {
					group.Go(func() {
						for range 600 {
							start := time.Now()
							if _, err := d.Get(); err != nil {
								t.Error(err)
							}
							if time.Since(start) > 0 {
								waited.Add(1)
							}
							time.Sleep(time.Second)
						}
					})
				}
				group.Wait()
				if running {
					require.Zero(t, waited.Load(), "Run makes the attempts, and every caller gets the last good value")
					return
				}
				// An attempt takes 30 seconds, and these are 600.
				require.LessOrEqual(t, waited.Load(), int32(21), "one caller makes the attempt, and the others get the last good value")
			})
		}
	})

	t.Run("panics without blocking other callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var panics atomic.Bool
			panics.Store(true)
			c := newClient(t, nil, newSource("s", gives(nil)))
			d := satchel.Derive(c, func(*bundle.Bundle) (string, error) {
				time.Sleep(time.Second)
				if panics.Load() {
					panic("a bug in the program")
				}
				return "built", nil
			})
			var group sync.WaitGroup
			group.Go(func() {
				defer func() {
					if recover() == nil {
						t.Error("the caller must get the panic")
					}
				}()
				_, _ = d.Get()
			})
			synctest.Wait()
			_, err := d.Get()
			require.EqualError(t, err, "build did not return")
			group.Wait()
			panics.Store(false)
			require.Equal(t, "built", mustGet(t, d))
		})
	})

	t.Run("has an error with masked values, in the forms that errors use", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const value = "p@ss \"word\"/é\n"
			s := newSource("s", gives(bundleOf(secret("A", "1"), secret("EMPTY", ""))))
			var log notes
			c := newClient(t, &satchel.Options{Logger: loggerTo(&log, 0)}, s)
			d := satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
				if a, _ := b.Get("A"); a.Value.Reveal() != "1" {
					return "", fmt.Errorf("%s; %q; longer: %s", a.Value.Reveal(), a.Value.Reveal(), a.Value.Reveal()+"and more")
				}
				return "", nil
			})
			mustGet(t, d)
			refreshTo(t, c, s, bundleOf(secret("A", value), secret("B", value+"and more"), secret("EMPTY", "")))
			mustGet(t, d)
			require.EqualError(t, c.Status().Derived[0].LastError, `[A]; "[A]"; longer: [B]`)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", c.Status(), c.Status(), c.Status())+log.String(), "word")
		})
	})
}
