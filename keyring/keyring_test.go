package keyring_test

import (
	"bytes"
	"context"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

func TestNew(t *testing.T) {
	t.Run("rejects invalid arguments", func(t *testing.T) {
		a := newLocal(t, "a", 1)
		many := func(n int) (keks []keyring.KEK) {
			for i := range n {
				keks = append(keks, newLocal(t, strings.Repeat("r", i+1), byte(i)))
			}
			return keks
		}
		for name, test := range map[string]struct {
			primary keyring.KEK
			opts    keyring.Options
			text    string
		}{
			"no primary":            {nil, keyring.Options{}, "the primary KEK is nil"},
			"a nil pointer":         {(*keyringtest.Fake)(nil), keyring.Options{}, "the primary KEK is nil"},
			"a nil replica":         {a, keyring.Options{Replicas: []keyring.KEK{nil}}, "Options.Replicas[0] is nil"},
			"a nil retired key":     {a, keyring.Options{Replicas: many(1), Retired: []keyring.KEK{newLocal(t, "b", 2), nil}}, "Options.Retired[1] is nil"},
			"a replica twice":       {a, keyring.Options{Replicas: []keyring.KEK{newLocal(t, "b", 2), newLocal(t, "b", 3)}}, "twice"},
			"the primary retired":   {a, keyring.Options{Retired: []keyring.KEK{newLocal(t, "a", 2)}}, "twice"},
			"eight replicas":        {a, keyring.Options{Replicas: many(8)}, "8 replicas"},
			"an ID without service": {renamed{keyringtest.NewFake("a"), keyring.KEKID{Key: "a"}}, keyring.Options{}, "the Service of a KEKID"},
			"an ID that is long":    {keyringtest.NewFake(strings.Repeat("k", 1025)), keyring.Options{}, "1024"},
			"a negative cache":      {a, keyring.Options{CacheEntries: -1}, "CacheEntries is -1; want a positive number, or zero for the default"},
			"a negative age":        {a, keyring.Options{SoftAge: -1}, "SoftAge is -1ns; want a positive duration, or zero for the default"},
			"a negative hard age":   {a, keyring.Options{HardAge: -1}, "HardAge is -1ns; want a positive duration, or zero for the default"},
			"hard before soft":      {a, keyring.Options{SoftAge: 2 * time.Hour}, "HardAge 1h0m0s is less"},
			"an unlimited age":      {a, keyring.Options{SoftAge: math.MaxInt64, HardAge: math.MaxInt64}, "more than a year"},
		} {
			_, err := keyring.New(test.primary, &test.opts)
			require.ErrorContains(t, err, test.text, name)
		}
		_, err := keyring.New(a, &keyring.Options{Replicas: many(7)})
		require.NoError(t, err, "seven replicas and the primary fill a record")
	})
}

type renamed struct {
	*keyringtest.Fake
	id keyring.KEKID
}

func (k renamed) ID() keyring.KEKID { return k.id }

func TestKeyring_KEKs(t *testing.T) {
	primary, replica, retired := keyringtest.NewFake("primary"), keyringtest.NewFake("replica"), keyringtest.NewFake("retired")
	k, err := keyring.New(primary, &keyring.Options{Replicas: []keyring.KEK{replica}, Retired: []keyring.KEK{retired}})
	require.NoError(t, err)
	require.Equal(t, []keyring.KEKID{primary.ID(), replica.ID(), retired.ID()}, k.KEKs())
	k.KEKs()[0] = keyring.KEKID{}
	require.Equal(t, primary.ID(), k.KEKs()[0], "the caller owns the slice")
}

func TestKeyring_NewKey(t *testing.T) {
	t.Run("opens from its record", func(t *testing.T) {
		keys := newKeyring(t, newLocal(t, "kek", 1), nil)
		before := time.Now().Truncate(time.Second)
		made, rec, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		defer made.Destroy()
		opened, err := keys.OpenKey(t.Context(), rec, acme)
		require.NoError(t, err)
		defer opened.Destroy()

		require.Equal(t, made.ID(), opened.ID())
		id, err := rec.ID()
		require.NoError(t, err)
		require.Equal(t, made.ID(), id)
		created, err := rec.Created()
		require.NoError(t, err)
		require.WithinRange(t, created, before, time.Now())

		sealing, err := made.Group(web)
		require.NoError(t, err)
		opening, err := opened.Group(web)
		require.NoError(t, err)
		got, err := opening.Open(nil, seal(t, sealing, "a secret", apiKey7), apiKey7)
		require.NoError(t, err)
		require.Equal(t, "a secret", string(got))
	})

	t.Run("needs the primary and every replica", func(t *testing.T) {
		primary, replica := keyringtest.NewFake("primary"), keyringtest.NewFake("replica")
		keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{replica}})
		replica.Break(keyring.ErrUnavailable)
		key, rec, err := keys.NewKey(t.Context(), acme)
		require.ErrorIs(t, err, keyring.ErrUnavailable)
		require.ErrorContains(t, err, `"fake:replica"`, "the error names the KEK")
		require.Nil(t, key)
		require.Nil(t, rec)
	})

	t.Run("fails after five seconds when a KEK hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			kek.Delay(time.Hour)
			begin := time.Now()
			_, _, err := keys.NewKey(t.Context(), acme)
			require.ErrorIs(t, err, keyring.ErrUnavailable)
			require.Equal(t, 5*time.Second, time.Since(begin))
		})
	})

	t.Run("rejects a wrapped key that no record can hold", func(t *testing.T) {
		for name, change := range map[string]func(*keyring.WrappedKey){
			"another KEK":    func(w *keyring.WrappedKey) { w.KEK.Key = "b" },
			"no blob":        func(w *keyring.WrappedKey) { w.Blob = nil },
			"a long blob":    func(w *keyring.WrappedKey) { w.Blob = make([]byte, 4097) },
			"a long version": func(w *keyring.WrappedKey) { w.Version = strings.Repeat("v", 1025) },
		} {
			keys := newKeyring(t, liar{keyringtest.NewFake("a"), change}, nil)
			_, _, err := keys.NewKey(t.Context(), acme)
			require.ErrorIs(t, err, keyring.ErrMalformed, name)
		}
	})

	t.Run("gives each KEK its own copy of the key", func(t *testing.T) {
		vandal := clearing{keyringtest.NewFake("a")}
		replica := keyringtest.NewFake("b")
		keys := newKeyring(t, vandal, &keyring.Options{Replicas: []keyring.KEK{replica}})
		key, rec, err := keys.NewKey(t.Context(), acme)
		require.NoError(t, err)
		defer key.Destroy()
		require.NotEqual(t, make([]byte, 32), keyring.KeyBytes(key))
		require.NoError(t, open(t, newKeyring(t, replica, nil), rec, acme), "the replica wrapped the same key")
	})
}

