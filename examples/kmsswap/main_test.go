package main

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/awskmsserver"
	"github.com/satchelhq/satchel/internal/gcpkmsserver"
	"github.com/satchelhq/satchel/internal/hashivaulttest"
	"github.com/satchelhq/satchel/keyring/local"
)

const page = "../../docs/keyrings.md"

// blocks returns the code blocks of the page in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var found []string
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	require.NotEmpty(t, found, "%s has a block of %s", page, language)
	return found
}

// setups start each key service and return the program's arguments for it.
var setups = map[string]func(t *testing.T) []string{
	"local": func(t *testing.T) []string { return nil },
	"fake":  func(t *testing.T) []string { return []string{"-kek", "fake"} },
	"aws": func(t *testing.T) []string {
		server := awskmsserver.New(t)
		t.Setenv("AWS_ACCESS_KEY_ID", awskmsserver.AccessKeyID)
		t.Setenv("AWS_SECRET_ACCESS_KEY", "a-secret-access-key-of-some-length") // strict FIPS mode rejects short keys
		t.Setenv("AWS_SESSION_TOKEN", "")
		t.Setenv("AWS_PROFILE", "")
		t.Setenv("AWS_REGION", "us-west-2") // not the key's
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
		arn := server.CreateKey("eu-central-1", "1234abcd-12ab-34cd-56ef-1234567890ab")
		return []string{"-kek", "aws", "-endpoint", server.Address(), "-key", arn}
	},
	"gcp": func(t *testing.T) []string {
		server := gcpkmsserver.New(t)
		return []string{"-kek", "gcp", "-endpoint", server.Address(), "-key", server.CreateKey("kek")}
	},
	"hashivault": func(t *testing.T) []string {
		server := hashivaulttest.Start(t)
		server.Mount(t, "transit", "transit", nil)
		server.Write(t, "transit/keys/satchel", nil)
		t.Setenv("VAULT_ADDR", server.Address)
		t.Setenv("VAULT_NAMESPACE", "")
		t.Setenv("VAULT_TOKEN", server.Token(t, blocks(t, "hcl")[0])) // the policy of the page suffices
		return []string{"-kek", "hashivault", "-key", "satchel"}
	},
}

var (
	keyName  = regexp.MustCompile(`(local|fake|awskms|gcpkms|hashivault):[^"\s]+`)
	duration = regexp.MustCompile(`[0-9.]+(µs|ms|s)\b`)
	blanks   = regexp.MustCompile(` +`)
)

// shape returns the output without the names of keys and the times, which differ in
// each run.
func shape(output string) string {
	output = keyName.ReplaceAllString(output, "KEY")
	return blanks.ReplaceAllString(duration.ReplaceAllString(output, "TIME"), " ")
}

// output returns what the program prints.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, run(t.Context(), args, &out))
	require.NotContains(t, out.String(), "kmsswap-", "no value is printed")
	return out.String()
}

func TestRun(t *testing.T) {
	t.Run("does the same with every key service", func(t *testing.T) {
		want := shape(output(t))
		require.ElementsMatch(t, slices.Collect(maps.Keys(services)), slices.Collect(maps.Keys(setups)), "each service is tested")
		for service, setup := range setups {
			t.Run(service, func(t *testing.T) {
				require.Equal(t, want, shape(output(t, setup(t)...)), "except for names and times, the output equals that of the default service")
			})
		}
	})

	t.Run("prints the output that docs/keyrings.md shows", func(t *testing.T) {
		require.True(t, strings.HasPrefix(shape(output(t)), shape(blocks(t, "text")[0])), "the page shows the beginning of the output")
	})

	t.Run("uses the key file of -key", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kek")
		kek, err := local.GenerateFile(path)
		require.NoError(t, err)
		require.Contains(t, output(t, "-key", path), "The key is "+kek.ID().String())
	})

	t.Run("rejects wrong flags and names the fix", func(t *testing.T) {
		for says, args := range map[string][]string{
			`-kek "azure": want one of aws, fake, gcp, hashivault, local`:         {"-kek", "azure"},
			`unexpected argument "aws"`:                                           {"aws"},
			`not defined: -kms; -h lists the flags`:                               {"-kms", "aws"},
			`-key is not allowed with fake`:                                       {"-kek", "fake", "-key", "kek"},
			`-mount is only for hashivault`:                                       {"-mount", "kms"},
			`want a server on this machine, such as 127.0.0.1:4566`:               {"-kek", "aws", "-endpoint", "kms.example.com:80"},
			`-endpoint "localhost:4566": want a server on this machine`:           {"-kek", "gcp", "-endpoint", "localhost:4566"},
			`set VAULT_ADDR for hashivault`:                                       {"-kek", "hashivault", "-endpoint", "127.0.0.1:8200"},
			`is an alias, which can be moved to another key; write the key's ARN`: {"-kek", "aws", "-key", "alias/satchel"},
			`the key name "" is empty`:                                            {"-kek", "hashivault"},
			`write one such as projects/PROJECT/locations/`:                       {"-kek", "gcp", "-endpoint", "127.0.0.1:1", "-key", "kek"},
		} {
			var out strings.Builder
			require.ErrorContains(t, run(t.Context(), args, &out), says)
			require.Empty(t, out.String(), "only main prints the error")
		}
	})

	t.Run("lists its flags for -h", func(t *testing.T) {
		var out strings.Builder
		require.ErrorIs(t, run(t.Context(), []string{"-h"}, &out), flag.ErrHelp)
		for _, name := range []string{"-kek", "-key", "-mount", "-endpoint"} {
			require.Contains(t, out.String(), "  "+name+" ")
		}
	})
}
