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
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/yamlfile"
	"github.com/satchelhq/satchel/vault/vaulttest"
)

// openFiles returns how many file descriptors this process has open.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS == "windows" {
		if os.Getenv("SATCHEL_TEST_FULL") == "1" {
			t.Fatal("there is no /dev/fd to count open files in: run the full tests on Linux")
		}
		t.Skip("there is no /dev/fd to count open files in")
	}
	files, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	return len(files)
}

// ours returns the stacks of the goroutines that run a client or a provider,
// one or several to an entry.
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

// eventually waits for what others do when they get to it.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		require.Less(t, time.Since(begin), 20*time.Second, what)
	}
}

func TestNothingIsLeftWhenTheContextEnds(t *testing.T) {
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
		eventually(t, "Run waits on the platform", func() bool { return p.Requests() >= requests+3 })
		closer, err := d.Get()
		require.NoError(t, err)
		require.NotEmpty(t, ours(t), "what runs must be seen, or the check would prove nothing")

		cancel()
		_, err = c.Refresh(ctx)
		require.ErrorIs(t, err, context.Canceled)
		group.Wait()
		require.Empty(t, ours(t), "no goroutine outlives Run, Changes or a Refresh")
		require.NoError(t, closer.Close(), "the current value is the program's to close")
	}
	live()                          // what is made once is there from now on
	p.Client.CloseIdleConnections() // which are the test's, as its client is
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 5 {
		live()
	}
	p.Client.CloseIdleConnections()
	// The server has to notice that its clients are gone.
	eventually(t, "no file or connection stays open", func() bool { return openFiles(t) <= files })
	eventually(t, "no goroutine stays", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestAFailedNewLeavesNothing(t *testing.T) {
	p := vaulttest.NewPlatform(t)
	p.Fail(vaulttest.Hang())
	layers := []bundle.Provider{&providers.Platform{URL: p.URL, Token: p.Token(t, "acme"), Client: p.Client}}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() {
		_, err := satchel.New(ctx, layers, quiet())
		if err == nil {
			t.Error("a platform that hangs has no bundle")
		}
	})
	eventually(t, "the request arrives", func() bool { return p.Requests() > 0 })
	cancel()
	group.Wait()
	require.Empty(t, ours(t), "no goroutine outlives New")
}