func TestKeyring_OpenKey(t *testing.T) {
	t.Run("names the KEKs of a record when none is configured", func(t *testing.T) {
		rec := newRecord(t, newKeyring(t, newLocal(t, "theirs", 1), nil), acme)
		kek, keys := newFake(t, "ours")
		err := open(t, keys, rec, acme)
		require.ErrorIs(t, err, keyring.ErrNoKey)
		require.ErrorContains(t, err, `"local:theirs"`)
		require.Zero(t, kek.Unwraps(), "a record cannot make a KEK use another key")
	})

	t.Run("tries the replica when the primary fails", func(t *testing.T) {
		for _, failure := range []error{keyring.ErrUnavailable, keyring.ErrNoKey, keyring.ErrKeyState, keyring.ErrDenied} {
			primary, replica := keyringtest.NewFake("primary"), keyringtest.NewFake("replica")
			keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{replica}})
			rec := newRecord(t, keys, acme)
			require.Equal(t, 1, replica.Wraps(), "a new key is wrapped under the replica too")
			primary.BreakUnwrap(failure)
			require.NoError(t, open(t, keys, rec, acme), "with the primary failing with %q", failure)
			require.Equal(t, 1, primary.Unwraps(), "the primary is tried first")
			require.Equal(t, 1, replica.Unwraps())
		}
	})

	t.Run("tries no replica for a tampered wrap", func(t *testing.T) {
		primary, replica := keyringtest.NewFake("primary"), keyringtest.NewFake("replica")
		keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{replica}})
		rec := newRecord(t, keys, acme)
		primary.BreakUnwrap(keyring.ErrTampered)
		require.ErrorIs(t, open(t, keys, rec, acme), keyring.ErrTampered)
		require.Zero(t, replica.Unwraps())
	})

	t.Run("tries replicas in configured order", func(t *testing.T) {
		primary, first, second := keyringtest.NewFake("p"), keyringtest.NewFake("r1"), keyringtest.NewFake("r2")
		rec := newRecord(t, newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{second, first}}), acme)
		keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{first, second}})
		primary.BreakUnwrap(keyring.ErrDenied)
		require.NoError(t, open(t, keys, rec, acme))
		require.Equal(t, 1, first.Unwraps(), "the configuration determines the order, not the record")
		require.Zero(t, second.Unwraps())
	})

	t.Run("prefers ErrUnavailable when every KEK fails", func(t *testing.T) {
		for name, test := range map[string]struct{ primary, replica, want error }{
			"unavailable first":  {keyring.ErrUnavailable, keyring.ErrDenied, keyring.ErrUnavailable},
			"unavailable second": {keyring.ErrDenied, keyring.ErrUnavailable, keyring.ErrUnavailable},
			"none unavailable":   {keyring.ErrKeyState, keyring.ErrDenied, keyring.ErrKeyState},
		} {
			primary, replica := keyringtest.NewFake("primary"), keyringtest.NewFake("replica")
			keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{replica}})
			rec := newRecord(t, keys, acme)
			primary.Break(test.primary)
			replica.Break(test.replica)
			require.ErrorIs(t, open(t, keys, rec, acme), test.want, name)
		}
	})

	t.Run("reaches the replica when the primary hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			primary, replica := keyringtest.NewFake("primary"), keyringtest.NewFake("replica")
			keys := newKeyring(t, primary, &keyring.Options{Replicas: []keyring.KEK{replica}})
			rec := newRecord(t, keys, acme)
			primary.Delay(time.Hour)
			begin := time.Now()
			require.NoError(t, open(t, keys, rec, acme), "an unresponsive region is not an outage")
			require.Equal(t, 2500*time.Millisecond, time.Since(begin), "the KEKs share the five seconds")
		})
	})
}

