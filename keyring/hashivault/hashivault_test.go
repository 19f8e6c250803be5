package hashivault_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/hashivault"
)

func TestNew_InvalidNames(t *testing.T) {
	client := newClient(t, "http://127.0.0.1:1")
	for name, test := range map[string]struct{ mount, key, text string }{
		"an empty mount":            {"", "satchel", `the mount "" is empty; write a plain name, such as "transit"`},
		"an empty key name":         {"transit", "", `the key name "" is empty`},
		"a path as the mount":       {"team/transit", "satchel", `the mount "team/transit" contains "/"; write a plain name, such as "transit"`},
		"a slash after the mount":   {"transit/", "satchel", `contains "/"`},
		"a path as the key name":    {"transit", "keys/satchel", `the key name "keys/satchel" contains "/"; write a plain name, such as "satchel"`},
		"a way up":                  {"transit", "..", `starts or ends with "-" or "."`},
		"a way up as the mount":     {"..", "satchel", `starts or ends with "-" or "."`},
		"an escaped slash":          {"transit", "a%2fb", `contains a character other than`},
		"a query":                   {"transit", "satchel?x=1", `contains a character other than`},
		"a fragment":                {"transit", "satchel#x", `contains a character other than`},
		"a space":                   {"transit", "satchel ", `contains a character other than`},
		"a line end":                {"transit", "satchel\n", `contains a character other than`},
		"another script":            {"transit", "schlüssel", `contains a character other than`},
		"a hyphen at the end":       {"transit", "satchel-", `starts or ends with`},
		"more than an ID can hold":  {"transit", strings.Repeat("k", 1017), "have 1024 bytes; at most 1023 are allowed"},
		"invalid UTF-8 as the name": {"transit", "k\xff", `contains a character other than`},
	} {
		t.Run(name, func(t *testing.T) {
			kek, err := hashivault.New(client, test.mount, test.key)
			require.ErrorContains(t, err, test.text, "the error names the fix")
			require.Nil(t, kek)
		})
	}
}

func TestNew(t *testing.T) {
	t.Run("accepts the names that Vault accepts", func(t *testing.T) {
		client := newClient(t, "http://127.0.0.1:1")
		for _, name := range []string{"k", "_", "team-a.satchel_2", "a..b", "9", strings.Repeat("k", 1016)} {
			kek, err := hashivault.New(client, "transit", name)
			require.NoError(t, err)
			require.Equal(t, keyring.KEKID{Service: "hashivault", Key: "transit/" + name}, kek.ID())
		}
	})

	t.Run("needs a client", func(t *testing.T) {
		_, err := hashivault.New(nil, "transit", "satchel")
		require.ErrorContains(t, err, "the client is nil")
	})
}

// newClient returns a client with the settings of api.DefaultConfig in an empty
// environment, and a token.
func newClient(t *testing.T, address string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	require.NoError(t, config.Error)
	config.Address = address
	client, err := api.NewClient(config)
	require.NoError(t, err)
	client.ClearNamespace()
	client.SetToken(canaryToken)
	return client
}
