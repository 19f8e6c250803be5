package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
)

func TestConfig_RequireData(t *testing.T) {
	// stored returns the folder of a platform that has stored a secret.
	stored := func(t *testing.T, args ...string) string {
		dir := t.TempDir()
		p := start(t, dir, args...)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		require.Equal(t, exitOK, p.stop())
		return dir
	}
	refuses := func(t *testing.T, says string, args ...string) {
		t.Helper()
		code, out, stderr := command(t, append([]string{"-listen", "127.0.0.1:0"}, args...)...)
		require.Equal(t, exitUsage, code, stderr)
		require.Contains(t, stderr, says)
		require.Contains(t, stderr, "; if it is new, start it once with -new-database\n")
		require.Contains(t, stderr, "nothing was started")
		require.Empty(t, out)
	}

	t.Run("refuses a new file beside an older key or token", func(t *testing.T) {
		dir := stored(t)
		in := func(name string) string { return filepath.Join(dir, name) }
		elsewhere := filepath.Join(t.TempDir(), "volume", "satchel.db") // the folder of a volume that is not mounted
		for range 2 {
			refuses(t, "-database: "+elsewhere+" is empty, but "+in("kek")+" exists and "+in("admin-token")+" exists; if this platform has stored data, mount its volume, correct -data or -database, or restore satchel.db together with its -wal file",
				"-data", dir, "-database", elsewhere)
			require.NoDirExists(t, filepath.Dir(elsewhere), "nothing was created")
		}
		require.NoError(t, os.Remove(in("kek")))
		refuses(t, " is empty, but "+in("admin-token")+" exists; if", "-data", dir, "-database", elsewhere)
		require.NoError(t, os.WriteFile(elsewhere[:len(elsewhere)-len("/volume/satchel.db")]+"/empty.db", nil, 0o600))
		refuses(t, "empty.db is empty, but ", "-data", dir, "-database", filepath.Join(filepath.Dir(filepath.Dir(elsewhere)), "empty.db"))
		retired := filepath.Join(t.TempDir(), "old")
		require.Equal(t, exitOK, first(command(t, "keygen", retired)))
		refuses(t, "satchel.db is empty, but -kek-retired is set; if", "-data", filepath.Join(t.TempDir(), "new"), "-kek-retired", "local:"+retired)

		p := start(t, dir, "-database", elsewhere, "-new-database")
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		require.Equal(t, exitOK, p.stop())
		require.NotContains(t, p.err.String(), "-new-database")
		require.Equal(t, exitOK, start(t, dir, "-database", elsewhere).stop())
		p = start(t, dir, "-database", elsewhere, "-new-database")
		require.Equal(t, exitOK, p.stop())
		require.Contains(t, p.err.String(), "-new-database is set, but the database has data; remove it")
	})

	t.Run("refuses a copy of an SQLite file without its WAL", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, dir)
		p.put("acme", "API_KEY", "made-up-value-of-acme")
		content, err := os.ReadFile(filepath.Join(dir, "satchel.db")) // all is in the WAL
		require.NoError(t, err)
		require.Equal(t, exitOK, p.stop())
		restored := t.TempDir()
		database := filepath.Join(restored, "satchel.db")
		require.NoError(t, os.WriteFile(database, content, 0o600))
		says := database + " is empty, but " + "its -wal file is missing; if this platform has stored data, mount its volume, correct -data or -database, or restore satchel.db together with its -wal file"
		refuses(t, says, "-data", restored)
		entries, err := os.ReadDir(restored)
		require.NoError(t, err)
		require.Len(t, entries, 1, "nothing was created")
		require.NoError(t, os.Rename(filepath.Join(dir, "satchel.db"), filepath.Join(dir, "away")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "satchel.db"), content, 0o600))
		refuses(t, " is empty, but ", "-data", dir)
	})

	t.Run("refuses an empty database for commands that read data, and creates no tables", func(t *testing.T) {
		dir := stored(t)
		database := filepath.Join(t.TempDir(), "other.db")
		require.NoError(t, os.WriteFile(database, nil, 0o600))
		for _, args := range [][]string{{"rewrap", "-data", dir, "-database", database}, {"export", "-data", dir, "-database", database, filepath.Join(dir, "backup")}} {
			code, _, stderr := command(t, args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, "-database: "+database+" is empty, but "+args[0]+" needs data and ")
			require.NotContains(t, stderr, "-new-database")
			content, err := os.ReadFile(database)
			require.NoError(t, err)
			require.Empty(t, content, "a start would take tables for a vault that has stored nothing yet")
		}
		require.NoFileExists(t, filepath.Join(dir, "backup"))
	})

	t.Run("refuses a PostgreSQL database or schema without tables", func(t *testing.T) {
		dir := stored(t)
		database := postgrestest.Schema(t)
		refuses(t, ` is empty, but `+filepath.Join(dir, "kek")+` exists and `+filepath.Join(dir, "admin-token")+" exists; if this platform has stored data, correct -database, its search_path, or the files", "-data", dir, "-database", database)
		p := start(t, dir, "-database", database, "-new-database")
		require.Equal(t, exitOK, p.stop())
		require.Equal(t, exitOK, start(t, dir, "-database", database).stop())
	})

	t.Run("accepts a restart before anything is stored", func(t *testing.T) {
		dir := t.TempDir()
		require.Equal(t, exitOK, start(t, dir).stop())
		p := start(t, dir)
		require.Equal(t, exitOK, p.stop())
		require.Contains(t, p.err.String(), "nothing is stored in the database yet; if this platform has stored data, stop it and correct -data or -database", "it could be a database from which everything was lost")
	})

	t.Run("accepts a start after one that failed", func(t *testing.T) {
		dir := t.TempDir()
		require.Equal(t, exitFailed, first(command(t, "-data", dir, "-listen", "127.0.0.1:0", "-database", "postgres://127.0.0.1:1/d")))
		require.Equal(t, exitOK, start(t, dir).stop())
	})

	t.Run("does not concern import", func(t *testing.T) {
		dir := stored(t)
		backup := filepath.Join(t.TempDir(), "backup.skx")
		require.Equal(t, exitOK, first(command(t, "export", "-data", dir, backup)))
		code, _, stderr := command(t, "import", "-data", dir, "-database", filepath.Join(t.TempDir(), "other.db"), backup)
		require.Equal(t, exitOK, code, stderr)
	})
}
