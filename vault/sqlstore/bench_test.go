package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
)

// BenchmarkUnchangedPoll is what a waiting runner costs: the token and the
// seals of its path.
func BenchmarkUnchangedPoll(b *testing.B) {
	store := openStore(b, newFile(b))
	for n := range 100 {
		require.NoError(b, store.Apply(b.Context(), testChange(n+1)))
	}
	q := vault.Query{Token: testTokenID(100), SealsOnly: true}
	b.ReportAllocs()
	for b.Loop() {
		snap, err := store.Read(b.Context(), q)
		if err != nil || snap.Token == nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges is what watching costs where nothing has changed.
func BenchmarkChanges(b *testing.B) {
	store := openStore(b, newFile(b))
	require.NoError(b, store.Apply(b.Context(), testChange(1)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := store.Changes(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead50 reads a whole path with 50 secrets.
func BenchmarkRead50(b *testing.B) {
	store := openStore(b, newFile(b))
	change := testChange(1)
	for i := range 49 {
		row := testSecret(1)
		row.Name = fmt.Sprintf("NAME_%d", i)
		change.Insert = append(change.Insert, row)
	}
	require.NoError(b, store.Apply(b.Context(), change))
	q := vault.Query{Token: testTokenID(1)}
	b.ReportAllocs()
	for b.Loop() {
		snap, err := store.Read(b.Context(), q)
		if err != nil || len(snap.Path[1].Secrets) != 50 {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply is a write of every table, with its sync to the disk.
func BenchmarkApply(b *testing.B) {
	store := openStore(b, newFile(b))
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if err := store.Apply(b.Context(), testChange(n)); err != nil {
			b.Fatal(err)
		}
	}
}
