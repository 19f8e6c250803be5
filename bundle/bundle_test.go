package bundle_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestNew(t *testing.T) {
	t.Run("sorts the secrets and copies its arguments", func(t *testing.T) {
		in := []bundle.Secret{secret("B", "2"), secret("A", "1"), secret("_c", "3")}
		meta := &bundle.Meta{Revision: "r1", Problems: []bundle.Problem{{Name: "X"}}, Notices: []string{"n"}}
		b, err := bundle.New(in, meta)
		require.NoError(t, err)

		in[0].Name, meta.Problems[0].Name, meta.Notices[0] = "Z", "Y", "other"
		got := b.Meta()
		got.Problems[0].Name, got.Notices[0] = "Y", "other"
		b.Problems()[0].Name = "Y"

		require.Equal(t, []string{"A", "B", "_c"}, names(b), "sorted by name, and unaffected by the caller's changes")
		require.Equal(t, "X", b.Problems()[0].Name, "the problems are copied on the way in and out")
		require.Equal(t, []string{"n"}, b.Meta().Notices, "the notices are copied on the way in and out")
		require.Equal(t, "r1", b.Revision())
		require.Equal(t, 3, b.Len())
	})

	t.Run("rejects an invalid secret", func(t *testing.T) {
		for _, row := range []struct {
			about, want string
			secret      bundle.Secret
		}{
			{"no name", `the name is empty; want letters, digits and _, not starting with a digit`, secret("", canary)},
			{"a digit first", `the name "1A" has '1' at byte 0`, secret("1A", canary)},
			{"a dash", `the name "A-B" has '-' at byte 1`, secret("A-B", canary)},
			{"an equals sign", `the name "A=B" has '=' at byte 1`, secret("A=B", canary)},
			{"not ASCII", `at byte 1`, secret("Aé", canary)},
			{"too long", `has 129 bytes; at most 128 are allowed`, secret(strings.Repeat("A", 129), canary)},
			{"NUL", `secret "A" (test A): the value has a NUL at byte 30; encode binary data, for example as base64`, secret("A", canary+"\x00")},
			{"not UTF-8", `secret "A" (test A): the value is not valid UTF-8 at byte 30`, secret("A", canary+"\xc3")},
			{"delivery", `unknown delivery "mail"; want "env", "file" or "broker"`, bundle.Secret{Name: "A", Value: bundle.NewValue(canary), Delivery: "mail"}},
		} {
			t.Run(row.about, func(t *testing.T) {
				b, err := bundle.New([]bundle.Secret{secret("OK", canary), row.secret}, nil)
				require.ErrorContains(t, err, row.want, "the error states the broken rule")
				require.Empty(t, leak(err.Error()), "the error contains no value")
				require.Nil(t, b, "no partial bundle is returned")
			})
		}
	})

	t.Run("rejects a name that occurs twice", func(t *testing.T) {
		x, y := secret("A", canary), secret("A", canary)
		x.Origin, y.Origin = bundle.Origin{Provider: "dotenv", Location: ".env:1"}, bundle.Origin{Provider: "dotenv", Location: ".env:7"}
		_, err := bundle.New([]bundle.Secret{x, secret("B", ""), y}, nil)
		require.EqualError(t, err, `secret "A" occurs twice: dotenv .env:1 and dotenv .env:7; remove one`)

		x.Origin, y.Origin = bundle.Origin{}, bundle.Origin{}
		_, err = bundle.New([]bundle.Secret{x, y}, nil)
		require.EqualError(t, err, `secret "A" occurs twice; remove one`)
	})
}

func names(b *bundle.Bundle) []string {
	var names []string
	for s := range b.All() {
		names = append(names, s.Name)
	}
	return names
}

func TestBundle_Get(t *testing.T) {
	b := mustNew(t, secret("A", "1"), secret("C", "3"), secret("E", "5"))
	for name, value := range map[string]string{"A": "1", "C": "3", "E": "5"} {
		s, ok := b.Get(name)
		require.True(t, ok, "%s is present", name)
		require.Equal(t, value, s.Value.Reveal())
		require.Equal(t, bundle.DeliverEnv, s.Delivery, "the default delivery is the environment")
	}
	for _, name := range []string{"", "0", "B", "D", "F", "a"} {
		_, ok := b.Get(name)
		require.False(t, ok, "%q is missing", name)
	}
}

