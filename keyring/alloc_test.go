//go:build !race

// The race detector makes a sync.Pool drop items, which causes allocations.

package keyring_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

func TestGroup_Allocations(t *testing.T) {
	t.Run("opening into the caller's buffer allocates nothing", func(t *testing.T) {
		for name, c := range map[string]keyring.Context{"two pairs": apiKey7, "none": nil, "4,096 bytes": wide(4096)} {
			group := newGroup(t, web)
			message := seal(t, group, strings.Repeat("v", 256), c)
			buffer := make([]byte, 0, 256)
			allocs := testing.AllocsPerRun(1000, func() {
				if _, err := group.Open(buffer, message, c); err != nil {
					t.Error(err)
				}
			})
			require.Zero(t, allocs, name)
		}
	})

	t.Run("sealing into the caller's buffer allocates nothing", func(t *testing.T) {
		group := newGroup(t, web)
		plaintext := make([]byte, 256)
		buffer := make([]byte, 0, 256+keyring.Overhead)
		allocs := testing.AllocsPerRun(1000, func() {
			if _, err := group.Seal(buffer, plaintext, apiKey7); err != nil {
				t.Error(err)
			}
		})
		require.Zero(t, allocs)
	})
}
