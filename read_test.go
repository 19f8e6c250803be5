package satchel_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// reading returns a client with n secrets, including NAME_25, and a derived value
// of NAME_25.
func reading(t testing.TB, n int) (*satchel.Client, *satchel.Derived[string]) {
	var secrets []bundle.Secret
	for i := range n {
		secrets = append(secrets, secret(fmt.Sprintf("NAME_%02d", i), "value"))
	}
	c, err := satchel.New(t.Context(), []bundle.Provider{newSource("s", gives(bundleOf(secrets...)))}, quiet())
	require.NoError(t, err)
	return c, satchel.Derive(c, func(b *bundle.Bundle) (string, error) {
		s, _ := b.Get("NAME_25")
		return s.Value.Reveal(), nil
	}, "NAME_25")
}

func TestRead_Allocations(t *testing.T) {
	c, d := reading(t, 50)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s, _ := c.Bundle().Get("NAME_25")
		_ = s.Value.Reveal()
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = d.Get() }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = d.Use(func(string) error { return nil }) }))
}

func BenchmarkBundle(b *testing.B) {
	c, _ := reading(b, 50)
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Bundle()
	}
}

func BenchmarkBundle_Get(b *testing.B) {
	for _, n := range []int{50, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, _ := reading(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.Bundle().Get("NAME_25"); !ok {
					b.Fatal("the secret is missing")
				}
			}
		})
	}
}

func BenchmarkBundle_GetParallel(b *testing.B) {
	c, _ := reading(b, 50)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := c.Bundle().Get("NAME_25"); !ok {
				b.Error("the secret is missing")
			}
		}
	})
}

func BenchmarkDerived_Get(b *testing.B) {
	_, d := reading(b, 50)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Get(); err != nil {
			b.Fatal(err)
		}
	}
}
