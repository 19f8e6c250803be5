package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/postgrestest"
	"github.com/satchelhq/satchel/vault/sqlstore"
	"github.com/satchelhq/satchel/vault/store"
)

// The tests below run this test binary as another process. The variable names one
// of children.
const childVariable = "SATCHEL_SQLSTORE_CHILD"

var children = map[string]func(context.Context, place) error{
	"count": countingChild,
	"write": writingChild,
}

func TestMain(m *testing.M) {
	child, ok := children[os.Getenv(childVariable)]
	if !ok {
		os.Exit(postgrestest.Run(m))
	}
	if err := child(context.Background(), place{os.Args[1], os.Args[2]}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// place is the driver and data source name of a store.
type place struct{ driver, name string }

// open returns the store, which stays open until the process ends.
func (p place) open(ctx context.Context) (*sqlstore.Store, error) {
	db, err := sql.Open(p.driver, p.name)
	if err != nil {
		return nil, err
	}
	return sqlstore.Open(ctx, db, map[string]sqlstore.Dialect{"sqlite": sqlstore.SQLite, "pgx": sqlstore.Postgres}[p.driver])
}

// process is a child process. It continues when its standard input is closed, and
// ends at the latest with the parent.
type process struct {
	*exec.Cmd
	in  io.Closer
	out io.Reader
}

func start(t *testing.T, child string, at place) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.CommandContext(t.Context(), exe, at.driver, at.name)}
	p.Env = append(os.Environ(), childVariable+"="+child)
	p.Stderr = os.Stderr
	p.in, err = p.StdinPipe()
	require.NoError(t, err)
	p.out, err = p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

const countEach = 5

// countingChild waits for its input to end, opens the store, and adds to the
// chain of changes countEach times.
func countingChild(ctx context.Context, at place) error {
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	storage, err := at.open(ctx)
	if err != nil {
		return err
	}
	for done := 0; done < countEach; {
		snap, err := storage.Read(ctx, testQuery)
		if err != nil {
			return err
		}
		err = storage.Apply(ctx, testChange(sealNumber(snap.Path[1].Seal)+1))
		if err == nil {
			done++
		} else if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

func TestProcess_Start(t *testing.T) {
	t.Run("on a new file", func(t *testing.T) {
		file := newFile(t)
		startTen(t, place{"sqlite", file})
		requireChange(t, 10*countEach, mustRead(t, openStore(t, file), testQuery))
	})
	t.Run("on an empty PostgreSQL", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		startTen(t, place{"pgx", dsn})
		requireChange(t, 10*countEach, mustRead(t, openPostgres(t, dsn), testQuery))
	})
	t.Run("on a PostgreSQL of the first version", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		openPostgres(t, dsn)
		runPostgres(t, openPostgresDB(t, dsn), asVersion1)
		startTen(t, place{"pgx", dsn})
		requireChange(t, 10*countEach, mustRead(t, openPostgres(t, dsn), testQuery))
	})
}

// startTen releases ten waiting processes together on a store.
func startTen(t *testing.T, at place) {
	t.Helper()
	var all []*process
	for range 10 {
		p := start(t, "count", at)
		_, err := bufio.NewReader(p.out).ReadString('\n')
		require.NoError(t, err)
		all = append(all, p)
	}
	for _, p := range all {
		require.NoError(t, p.in.Close())
	}
	for _, p := range all {
		require.NoError(t, p.Wait(), "each process opens the store and writes")
	}
}

// writingChild opens the store and adds to the chain of changes until it is
// killed. It prints the number of each change that is stored.
func writingChild(ctx context.Context, at place) error {
	go func() { // returns when the parent has ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(2)
	}()
	storage, err := at.open(ctx)
	if err != nil {
		return err
	}
	snap, err := storage.Read(ctx, testQuery)
	if err != nil {
		return err
	}
	for n := sealNumber(snap.Path[1].Seal) + 1; ; n++ {
		if err := storage.Apply(ctx, testChange(n)); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(strconv.Itoa(n) + "\n"); err != nil {
			return err
		}
	}
}

func TestProcess_Killed(t *testing.T) {
	t.Run("loses no acknowledged write to SQLite", func(t *testing.T) {
		file := newFile(t)
		random := rand.New(rand.NewPCG(1, 2))
		const rounds = 60
		stored := 0 // found by the last round
		inside := 0 // rounds with a kill between COMMIT and the acknowledgment
		for round := range rounds {
			p := start(t, "write", place{"sqlite", file})
			acknowledged := killSome(t, p, round, random, stored)

			// In every other round a copy is checked, so that the next child finds the
			// files as the killed one left them.
			look := file
			if round%2 == 1 {
				look = copyFiles(t, file)
			}
			db := openDB(t, look)
			var verdict string
			require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
			require.Equal(t, "ok", verdict, "round %d", round)
			storage, err := sqlstore.Open(t.Context(), db, sqlstore.SQLite)
			require.NoError(t, err, "round %d", round)
			n := requireAcknowledged(t, storage, round, acknowledged)
			require.NoError(t, db.Close())
			if n > acknowledged {
				inside++
			}
			stored = n
		}
		require.Greater(t, stored, rounds, "the children have written")
		t.Logf("%d changes in %d rounds; in %d the child was killed between a commit and its acknowledgment", stored, rounds, inside)
	})

	t.Run("loses no acknowledged write to PostgreSQL", func(t *testing.T) {
		dsn := postgrestest.Schema(t)
		db := openPostgresDB(t, dsn)
		random := rand.New(rand.NewPCG(1, 2))
		name := "killed " + currentSchema(t, db)
		const rounds = 30
		stored, inside := 0, 0 // as for SQLite
		for round := range rounds {
			acknowledged := killSome(t, start(t, "write", place{"pgx", postgrestest.With(dsn, "application_name", name)}), round, random, stored)
			// The server notices the kill with a delay. Until then it may commit what it
			// has received, and it holds the lock.
			require.Eventually(t, func() bool {
				var count int
				require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name).Scan(&count))
				return count == 0
			}, 30*time.Second, 5*time.Millisecond, "round %d: the server keeps the connections of a killed process", round)

			storage, err := sqlstore.Open(t.Context(), db, sqlstore.Postgres)
			require.NoError(t, err, "round %d", round)
			n := requireAcknowledged(t, storage, round, acknowledged)
			if n > acknowledged {
				inside++
			}
			stored = n
		}
		require.Greater(t, stored, rounds, "the children have written")
		t.Logf("%d changes in %d rounds; in %d the child was killed between a commit and its acknowledgment", stored, rounds, inside)
	})
}

