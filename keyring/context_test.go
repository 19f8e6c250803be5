package keyring_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
)

// pairs returns a context of n pairs.
func pairs(n int) keyring.Context {
	c := keyring.Context{}
	for i := range n {
		c[fmt.Sprintf("key-%d", i)] = "value"
	}
	return c
}

func TestContext_EncodeLimits(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for name, test := range map[string]struct {
		context keyring.Context
		key     string // the key in the error
		text    string
	}{
		"33 pairs":           {pairs(33), "", "33 pairs"},
		"an empty key":       {keyring.Context{"": "value"}, "", "key is empty"},
		"a long key":         {keyring.Context{long: "value"}, long, "the key has 1025 bytes"},
		"a long value":       {keyring.Context{"name": long}, "name", "the value has 1025 bytes"},
		"a non-UTF-8 key":    {keyring.Context{"\xff": "value"}, "\xff", "key is not valid UTF-8"},
		"a non-UTF-8 value":  {keyring.Context{"name": "a\xc3"}, "name", "value is not valid UTF-8"},
		"4,097 bytes in all": {wide(4097), "", "4097 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.context.Encode()
			require.ErrorIs(t, err, keyring.ErrMalformed)
			require.Nil(t, got)
			require.ErrorContains(t, err, test.text)
			e, ok := errors.AsType[*keyring.ContextError](err)
			require.True(t, ok, "a caller can read the invalid key")
			require.Equal(t, test.key, e.Key)
			require.Less(t, len(err.Error()), 200, "an error is short even for a long key")
		})
	}
}

// wide returns a context whose encoding has n bytes, 4,000 or more.
func wide(n int) keyring.Context {
	c := keyring.Context{}
	for _, key := range []string{"a", "b", "c"} {
		c[key] = strings.Repeat("v", 1024)
	}
	const used = 2 + 3*(4+1+1024) + 4 + 1
	c["d"] = strings.Repeat("v", n-used)
	return c
}

func TestContext_Encode(t *testing.T) {
	t.Run("accepts contexts at the limits", func(t *testing.T) {
		for name, c := range map[string]keyring.Context{
			"32 pairs":     pairs(32),
			"a long part":  {strings.Repeat("k", 1024): strings.Repeat("v", 1024)},
			"4,096 bytes":  wide(4096),
			"nothing":      nil,
			"empty values": {"a": "", "b": ""},
		} {
			encoded, err := c.Encode()
			require.NoError(t, err, name)
			require.Equal(t, canonical(c), encoded, name)
		}
	})
}

func TestContextError(t *testing.T) {
	t.Run("never shows a value", func(t *testing.T) {
		_, err := keyring.Context{"name": "hunter2-hunter2\xff"}.Encode()
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	})
}

func TestContext_AppendTo(t *testing.T) {
	t.Run("keeps the existing bytes", func(t *testing.T) {
		got, err := apiKey7.AppendTo([]byte("before"))
		require.NoError(t, err)
		require.Equal(t, append([]byte("before"), canonical(apiKey7)...), got)
	})
}
