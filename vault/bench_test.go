package vault_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

func BenchmarkBootstrap_Warm(b *testing.B) {
	f := newFixture(b)
	token := f.Fifty(b)
	require.Equal(b, 50, f.Bundle(b, token).Len())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Bootstrap(b.Context(), token, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBootstrap_Unchanged(b *testing.B) {
	f := newFixture(b)
	token := f.Fifty(b)
	req := &vault.BootstrapRequest{IfNoneMatch: f.Bundle(b, token).Revision()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Bootstrap(b.Context(), token, req); !errors.Is(err, vault.ErrUnchanged) {
			b.Fatal(err)
		}
	}
}
