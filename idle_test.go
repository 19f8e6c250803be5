package satchel_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
)

// constant is a source that has only its bundle.
type constant struct{ b *bundle.Bundle }

func (c constant) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) { return c.b, nil }

// constantWaiter is a constant whose Wait never returns a change.
type constantWaiter struct{ constant }

func (constantWaiter) Wait(ctx context.Context, _ *bundle.Bundle) (*bundle.Bundle, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// idle runs n clients of p until they are idle, and returns the bytes of heap and
// stacks per client.
func idle(t testing.TB, n int, p bundle.Provider) int {
	used := func() int {
		for range 4 { // each cycle halves the stacks
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := used()
	clients := make([]*satchel.Client, n)
	for i := range clients {
		c, err := satchel.New(ctx, []bundle.Provider{p}, quiet())
		require.NoError(t, err)
		clients[i] = c
		go func() { _ = c.Run(ctx) }()
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	cost := (used() - before) / n
	runtime.KeepAlive(clients)
	return cost
}

func TestIdle(t *testing.T) {
	b := bundleOf(secret("A", "1"))
	path := filepath.Join(t.TempDir(), ".env")
	put(t, path, "A=1\n")
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, long, long))
	for _, row := range []struct {
		name string
		p    bundle.Provider
		most int // in KiB. A wait has a goroutine with a stack of 2 to 4 KiB.
	}{
		{"with a layer that is fetched", constant{b}, 10},
		{"with a layer that is waited on", constantWaiter{constant{b}}, 13},
		{"with a file", &providers.Dotenv{Path: path}, 17},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cost := idle(t, 1000, row.p)
				t.Logf("%d bytes per client, including its bundle", cost)
				require.Less(t, cost, row.most<<10, "a process may have ten thousand clients")
			})
		})
	}
}
