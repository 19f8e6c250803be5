package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// reader reads a file of one line as the secret A, and counts reads. A line that
// starts with ! is malformed.
type reader struct {
	path     string
	optional bool
	reads    atomic.Int32
	watch    Watch
}

func (r *reader) fetch(ctx context.Context, last *bundle.Bundle) (*bundle.Bundle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.reads.Add(1)
	src, err := ReadFile(r.path, r.optional, "")
	if err != nil {
		return nil, err
	}
	if len(src) > 0 && src[0] == '!' {
		return nil, Permanent(os.ErrInvalid)
	}
	if src == nil {
		return Bundle(last, nil, nil)
	}
	return Bundle(last, []bundle.Secret{{Name: "A", Value: bundle.NewValue(string(src))}}, nil)
}

func (r *reader) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(r.path, []byte(text), 0o600))
}

// age sets the file's time to a time in the past.
func (r *reader) age(t *testing.T, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	require.NoError(t, os.Chtimes(r.path, then, then))
}

type result struct {
	bundle *bundle.Bundle
	err    error
}

// begin waits in the background. In a bubble the clock is fake, but files are
// real.
func (r *reader) begin(t *testing.T, last *bundle.Bundle) <-chan result {
	done := make(chan result, 1)
	go func() {
		b, err := r.watch.Wait(t.Context(), r.path, last, r.fetch)
		done <- result{b, err}
	}()
	return done
}

func newReader(t *testing.T, text string) (*reader, *bundle.Bundle) {
	t.Helper()
	r := &reader{path: filepath.Join(t.TempDir(), "file")}
	r.write(t, text)
	last, err := r.watch.Fetch(t.Context(), nil, r.fetch)
	require.NoError(t, err)
	r.reads.Store(0)
	return r, last
}

func within(t *testing.T, d time.Duration, done <-chan result) result {
	t.Helper()
	select {
	case got := <-done:
		return got
	case <-time.After(d):
		require.Fail(t, "Wait does not return", "within %s", d)
		return result{}
	}
}

func still(t *testing.T, d time.Duration, done <-chan result) {
	t.Helper()
	select {
	case got := <-done:
		require.Fail(t, "Wait returned", "%v", got.err)
	case <-time.After(d):
	}
}