func TestBundle_AllStopsEarly(t *testing.T) {
	for s := range mustNew(t, secret("A", ""), secret("B", "")).All() {
		require.Equal(t, "A", s.Name)
		break
	}
}

func TestCheckName(t *testing.T) {
	require.NoError(t, bundle.CheckName(strings.Repeat("a", bundle.MaxName)))
	require.NoError(t, bundle.CheckName("_"))
	require.NoError(t, bundle.CheckName("azAZ09_"))
}

func TestCheckValue(t *testing.T) {
	t.Run("accepts any valid UTF-8 without NUL", func(t *testing.T) {
		for _, s := range []string{"", " ", "\n\r\t\x01\x7f", "\ufffd", "\ufeff", "héé 漢 😀"} {
			require.NoError(t, bundle.CheckValue(bundle.NewValue(s)), "%q is valid", s)
		}
	})
}

func TestBundle_Nil(t *testing.T) {
	var b *bundle.Bundle
	_, ok := b.Get("A")
	require.False(t, ok)
	require.Zero(t, b.Len())
	require.Empty(t, names(b))
	require.Empty(t, b.Revision())
	require.True(t, b.Expires().IsZero())
	require.Equal(t, bundle.Meta{}, b.Meta())
	require.Empty(t, b.Problems())
	require.Empty(t, b.Trace("A"))
	require.Empty(t, b.Shadowed())
	require.Empty(t, b.Environ())
	require.Equal(t, "bundle of 0: ", b.String())
	require.True(t, b.Equal(mustNew(t)), "nil equals an empty bundle")
	require.True(t, mustNew(t).Equal(b), "an empty bundle equals nil")
	require.True(t, bundle.Compare(b, nil).Empty())
	require.Zero(t, bundle.Merge(b, nil).Len())
}

func TestBundle_Expires(t *testing.T) {
	early := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b, c := secret("A", ""), secret("B", ""), secret("C", "")
	b.Expires, c.Expires = early.Add(time.Hour), early
	require.Equal(t, early, mustNew(t, a, b, c).Expires())
	require.True(t, mustNew(t, a).Expires().IsZero(), "secrets without an expiry do not count")
}

func TestBundle_Environ(t *testing.T) {
	file, broker := secret("FILE", "f"), secret("BROKER", "b")
	file.Delivery, broker.Delivery = bundle.DeliverFile, bundle.DeliverBroker
	b := mustNew(t, secret("B", "2=3\n"), secret("A", ""), file, broker)
	require.Equal(t, []string{"A=", "B=2=3\n"}, b.Environ(), "all secrets delivered by environment, sorted by name")
	require.Equal(t, []string{"B=2=3\n", "A="}, b.Environ("B", "MISSING", "FILE", "BROKER", "A"), "the named ones, in the given order")
	require.Empty(t, b.Environ("MISSING"), "a missing name does not mean all")
}

func TestBundle_LogValue(t *testing.T) {
	t.Run("shows the names and the revision", func(t *testing.T) {
		b, err := bundle.New([]bundle.Secret{secret("B", canary), secret("A", canary)}, &bundle.Meta{Revision: "r7"})
		require.NoError(t, err)
		require.Equal(t, "bundle of 2: A, B", b.String())
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "b", b)
		require.Contains(t, log.String(), `b.revision=r7 b.names="[A B]"`)
	})
}

func TestOrigin_String(t *testing.T) {
	require.Equal(t, "dotenv .env:12", bundle.Origin{Provider: "dotenv", Location: ".env:12"}.String())
	require.Equal(t, "static", bundle.Origin{Provider: "static"}.String())
}

func TestBundle_Concurrency(t *testing.T) {
	t.Run("concurrent readers see an immutable bundle", func(t *testing.T) {
		b := bundle.Merge(mustNew(t, secret("A", "1")), mustNew(t, secret("A", "2"), secret("B", "3")))
		want := b.Environ()
		done := make(chan bool)
		for range 8 {
			go func() {
				same := true
				for range 100 {
					_ = bundle.Merge(b, b)
					same = same && slices.Equal(want, b.Environ()) && len(b.Shadowed()) == 1 && b.Equal(b)
				}
				done <- same
			}()
		}
		for range 8 {
			require.True(t, <-done, "a bundle is immutable")
		}
	})
}