func TestKeyring_Calls(t *testing.T) {
	t.Run("reach no KEK with a context outside its limits", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		rec := newRecord(t, keys, acme)
		bad := keyring.Context{"": "x"}
		_, _, err := keys.NewKey(t.Context(), bad)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		require.ErrorIs(t, open(t, keys, rec, bad), keyring.ErrMalformed)
		_, err = keys.Rewrap(t.Context(), rec, bad)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		_, err = keys.SealEnvelope(t.Context(), nil, bad)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		require.Equal(t, 1, kek.Wraps()+kek.Unwraps(), "only newRecord made a call")
	})

	t.Run("end with their context", func(t *testing.T) {
		for name, call := range map[string]func(context.Context, *keyring.Keyring, keyring.Record) error{
			"NewKey": func(ctx context.Context, keys *keyring.Keyring, _ keyring.Record) error {
				_, _, err := keys.NewKey(ctx, acme)
				return err
			},
			"OpenKey": func(ctx context.Context, keys *keyring.Keyring, rec keyring.Record) error {
				_, err := keys.OpenKey(ctx, rec, acme)
				return err
			},
			"Rewrap": func(ctx context.Context, keys *keyring.Keyring, rec keyring.Record) error {
				_, err := keys.Rewrap(ctx, rec, acme)
				return err
			},
			"SealEnvelope": func(ctx context.Context, keys *keyring.Keyring, _ keyring.Record) error {
				_, err := keys.SealEnvelope(ctx, nil, acme)
				return err
			},
			"Check": func(ctx context.Context, keys *keyring.Keyring, _ keyring.Record) error { return keys.Check(ctx) },
		} {
			synctest.Test(t, func(t *testing.T) {
				kek, keys := newFake(t, "a")
				rec := newRecord(t, keys, acme)
				kek.Delay(time.Hour)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begin := time.Now()
				require.ErrorIs(t, call(ctx, keys, rec), context.DeadlineExceeded, name)
				require.Equal(t, time.Second, time.Since(begin), name)
				require.ErrorIs(t, call(ctx, keys, rec), context.DeadlineExceeded, name+" started after the deadline")
				require.Equal(t, time.Second, time.Since(begin), name)
				time.Sleep(time.Minute) // the detached work ends by itself
			})
		}
	})

	t.Run("treat a KEK's own deadline as an outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek := keyringtest.NewFake("a")
			keys := newKeyring(t, timed{kek}, nil)
			rec := newRecord(t, keys, acme)
			require.NoError(t, open(t, keys, rec, acme))
			kek.Delay(time.Hour)
			time.Sleep(pastSoft)
			require.NoError(t, open(t, keys, rec, acme), "a cached key remains in use")
			fresh := newKeyring(t, timed{kek}, nil)
			_, _, wrapping := fresh.NewKey(t.Context(), acme)
			for _, err := range []error{open(t, fresh, rec, acme), wrapping, fresh.Check(t.Context())} {
				require.ErrorIs(t, err, keyring.ErrUnavailable)
				require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller's context has not ended")
			}
		})
	})

	t.Run("return when a KEK ends its goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			keys := newKeyring(t, quitter{keyringtest.NewFake("a")}, nil)
			rec := newRecord(t, keys, acme)
			require.ErrorContains(t, open(t, keys, rec, acme), "ended its goroutine")
			require.ErrorContains(t, open(t, keys, rec, acme), "ended its goroutine", "for the next caller too")
			require.ErrorContains(t, keys.Check(t.Context()), "ended its goroutine")
		})
	})
}

