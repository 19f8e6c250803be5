package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// benchEach runs a benchmark on a new database of each kind, which syncs every write
// to the disk.
func benchEach(b *testing.B, run func(b *testing.B, storage *sqlstore.Store)) {
	b.Run("SQLite", func(b *testing.B) { run(b, openStore(b, newFile(b))) })
	b.Run("PostgreSQL", func(b *testing.B) { run(b, openPostgres(b, postgrestest.StartOnDisk(b).DSN())) })
}

// BenchmarkStore_Poll reads the token and the seals for an unchanged poll.
func BenchmarkStore_Poll(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		for n := range 100 {
			require.NoError(b, storage.Apply(b.Context(), testChange(n+1)))
		}
		q := store.Query{Token: testTokenID(100), SealsOnly: true}
		b.ReportAllocs()
		for b.Loop() {
			snap, err := storage.Read(b.Context(), q)
			if err != nil || snap.Token == nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Changes finds no change.
func BenchmarkStore_Changes(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		require.NoError(b, storage.Apply(b.Context(), testChange(1)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := storage.Changes(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Read reads a path with 50 secrets.
func BenchmarkStore_Read(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		change := testChange(1)
		for i := range 49 {
			row := testSecret(1)
			row.Name = fmt.Sprintf("NAME_%d", i)
			change.Insert = append(change.Insert, row)
		}
		require.NoError(b, storage.Apply(b.Context(), change))
		q := store.Query{Token: testTokenID(1)}
		b.ReportAllocs()
		for b.Loop() {
			snap, err := storage.Read(b.Context(), q)
			if err != nil || len(snap.Path[1].Secrets) != 50 {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Apply writes every table, with a sync to the disk.
func BenchmarkStore_Apply(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			n++
			if err := storage.Apply(b.Context(), testChange(n)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Append writes a batch of 100 audit entries.
func BenchmarkStore_Append(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			change := &store.Change{}
			for range 100 {
				n++
				change.Append = append(change.Append, testEntry("acme", n))
			}
			if err := storage.Apply(b.Context(), change); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Touch records the uses of a thousand tokens.
func BenchmarkStore_Touch(b *testing.B) {
	benchEach(b, func(b *testing.B, storage *sqlstore.Store) {
		change := &store.Change{}
		uses := make([]store.Usage, 1000)
		for n := range uses {
			change.Issue = append(change.Issue, testToken(n))
			uses[n] = store.Usage{Token: testTokenID(n), Addr: "192.0.2.7:4711", Runner: "runner-7"}
		}
		require.NoError(b, storage.Apply(b.Context(), change))
		at := 0
		b.ReportAllocs()
		for b.Loop() {
			at++
			for n := range uses {
				uses[n].Time = testTime(at)
			}
			if err := storage.Touch(b.Context(), uses); err != nil {
				b.Fatal(err)
			}
		}
	})
}
