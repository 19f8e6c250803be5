package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestContender(t *testing.T) {
	t.Run("each opens the messages that it sealed", func(t *testing.T) {
		for _, c := range contenders {
			want := plaintexts(3, 100)
			newReader, err := c.seal(want, &service{})
			require.NoError(t, err, c.name)
			read, err := newReader()
			require.NoError(t, err, c.name)
			for range 2 {
				got := make([][]byte, len(want))
				err = read(func(i int, plaintext []byte) { got[i] = bytes.Clone(plaintext) })
				require.NoError(t, err, c.name)
				require.Equal(t, want, got, c.name)
			}
		}
	})

	t.Run("each makes the listed number of calls with a cold cache", func(t *testing.T) {
		for _, c := range contenders {
			if c.asks == nil {
				continue
			}
			s := &service{}
			newReader, err := c.seal(plaintexts(coldCount, coldSize), s)
			require.NoError(t, err, c.name)
			for range 2 {
				read, err := newReader()
				require.NoError(t, err, c.name)
				s.calls.Store(0)
				require.NoError(t, read(nil), c.name)
				require.EqualValues(t, c.asks(coldCount), s.calls.Load(), c.name)
			}
		}
	})

	t.Run("Satchel makes no call with a warm cache", func(t *testing.T) {
		s := &service{}
		newReader, err := sealSatchel(plaintexts(coldCount, coldSize), s)
		require.NoError(t, err)
		read, err := newReader()
		require.NoError(t, err)
		require.NoError(t, read(nil))
		s.calls.Store(0)
		require.NoError(t, read(nil))
		require.Zero(t, s.calls.Load())
	})
}

func TestRun(t *testing.T) {
	t.Run("prints a row for each contender", func(t *testing.T) {
		var out strings.Builder
		require.NoError(t, run(&out, effort{rounds: 1, slice: time.Microsecond}))
		for _, c := range contenders {
			require.Contains(t, out.String(), "\n| "+c.name+" |")
		}
		require.Contains(t, out.String(), "calls: 1 |")
		require.Contains(t, out.String(), "calls: 50 |")
	})
}

func BenchmarkContender_Warm(b *testing.B) {
	for _, load := range workloads {
		b.Run(load.title, func(b *testing.B) {
			for _, c := range contenders {
				b.Run(c.name, func(b *testing.B) {
					newReader, err := c.seal(plaintexts(load.n, load.size), &service{})
					require.NoError(b, err)
					read, err := newReader()
					require.NoError(b, err)
					b.SetBytes(int64(load.n * load.size))
					b.ReportAllocs()
					for b.Loop() {
						if err := read(nil); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