// A timed KEK has a shorter limit than the keyring.
type timed struct{ *keyringtest.Fake }

func (k timed) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return k.Fake.Wrap(ctx, dek, c)
}

func (k timed) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return k.Fake.Unwrap(ctx, w, c)
}

// A quitter ends the goroutine of its caller, as a failed assertion in a test's KEK
// does.
type quitter struct{ *keyringtest.Fake }

func (quitter) Unwrap(context.Context, keyring.WrappedKey, keyring.Context) ([]byte, error) {
	runtime.Goexit()
	return nil, nil
}

// A liar returns wrapped keys that do not fit into a record.
type liar struct {
	*keyringtest.Fake
	change func(*keyring.WrappedKey)
}

func (k liar) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	w, err := k.Fake.Wrap(ctx, dek, c)
	k.change(&w)
	return w, err
}

type clearing struct{ *keyringtest.Fake }

func (k clearing) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	defer clear(dek)
	return k.Fake.Wrap(ctx, dek, c)
}

func TestKeyring_Rewrap(t *testing.T) {
	t.Run("moves a record and leaves its messages alone", func(t *testing.T) {
		old, fresh, replica := newLocal(t, "old", 1), newLocal(t, "fresh", 2), newLocal(t, "replica", 3)
		before := newKeyring(t, old, nil)
		key, rec, err := before.NewKey(t.Context(), acme)
		require.NoError(t, err)
		group, err := key.Group(web)
		require.NoError(t, err)
		message := seal(t, group, "a secret", apiKey7)
		kept := bytes.Clone(message)
		key.Destroy()

		after := newKeyring(t, fresh, &keyring.Options{Replicas: []keyring.KEK{replica}, Retired: []keyring.KEK{old}})
		require.NoError(t, open(t, after, rec, acme), "a retired KEK opens its records")
		moved, err := after.Rewrap(t.Context(), rec, acme)
		require.NoError(t, err)

		keks, err := moved.KEKs()
		require.NoError(t, err)
		require.Equal(t, []keyring.KEKID{fresh.ID(), replica.ID()}, keks, "the retired KEK is no longer in the record")
		oldID, _ := rec.ID()
		newID, _ := moved.ID()
		require.Equal(t, oldID, newID)
		oldTime, _ := rec.Created()
		newTime, _ := moved.Created()
		require.Equal(t, oldTime, newTime)

		without := newKeyring(t, fresh, nil)
		key, err = without.OpenKey(t.Context(), moved, acme)
		require.NoError(t, err, "the retired KEK is no longer needed")
		defer key.Destroy()
		group, err = key.Group(web)
		require.NoError(t, err)
		got, err := group.Open(nil, message, apiKey7)
		require.NoError(t, err)
		require.Equal(t, "a secret", string(got))
		require.Equal(t, kept, message, "messages do not change")
	})

	t.Run("returns no record with an error", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		rec := newRecord(t, keys, acme)
		kek.BreakWrap(keyring.ErrDenied)
		got, err := keys.Rewrap(t.Context(), rec, acme)
		require.ErrorIs(t, err, keyring.ErrDenied)
		require.Nil(t, got)
		kek.BreakWrap(nil)
		got, err = keys.Rewrap(t.Context(), rec, other)
		require.ErrorIs(t, err, keyring.ErrTampered, "another context fails")
		require.Nil(t, got)
	})
}

