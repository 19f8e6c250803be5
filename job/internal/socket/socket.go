// Package socket serves the secrets of a job on a unix socket ([Serve]), to
// processes of the same user alone, and asks such a socket ([Ask]).
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
	// Variable is the variable that holds the path of a job's socket.
	Variable = "SATCHEL_SOCKET"

	// host is the host in URLs of the socket, whose place is its path.
	host = "satchel"
	// expiresHeader holds when a served value ends, as RFC 3339 has it.
	expiresHeader = "Satchel-Expires"
	secretsPath   = "/secrets/"

	// maxPath is what macOS has room for. Linux has four bytes more.
	maxPath = 103
	// maxPeers is how many connections are served at a time. More wait
	// in the system's queue.
	maxPeers = 64
	// maxValue is the longest value that a client of the socket takes.
	maxValue = 1 << 20
	// timeout bounds a request, which takes no network and no disk.
	timeout = 10 * time.Second
)

// Server serves the secrets of one job as they are at the time of each
// request, over HTTP on a unix socket:
//
//	curl --unix-socket "$SATCHEL_SOCKET" http://satchel/secrets/NAME
//
// The answer is the value as it is, and the header Satchel-Expires if it ends.
// Only processes with the effective user of this one are served. Root is nobody
// special: it can read this process anyway, and a program that runs as root for
// somebody else must not be made to read for them.
type Server struct {
	names  []string
	lookup func(name string) (bundle.Secret, bool)
	log    *slog.Logger

	address string
	server  *http.Server
	work    sync.WaitGroup // Serve, and every connection
}

// Serve listens at dir/satchel.sock and serves the named secrets until
// Close. dir has to be a directory that nobody else can enter. lookup returns a
// secret as it is now; it is called by several goroutines at once.
func Serve(dir string, names []string, lookup func(name string) (bundle.Secret, bool), log *slog.Logger) (*Server, error) {
	if !peersAreKnown {
		return nil, fmt.Errorf("serving secrets on a socket: %s does not say who connects to a unix socket; run the job on Linux or macOS, or without the socket", runtime.GOOS)
	}
	address := filepath.Join(dir, "satchel.sock")
	if len(address) > maxPath {
		return nil, fmt.Errorf("serving secrets on a socket: the path %s has %d bytes and a unix socket's can have %d; use a shorter directory", address, len(address), maxPath)
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
	s.server.SetKeepAlivesEnabled(false) // so that nobody sits on a connection
	s.work.Go(func() {
		guarded := &ownPeers{UnixListener: listener, free: make(chan struct{}, maxPeers), done: make(chan struct{}), log: log}
		if err := s.server.Serve(guarded); !errors.Is(err, http.ErrServerClosed) {
			log.Error("a job's secret socket has stopped", "error", err)
		}
	})
	return s, nil
}

// Path returns where the socket is.
func (s *Server) Path() string { return s.address }

// Close removes the socket, cuts the connections off and returns when nothing is
// left running.
func (s *Server) Close() error {
	err := s.server.Close()
	s.work.Wait()
	return err
}

// count lets Close wait for connections. http.Server.Serve itself reports the new
// ones, so there are none to come when it has returned.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.work.Add(1)
	case http.StateClosed:
		s.work.Done()
	}
}

// ServeHTTP answers GET /secrets/NAME.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Host != host {
		http.Error(w, "the host of this socket is "+host, http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "secrets can only be read here, with GET", http.StatusMethodNotAllowed)
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
	_, _ = io.WriteString(w, value) // whoever went away needs no answer
}

// secret returns the secret that a path means, if the job has it. That there is
// one of the name elsewhere is nothing to tell.
func (s *Server) secret(path string) (bundle.Secret, bool) {
	name, ok := strings.CutPrefix(path, secretsPath)
	if !ok || !slices.Contains(s.names, name) {
		return bundle.Secret{}, false
	}
	return s.lookup(name)
}

// ownPeers is a listener that hands out connections of processes of this
// process's user only, and so many at a time as free has room for.
type ownPeers struct {
	*net.UnixListener
	free chan struct{}
	done chan struct{} // closed by Close
	once sync.Once
	log  *slog.Logger
}

// Accept returns the next connection.
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
			l.log.Warn("refused a process on a job's secret socket: who it is cannot be told", "error", err)
		} else {
			l.log.Warn("refused a process of another user on a job's secret socket", "uid", uid)
		}
	}
}

// Close ends Accept.
func (l *ownPeers) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.UnixListener.Close()
}

// ownPeer is a connection that makes room for another when it is closed.
type ownPeer struct {
	*net.UnixConn
	once sync.Once
	free chan struct{}
}

// Close closes the connection.
func (c *ownPeer) Close() error {
	c.once.Do(func() { <-c.free })
	return c.UnixConn.Close()
}

// Ask returns a secret from the socket at path. Of the secret it knows the
// name, the value and when that ends.
func Ask(ctx context.Context, path, name string) (bundle.Secret, error) {
	fail := func(err error) (bundle.Secret, error) {
		return bundle.Secret{}, fmt.Errorf("asking for %s at the socket %s: %w", name, path, err)
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
		return fail(errors.New("the job has no such secret; name it among the job's secrets, and see that a layer has it"))
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
			return fail(errors.New("when the value ends cannot be read"))
		}
	}
	return secret, nil
}
