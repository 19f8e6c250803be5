package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Signals that postgres interprets as shutdown modes.
const (
	fast      = syscall.SIGINT
	immediate = syscall.SIGQUIT
)

// within is the longest time for starting or stopping a server.
const within = time.Minute

// Server is a PostgreSQL server from [Start] or [StartOnDisk]. Its methods must not be called
// concurrently. They fail the test after a minute.
type Server struct {
	bin   string    // the folder with its programs
	dir   string    // holds the data, the socket and the log
	lock  io.Closer // nil, or marks dir as in use
	as    identity
	fsync bool
	// settings are arguments of postgres in addition to those of start.
	settings []string
	*child
}

// Start returns a server for t alone, which is stopped and removed after the test.
// It ignores SATCHEL_POSTGRES. The server does not wait for the disk: its data
// survives [Server.Crash], but not a crash of the machine.
//
// Start skips or fails the test if the machine has no PostgreSQL, as [Schema] does.
func Start(t testing.TB) *Server {
	t.Helper()
	return startServer(t, false)
}

// StartOnDisk is [Start] for measurements: the server waits for the disk, so that the
// cost of a write includes its sync.
func StartOnDisk(t testing.TB) *Server {
	t.Helper()
	return startServer(t, true)
}

func startServer(t testing.TB, fsync bool) *Server {
	t.Helper()
	s, err := newServer(fsync)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(s.remove)
	return s
}

// DSN returns the data source name, for pgx, of the database postgres on the server,
// for a superuser.
func (s *Server) DSN() string {
	return "host='" + s.dir + "' port=5432 user=postgres dbname=postgres sslmode=disable"
}

// Stop shuts the server down cleanly. It ends all connections.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.end(fast); err != nil {
		t.Fatalf("postgrestest: stopping the server: %v", err)
	}
}

// Crash ends the server immediately and without cleanup, so that the next start needs
// recovery.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	if err := s.end(immediate); err != nil {
		t.Fatalf("postgrestest: crashing the server: %v", err)
	}
}

// Start starts the server again after Stop or Crash, and returns when it accepts
// connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("postgrestest: starting the server again: %v", err)
	}
}

// newServer returns a running server with an empty database.
func newServer(fsync bool) (*Server, error) {
	s, err := newFolder(fsync)
	if err != nil {
		return nil, err
	}
	if err = s.initialize(); err == nil {
		err = s.start()
	}
	if err != nil {
		s.remove()
		return nil, fmt.Errorf("starting a server: %w", err)
	}
	return s, nil
}

// newFolder returns a server that has an empty folder and no data.
func newFolder(fsync bool) (*Server, error) {
	bin, err := programs(os.Getenv("PATH"), installed)
	if err != nil {
		return nil, err
	}
	as, err := identify()
	if err != nil {
		return nil, err
	}
	dir, lock, err := createFolder(!fsync)
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, lock: lock, as: as, fsync: fsync}
	if err := s.as.own(dir); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// prefix begins the names of the servers' folders. It is short, because the path of a
// Unix socket is limited to about 100 bytes.
const prefix = "satchel-pg-"

// installed matches the folders of Debian's packages.
const installed = "/usr/lib/postgresql/*/bin"

// programs returns the folder with initdb and postgres: the first in path, a list of
// folders, or the newest version that pattern matches.
func programs(path, pattern string) (string, error) {
	folders := filepath.SplitList(path)
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(x, y string) int { return compareVersions(y, x) })
	for _, folder := range append(folders, found...) {
		// initdb looks for postgres in its own folder, after resolving links.
		initdb, err := filepath.EvalSymlinks(filepath.Join(folder, "initdb"))
		if err != nil {
			continue
		}
		if _, err := exec.LookPath(filepath.Join(filepath.Dir(initdb), "postgres")); err == nil {
			return filepath.Dir(initdb), nil
		}
	}
	return "", errNoServer
}

// compareVersions compares folders like /usr/lib/postgresql/9.6/bin by their version.
func compareVersions(x, y string) int {
	number := func(folder string) float64 {
		n, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(folder)), 64)
		return n
	}
	switch d := number(x) - number(y); {
	case d < 0:
		return -1
	case d > 0:
		return 1
	}
	return 0
}

// initialize creates the server's data. Text has a linguistic order if the server
// supports ICU, so that tests detect code that relies on byte order without a
// COLLATE clause.
func (s *Server) initialize() error {
	data := filepath.Join(s.dir, "data")
	arguments := []string{"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"}
	var err error
	for _, locale := range [][]string{{"--locale-provider=icu", "--icu-locale=en-US"}, nil} {
		if err = s.run("initdb", append(slices.Clone(arguments), locale...)...); err == nil {
			return nil
		}
	}
	return err
}

// run runs one of the server's programs until it ends.
func (s *Server) run(program string, arguments ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, program), arguments...)
	cmd.Env = environment
	cmd.Dir = s.dir
	s.as.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// environment is the server's. It must not have the PG variables of this process.
var environment = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}

func (s *Server) start() error {
	arguments := []string{"-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-p", "5432",
		"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB", "-c", "fsync=" + strconv.FormatBool(s.fsync)}
	return s.launch(filepath.Join(s.bin, "postgres"), append(arguments, s.settings...)...)
}

// launch starts a program, and returns when it accepts connections.
func (s *Server) launch(program string, arguments ...string) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, arguments...)
	cmd.Env = environment
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	s.as.apply(cmd)
	if s.child, err = launch(cmd); err != nil {
		return err
	}
	if err := s.answers(); err != nil {
		_ = s.end(immediate)
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

// answers waits until the server accepts connections.
func (s *Server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.over:
			return errors.New("the server ended unexpectedly")
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// remove stops the server if it runs, and removes its folder.
func (s *Server) remove() {
	_ = s.end(immediate)
	_ = os.RemoveAll(s.dir)
	if s.lock != nil {
		_ = s.lock.Close()
	}
}

// child is a process that ends at the latest with this one.
type child struct {
	process *os.Process
	over    chan struct{} // closed when the process has ended
}

// end sends a signal to the process, and returns when it has ended. It kills the
// process after a minute.
func (c *child) end(how os.Signal) error {
	if c == nil {
		return nil
	}
	if err := c.process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.over:
		return nil
	case <-time.After(within):
		_ = c.process.Kill()
		<-c.over
		return fmt.Errorf("the server did not end within %s", within)
	}
}
