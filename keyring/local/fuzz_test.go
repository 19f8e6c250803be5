package local_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring/local"
)

// FuzzParseFile checks that a key has exactly one spelling, apart from a final newline.
func FuzzParseFile(f *testing.F) {
	line := "satchel-kek-1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for _, content := range []string{
		"", "satchel-kek-1:", line, line + "\n", line + "\n\n", line + "\r\n", line + " ", line[:len(line)-1], "satchel-kek-1:\n", line + line,
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		key, err := local.ParseFile(content)
		if err != nil {
			require.Nil(t, key, "no key with an error")
			return
		}
		require.Len(t, key, 32)
		require.Equal(t, "satchel-kek-1:"+base64.StdEncoding.EncodeToString(key), string(bytes.TrimSuffix(content, []byte("\n"))))
	})
}
