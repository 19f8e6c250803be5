package remotetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// ThroughPipes runs test in a synctest bubble, with a client that reaches handler
// for any host.
func ThroughPipes(t *testing.T, handler http.Handler, test func(t *testing.T, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pipes := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = server.Serve(pipes) }()
		defer func() {
			_ = server.Close()
			time.Sleep(time.Hour) // lets handlers return; the bubble then reports leftover goroutines
		}()
		test(t, &http.Client{Transport: &http.Transport{DialContext: pipes.dial}})
	})
}

type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.connections <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
