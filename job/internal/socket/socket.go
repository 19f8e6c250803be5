// Package socket serves the secrets of a job on a unix socket to processes of the
// same user ([Serve]), and gets secrets from such a socket ([Ask]).
package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const (
	// Variable is the name of the environment variable with the path of a job's
	// socket.
	Variable = "SATCHEL_SOCKET"

	// host is the host in URLs of the socket.
	host = "satchel"
	// expiresHeader has the expiry of a served value, in the format of RFC 3339.
	expiresHeader = "Satchel-Expires"
	secretsPath   = "/secrets/"

	// maxPath is the limit of macOS, in bytes. The limit of Linux is 4 bytes higher.
	maxPath = 103
	// maxPeers is the maximum number of connections that are served concurrently.
	// Others wait in the system's queue.
	maxPeers = 64
	// maxValue is the maximum length in bytes of a value that Ask accepts.
	maxValue = 1 << 20
	// timeout limits a request, which needs neither the network nor a disk.
	timeout = 10 * time.Second
)

// Server serves the current secrets of one job, over HTTP on a unix socket:
//
//	curl --unix-socket "$SATCHEL_SOCKET" http://satchel/secrets/NAME
//
// The response is the value, unchanged, with the header Satchel-Expires if it
// expires. Only processes with the effective user of this process are served. Root
// is not an exception: it can read this process anyway, and a program that runs as
// root for another user must not be tricked into reading for that user.
type Server struct {
	names  []string
	lookup func(name string) (bundle.Secret, bool)
	log    *slog.Logger

	address string
	server  *http.Server
	work    sync.WaitGroup // Serve, and every connection
}

// Serve listens at dir/satchel.sock and serves the named secrets until Close, which
// the caller must call. dir must be a directory that only this user can enter.
// lookup returns the current value of a secret and must be safe for concurrent use.
// log gets names and no values.
//
// Serve fails on systems other than Linux and macOS, and if the path is longer than
// 103 bytes.
func Serve(dir string, names []string, lookup func(name string) (bundle.Secret, bool), log *slog.Logger) (*Server, error) {
	if !peersAreKnown {
		return nil, fmt.Errorf("serving secrets on a socket: %s does not identify the peers of a unix socket; run the job on Linux or macOS, or without the socket", runtime.GOOS)
	}
	address := filepath.Join(dir, "satchel.sock")
	if len(address) > maxPath {
		return nil, fmt.Errorf("serving secrets on a socket: the path %s has %d bytes, and the limit for a unix socket is %d; use a shorter directory", address, len(address), maxPath)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("serving secrets on a socket: %w", err)
	}
	if err := os.Chmod(address, 0o600); err != nil {
		return nil, fmt.Errorf("serving secrets on a socket: %w", errors.Join(err, listener.Close()))
	}
	s := &Server{names: slices.Clone(names), lookup: lookup, log: log, address: address}
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: timeout / 2,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnState:         s.count,
	}
	s.server.SetKeepAlivesEnabled(false) // so that no client occupies a connection
	s.work.Go(func() {
		guarded := &ownPeers{UnixListener: listener, free: make(chan struct{}, maxPeers), done: make(chan struct{}), log: log}
		if err := s.server.Serve(guarded); !errors.Is(err, http.ErrServerClosed) {
			log.Error("a job's secret socket failed", "error", err)
		}
	})
	return s, nil
}

// Path returns the path of the socket.
func (s *Server) Path() string { return s.address }

// Close removes the socket and closes its connections. It returns when all calls of
// lookup have returned. Further calls have no effect.
func (s *Server) Close() error {
	err := s.server.Close()
	s.work.Wait()
	return err
}

// count lets Close wait for connections. http.Server.Serve itself reports the new
// ones, so none follows after it has returned.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.work.Add(1)
	case http.StateClosed:
		s.work.Done()
	}
}

// ServeHTTP serves GET /secrets/NAME. It responds with 404 to every other path and
// name, 405 to every other method, and 421 to every host but satchel.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Host != host {
		http.Error(w, "the host of this socket must be "+host, http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "only GET is allowed", http.StatusMethodNotAllowed)
		return
	}
	secret, ok := s.secret(r.URL.Path)
	if !ok {
		http.Error(w, "the job has no such secret", http.StatusNotFound)
		return
	}
	s.log.Debug("a job read a secret from its socket", "name", secret.Name, "origin", secret.Origin)
	value := secret.Value.Reveal()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(value)))
	if !secret.Expires.IsZero() {
		w.Header().Set(expiresHeader, secret.Expires.UTC().Format(time.RFC3339))
	}
	_, _ = io.WriteString(w, value) // the client may be gone
}

// secret returns the secret for a path, if the job has it. Its callers must not learn
// whether a secret of that name exists elsewhere.
func (s *Server) secret(path string) (bundle.Secret, bool) {
	name, ok := strings.CutPrefix(path, secretsPath)
	if !ok || !slices.Contains(s.names, name) {
		return bundle.Secret{}, false
	}
	return s.lookup(name)
}

// ownPeers is a listener for connections from processes of this process's user. The
// capacity of free is the maximum number of open connections.
type ownPeers struct {
	*net.UnixListener
	free chan struct{}
	done chan struct{} // closed by Close
	once sync.Once
	log  *slog.Logger
}

// Accept returns the next connection from this user. It blocks while the maximum
// number of connections is open.
func (l *ownPeers) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			<-l.free
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && uid == os.Geteuid() {
			return &ownPeer{UnixConn: conn, free: l.free}, nil
		}
		conn.Close()
		if err != nil {
			l.log.Warn("refused a process on a job's secret socket: cannot identify its user", "error", err)
		} else {
			l.log.Warn("refused a process of another user on a job's secret socket", "uid", uid)
		}
	}
}

// Close closes the listener and ends Accept.
func (l *ownPeers) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.UnixListener.Close()
}

// ownPeer is a connection that frees its place when it is closed.
type ownPeer struct {
	*net.UnixConn
	once sync.Once
	free chan struct{}
}

// Close closes the connection and frees its place.
func (c *ownPeer) Close() error {
	c.once.Do(func() { <-c.free })
	return c.UnixConn.Close()
}

// Ask returns a secret from the socket at path, with its name, value and expiry only.
// It takes at most 10 seconds, and fails if the value is longer than 1 MiB.
func Ask(ctx context.Context, path, name string) (bundle.Secret, error) {
	fail := func(err error) (bundle.Secret, error) {
		return bundle.Secret{}, fmt.Errorf("requesting %s from the socket %s: %w", name, path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 8 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+secretsPath+name, nil)
	if err != nil {
		return fail(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fail(fmt.Errorf("%w; the runner serves it while the job runs, to processes of the same user", err))
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return fail(errors.New("the job has no such secret; add it to the job's secrets, and check that a layer has it"))
	default:
		return fail(fmt.Errorf("status %d", response.StatusCode))
	}
	value, err := io.ReadAll(io.LimitReader(response.Body, maxValue+1))
	if err != nil {
		return fail(err)
	}
	if len(value) > maxValue {
		return fail(fmt.Errorf("the value is longer than %d bytes", maxValue))
	}
	secret := bundle.Secret{Name: name, Value: bundle.NewValue(string(value))}
	if text := response.Header.Get(expiresHeader); text != "" {
		if secret.Expires, err = time.Parse(time.RFC3339, text); err != nil {
			return fail(errors.New("the expiry in the response is invalid"))
		}
	}
	return secret, nil
}