// killSome kills a writing child, every sixth at its start and the others after
// a few changes. It returns the last number that was acknowledged.
func killSome(t *testing.T, p *process, round int, random *rand.Rand, acknowledged int) int {
	t.Helper()
	lines := bufio.NewScanner(p.out)
	read := func() bool {
		if !lines.Scan() {
			return false
		}
		n, err := strconv.Atoi(lines.Text())
		require.NoError(t, err, "a partial line is not an acknowledgment")
		acknowledged = n
		return true
	}
	if round%6 != 0 {
		for range 1 + random.IntN(10) {
			require.True(t, read(), "round %d: the child ended unexpectedly", round)
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
	} else {
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
	}
	require.NoError(t, p.Process.Kill())
	for read() {
	}
	_ = p.Wait()
	return acknowledged
}

// requireAcknowledged fails the test unless the store has exactly the acknowledged
// changes, or one more. It returns the number of the newest.
func requireAcknowledged(t *testing.T, storage *sqlstore.Store, round, acknowledged int) int {
	t.Helper()
	snap := mustRead(t, storage, testQuery)
	n := sealNumber(snap.Path[1].Seal)
	require.GreaterOrEqual(t, n, acknowledged, "round %d: an acknowledged change is gone", round)
	require.LessOrEqual(t, n, acknowledged+1, "round %d: there is a change that the child cannot have made", round)
	requireChange(t, n, snap)
	newest, _, err := storage.Changes(t.Context(), 0)
	require.NoError(t, err)
	require.EqualValues(t, n, newest, "round %d: each change was counted", round)
	return n
}

// copyFiles copies a database with its WAL. No process may have it open.
func copyFiles(t *testing.T, file string) string {
	t.Helper()
	to := newFile(t)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(file + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to+suffix, b, 0o600))
	}
	return to
}