func TestOptions_Retired(t *testing.T) {
	t.Run("a retired KEK wraps nothing", func(t *testing.T) {
		primary, retired := keyringtest.NewFake("primary"), keyringtest.NewFake("retired")
		keys := newKeyring(t, primary, &keyring.Options{Retired: []keyring.KEK{retired}})
		newRecord(t, keys, acme)
		require.NoError(t, keys.Check(t.Context()))
		require.Zero(t, retired.Wraps())
	})
}

func TestKeyring_Stale(t *testing.T) {
	t.Run("reports why Rewrap would help, without a call", func(t *testing.T) {
		a, b := keyringtest.NewFake("a"), keyringtest.NewFake("b")
		alone := newKeyring(t, a, nil)
		both := newKeyring(t, a, &keyring.Options{Replicas: []keyring.KEK{b}})
		exchanged := newKeyring(t, b, &keyring.Options{Retired: []keyring.KEK{a}})
		one, two := newRecord(t, alone, acme), newRecord(t, both, acme)

		for name, test := range map[string]struct {
			keys *keyring.Keyring
			rec  keyring.Record
			why  string // empty if not stale
		}{
			"current":                      {alone, one, ""},
			"current, with a replica":      {both, two, ""},
			"without a new replica":        {both, one, `not wrapped under "fake:b"`},
			"with a removed replica":       {alone, two, "more keys"},
			"under a retired primary":      {exchanged, one, `not wrapped under "fake:b"`},
			"under a retired primary, too": {exchanged, two, "more keys"},
			"an invalid record":            {alone, keyring.Record("nothing"), "malformed"},
		} {
			calls := a.Wraps() + a.Unwraps() + b.Wraps() + b.Unwraps()
			why, stale := test.keys.Stale(test.rec)
			require.Equal(t, test.why != "", stale, name)
			require.Contains(t, why, test.why, name)
			require.Equal(t, calls, a.Wraps()+a.Unwraps()+b.Wraps()+b.Unwraps(), "Stale makes no call")
		}
	})

	t.Run("reports records under an older version", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kek, keys := newFake(t, "a")
			rec := newRecord(t, keys, acme)
			require.NoError(t, keys.Check(t.Context()))
			kek.Rotate()
			_, stale := keys.Stale(rec)
			require.False(t, stale, "the keyring has not seen the new version yet")
			time.Sleep(time.Minute)
			require.NoError(t, keys.Check(t.Context()))
			why, stale := keys.Stale(rec)
			require.True(t, stale, "Check has seen it")
			require.Equal(t, `wrapped under version "1" of "fake:a"; the newest is "2"`, why)

			rec, err := keys.Rewrap(t.Context(), rec, acme)
			require.NoError(t, err)
			_, stale = keys.Stale(rec)
			require.False(t, stale)
		})
	})

	// After a rotation, the nodes of a service may use different versions for a while.
	t.Run("does not mistake an older version for the newest", func(t *testing.T) {
		for name, test := range map[string]struct {
			versions []string // of the wraps, in this order
			stale    []bool   // after all of them
		}{
			"an older number":        {[]string{"9", "10", "9"}, []bool{true, false, true}},
			"a newer number":         {[]string{"9", "10"}, []bool{true, false}},
			"versions without order": {[]string{"b", "a"}, []bool{true, false}},
			"a number after a word":  {[]string{"a", "1"}, []bool{true, false}},
			"no version":             {[]string{"1", ""}, []bool{false, true}},
		} {
			t.Run(name, func(t *testing.T) {
				kek := &versioned{Fake: keyringtest.NewFake("a")}
				keys := newKeyring(t, kek, nil)
				var records []keyring.Record
				for _, kek.version = range test.versions {
					records = append(records, newRecord(t, keys, acme))
				}
				for i, rec := range records {
					_, stale := keys.Stale(rec)
					require.Equal(t, test.stale[i], stale, "the record under version %q", test.versions[i])
				}
			})
		}
	})

	t.Run("knows no version before the first wrap", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		rec := newRecord(t, keys, acme)
		kek.Rotate()
		fresh := newKeyring(t, kek, nil)
		_, stale := fresh.Stale(rec)
		require.False(t, stale)
		newRecord(t, fresh, acme)
		_, stale = fresh.Stale(rec)
		require.True(t, stale, "its first Wrap returned the version")
	})
}

