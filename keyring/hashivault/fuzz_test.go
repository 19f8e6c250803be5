package hashivault_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring/hashivault"
)

// FuzzVersionOf checks that an accepted ciphertext has exactly one spelling: its parsed
// parts give the same text again.
func FuzzVersionOf(f *testing.F) {
	for _, seed := range []string{
		"", "vault:", "vault:v", "vault:v1:", blob, blob + "\n", blob + ":", "vault:v0:AAAA", "vault:v01:AAAA", "vault:v1:AAA", "vault:v12345678901:AAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		version, ok := hashivault.VersionOf(text)
		if !ok {
			return
		}
		require.Regexp(t, `^[1-9][0-9]{0,9}$`, version)
		encoded, ok := strings.CutPrefix(text, "vault:v"+version+":")
		require.True(t, ok)
		data, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		require.NotEmpty(t, data)
		require.Equal(t, encoded, base64.StdEncoding.EncodeToString(data))
	})
}
