package satchel_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/leaktest"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/yamlfile"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// ours returns the stacks of the goroutines of clients and providers. An entry may
// stand for several goroutines.
func ours(t *testing.T) []string {
	t.Helper()
	var all bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&all, 1))
	var found []string
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, module+".(*") || strings.Contains(stack, module+"/providers") {
			found = append(found, stack)
		}
	}
	return found
}

func TestLeak_Client(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	p.Put(t, "acme", "A", "1")
	dir := t.TempDir()
	put(t, filepath.Join(dir, ".env"), "B=1\n")
	put(t, filepath.Join(dir, "config.yaml"), "C: 1\n")
	layers := []bundle.Provider{
		&providers.Platform{URL: p.URL, Token: p.Token(t, "acme"), Client: p.Client},
		&yamlfile.File{Path: filepath.Join(dir, "config.yaml")},
		&providers.Dotenv{Path: filepath.Join(dir, ".env")},
		&providers.Env{Names: []string{"PATH"}},
	}
	live := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		requests := p.Requests()
		c, err := satchel.New(ctx, layers, quiet())
		require.NoError(t, err)
		d := satchel.Derive(c, func(*bundle.Bundle) (io.Closer, error) { return os.Open(dir) }, "B")
		var group sync.WaitGroup
		group.Go(func() { require.NoError(t, c.Run(ctx)) })
		group.Go(func() {
			for range c.Changes(ctx) {
			}
		})
		_, err = d.Get()
		require.NoError(t, err)
		put(t, filepath.Join(dir, ".env"), fmt.Sprintf("B=%d\n", time.Now().UnixNano()))
		_, err = c.Refresh(ctx)
		require.NoError(t, err)
		leaktest.Eventually(t, "Run waits on the platform", func() bool { return p.Requests() >= requests+3 })
		closer, err := d.Get()
		require.NoError(t, err)
		require.NotEmpty(t, ours(t), "running goroutines must be found, or the test proves nothing")

		cancel()
		_, err = c.Refresh(ctx)
		require.ErrorIs(t, err, context.Canceled)
		group.Wait()
		require.Empty(t, ours(t), "no goroutine outlives Run, Changes or a Refresh")
		require.NoError(t, closer.Close(), "the program closes the current value")
	}
	live()                          // initializes everything that is made once
	p.Client.CloseIdleConnections() // the client belongs to the test
	files, goroutines := leaktest.OpenFiles(t), runtime.NumGoroutine()
	for range 5 {
		live()
	}
	p.Client.CloseIdleConnections()
	// The server notices closed connections with a delay.
	leaktest.Eventually(t, "no file or connection stays open", func() bool { return leaktest.OpenFiles(t) <= files })
	leaktest.Eventually(t, "no goroutine stays", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestLeak_FailedNew(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	p.Fail(vaulttest.Hang())
	layers := []bundle.Provider{&providers.Platform{URL: p.URL, Token: p.Token(t, "acme"), Client: p.Client}}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		_, err := satchel.New(ctx, layers, quiet())
		if err == nil {
			t.Error("New succeeds with a platform that hangs")
		}
	})
	leaktest.Eventually(t, "the request arrives", func() bool { return p.Requests() > 0 })
	cancel()
	group.Wait()
	require.Empty(t, ours(t), "no goroutine outlives New")
}