// A versioned KEK reports a configurable version.
type versioned struct {
	*keyringtest.Fake
	version string
}

func (v *versioned) Wrap(ctx context.Context, dek []byte, c keyring.Context) (keyring.WrappedKey, error) {
	w, err := v.Fake.Wrap(ctx, dek, c)
	w.Version = v.version
	return w, err
}

func TestKeyring_OpenEnvelope(t *testing.T) {
	t.Run("opens under the same context", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		envelope, err := keys.SealEnvelope(t.Context(), []byte("a secret"), acme)
		require.NoError(t, err)
		for range 3 {
			got, err := keys.OpenEnvelope(t.Context(), envelope, acme)
			require.NoError(t, err)
			require.Equal(t, "a secret", string(got))
		}
		require.Equal(t, 1, kek.Wraps())
		require.Equal(t, 1, kek.Unwraps(), "the data key is cached")
	})
}

func TestKeyring_SealEnvelope(t *testing.T) {
	t.Run("rejects a large plaintext without a call", func(t *testing.T) {
		kek, keys := newFake(t, "a")
		got, err := keys.SealEnvelope(t.Context(), make([]byte, keyring.MaxPlaintext+1), acme)
		require.ErrorIs(t, err, keyring.ErrMalformed)
		require.Nil(t, got)
		require.Zero(t, kek.Wraps())
	})
}