func TestWait(t *testing.T) {
	t.Run("reads an unchanged file once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			r.age(t, time.Hour)
			done := r.begin(t, last)
			still(t, time.Hour, done)
			require.EqualValues(t, 1, r.reads.Load(), "checking metadata does not read the file")
		})
	})

	t.Run("reads a young file again until its time cannot hide an edit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			r.age(t, 0)
			done := r.begin(t, last)
			still(t, time.Hour, done)
			require.InDelta(t, 4, r.reads.Load(), 1.5, "for three seconds only")

			r, last = newReader(t, "1")
			stamp := time.Now()
			require.NoError(t, os.Chtimes(r.path, stamp, stamp))
			done = r.begin(t, last)
			still(t, 500*time.Millisecond, done)
			r.write(t, "2")
			require.NoError(t, os.Chtimes(r.path, stamp, stamp))
			got := within(t, 3*time.Second, done)
			require.NoError(t, got.err)
			a, _ := got.bundle.Get("A")
			require.Equal(t, "2", a.Value.Reveal(), "an edit within the same tick of the file system's clock is detected")
		})
	})

	t.Run("does not read a half-written file", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			r.age(t, time.Hour)
			done := r.begin(t, last)
			still(t, 10*time.Second, done)
			for i := range 40 { // a slow writer that starts with an empty file
				r.write(t, string(make([]byte, i)))
				still(t, 90*time.Millisecond, done)
			}
			r.write(t, "the whole text")
			got := within(t, 2*time.Second, done)
			require.NoError(t, got.err)
			a, _ := got.bundle.Get("A")
			require.Equal(t, "the whole text", a.Value.Reveal(), "a file is read once it is stable")
		})
	})

	t.Run("reports a file that becomes unusable once", func(t *testing.T) {
		for name, row := range map[string]struct {
			spoil func(r *reader) error
			kind  bundle.FetchKind
		}{
			"malformed": {func(r *reader) error { return os.WriteFile(r.path, []byte("!"), 0o600) }, bundle.FetchPermanent},
			"deleted":   {func(r *reader) error { return os.Remove(r.path) }, bundle.FetchPermanent},
			"replaced by a directory": {func(r *reader) error {
				_ = os.Remove(r.path)
				return os.Mkdir(r.path, 0o700)
			}, bundle.FetchPermanent},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, last := newReader(t, "1")
					r.age(t, time.Hour)
					done := r.begin(t, last)
					still(t, time.Minute, done)
					require.NoError(t, row.spoil(r))
					got := within(t, 2*time.Second, done)
					require.Nil(t, got.bundle)
					var fault *bundle.FetchError
					require.ErrorAs(t, got.err, &fault, "the caller gets the error")
					require.Equal(t, row.kind.String(), fault.Kind.String())

					r.reads.Store(0)
					done = r.begin(t, last)
					still(t, time.Hour, done)
					require.LessOrEqual(t, r.reads.Load(), int32(5), "an unusable file causes no busy loop")
					require.NoError(t, os.RemoveAll(r.path))
					r.write(t, "1")
					got = within(t, 2*time.Second, done)
					require.NoError(t, got.err)
					require.Same(t, last, got.bundle, "a file that is usable again is reported, even if it is unchanged")
				})
			})
		}
	})

	t.Run("treats a missing optional file as empty", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			r.optional = true
			r.age(t, time.Hour)
			done := r.begin(t, last)
			still(t, time.Minute, done)
			require.NoError(t, os.Remove(r.path))
			got := within(t, 2*time.Second, done)
			require.NoError(t, got.err)
			require.Zero(t, got.bundle.Len())

			done = r.begin(t, got.bundle)
			still(t, time.Minute, done)
			r.write(t, "2")
			got = within(t, 2*time.Second, done)
			require.NoError(t, got.err)
			require.Equal(t, 1, got.bundle.Len())
		})
	})

	t.Run("returns a temporary read failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			down := &bundle.FetchError{Err: os.ErrDeadlineExceeded}
			start := time.Now()
			_, err := r.watch.Wait(t.Context(), r.path, last, func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return nil, down })
			require.Equal(t, error(down), err, "the caller backs off after an unavailable error")
			require.Less(t, time.Since(start), time.Second)
		})
	})

	t.Run("without last waits for a usable file", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &reader{path: filepath.Join(t.TempDir(), "file")}
			got := within(t, time.Second, r.begin(t, nil))
			require.ErrorIs(t, got.err, os.ErrNotExist, "the caller does not know yet that the file is missing")
			done := r.begin(t, nil)
			still(t, time.Hour, done)
			r.write(t, "1")
			got = within(t, 2*time.Second, done)
			require.NoError(t, got.err)
			require.Equal(t, 1, got.bundle.Len())
		})
	})

	t.Run("does not miss a change between the calls", func(t *testing.T) {
		for about, row := range map[string]struct {
			change func(r *reader) error
			want   string // a part of the error
		}{
			"deleted":                 {func(r *reader) error { return os.Remove(r.path) }, "no such file"},
			"malformed":               {func(r *reader) error { return os.WriteFile(r.path, []byte("!"), 0o600) }, os.ErrInvalid.Error()},
			"replaced by a directory": {func(r *reader) error { return errors.Join(os.Remove(r.path), os.Mkdir(r.path, 0o700)) }, "is a directory"},
			"edited":                  {func(r *reader) error { return os.WriteFile(r.path, []byte("2"), 0o600) }, ""},
		} {
			t.Run(about, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, last := newReader(t, "1")
					r.age(t, time.Hour)
					info, err := os.Stat(r.path)
					require.NoError(t, err)
					require.NoError(t, row.change(r))
					_ = os.Chtimes(r.path, info.ModTime(), info.ModTime())
					got := within(t, time.Second, r.begin(t, last))
					if row.want == "" {
						require.NoError(t, got.err)
						require.NotSame(t, last, got.bundle)
						return
					}
					require.ErrorContains(t, got.err, row.want)

					done := r.begin(t, last)
					still(t, time.Hour, done)
					require.NoError(t, os.RemoveAll(r.path))
					r.write(t, "1")
					require.Same(t, last, within(t, 2*time.Second, done).bundle)

					require.NoError(t, os.Remove(r.path))
					require.Error(t, within(t, time.Second, r.begin(t, last)).err, "and once again")
				})
			})
		}
	})

	t.Run("remembers for each caller", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, mine := newReader(t, "1")
			other, err := r.watch.Fetch(t.Context(), nil, r.fetch)
			require.NoError(t, err)
			require.NotSame(t, mine, other)
			require.NoError(t, os.Remove(r.path))
			_, err = r.watch.Fetch(t.Context(), other, r.fetch)
			require.Error(t, err)
			require.Error(t, within(t, time.Second, r.begin(t, mine)).err, "another caller's error is not known to this one")
			still(t, time.Hour, r.begin(t, other))
		})
	})

	t.Run("keeps no bundle in memory", func(t *testing.T) {
		r, last := newReader(t, "1")
		require.NoError(t, os.Remove(r.path))
		for range 3 {
			_, err := r.watch.Fetch(t.Context(), last, r.fetch)
			require.Error(t, err)
			runtime.KeepAlive(last)
			last, err = Bundle(nil, []bundle.Secret{{Name: "A"}}, nil)
			require.NoError(t, err)
			runtime.GC()
		}
		require.LessOrEqual(t, len(r.watch.told), 2)
	})

	t.Run("ends with its context at any moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, last := newReader(t, "1")
			for _, d := range []time.Duration{0, 50 * time.Millisecond, 500 * time.Millisecond, time.Minute} {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				start := time.Now()
				b, err := r.watch.Wait(ctx, r.path, last, r.fetch)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Nil(t, b)
				require.Equal(t, d, time.Since(start))
				cancel()
			}
		})
	})
}
