package dotenv_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
	"github.com/satchelhq/satchel/internal/testenv"
)

// dumpEnv is the variable that makes this test binary print its environment and
// exit.
const dumpEnv = "DOTENV_TEST_DUMP"

func TestMain(m *testing.M) {
	if os.Getenv(dumpEnv) != "" {
		if err := json.NewEncoder(os.Stdout).Encode(os.Environ()); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func entry(name, value string) dotenv.Entry {
	return dotenv.Entry{Name: name, Value: bundle.NewValue(value)}
}

func TestAppend(t *testing.T) {
	t.Run("quotes only the values that need it", func(t *testing.T) {
		for _, row := range []struct{ about, value, want string }{
			{"empty", "", "A="},
			{"safe characters", "sk-1.2/3:4@5%6+7,8_9", "A=sk-1.2/3:4@5%6+7,8_9"},
			{"space", "b c", "A='b c'"},
			{"dollar", "$HOME", "A='$HOME'"},
			{"backslash", `b\n`, `A='b\n'`},
			{"tilde", "~/x", "A='~/x'"},
			{"equals sign", "=ls", "A='=ls'"},
			{"double quote", `b"c`, `A='b"c'`},
			{"lines", "b\nc\n", "A='b\nc\n'"},
			{"single quote", "it's", `A="it's"`},
			{"single quote and characters special in double quotes", "'\\\"$`\n", "A=\"'\\\\\\\"\\$\\`\n\""},
			{"not ASCII", "é", "A='é'"},
		} {
			t.Run(row.about, func(t *testing.T) {
				out, err := dotenv.Append(nil, entry("A", row.value))
				require.NoError(t, err)
				require.Equal(t, row.want+"\n", string(out))
				require.Equal(t, map[string]string{"A": row.value}, parse(t, string(out)), "Parse returns the value")
			})
		}
	})

	t.Run("starts on a new line", func(t *testing.T) {
		out, err := dotenv.Append([]byte("A=1"), entry("B", "2"), entry("C", "3"))
		require.NoError(t, err)
		require.Equal(t, "A=1\nB=2\nC=3\n", string(out), "an unterminated last line gets a line end")

		out, err = dotenv.Append([]byte("# x\r\n"), entry("B", "b\r\nc"))
		require.NoError(t, err)
		require.Equal(t, map[string]string{"B": "b\r\nc"}, parse(t, string(out)), "a CR is kept in a file that has CRLF elsewhere")
	})

	t.Run("rejects entries that Parse would reject", func(t *testing.T) {
		for _, row := range []struct {
			about, want string
			entries     []dotenv.Entry
		}{
			{"name", `the name "A-B" has`, []dotenv.Entry{entry("OK", canary), entry("A-B", canary)}},
			{"NUL", "A: the value has a NUL", []dotenv.Entry{entry("A", canary+"\x00")}},
			{"UTF-8", "A: the value is not valid UTF-8", []dotenv.Entry{entry("A", canary+"\xff")}},
			{"twice", "A occurs twice; remove one", []dotenv.Entry{entry("A", canary), entry("A", canary)}},
			{"size", "at most 1048576 are allowed", []dotenv.Entry{entry("A", strings.Repeat(canary, 1<<17))}},
		} {
			t.Run(row.about, func(t *testing.T) {
				dst := append(make([]byte, 0, 1<<10), "X=1\n"...)
				out, err := dotenv.Append(dst, row.entries...)
				require.ErrorContains(t, err, "writing a .env file: ", "the error starts with the operation")
				require.ErrorContains(t, err, row.want)
				require.NotContains(t, err.Error(), canary, "an error never contains a value")
				require.Equal(t, "X=1\n", string(out), "dst is returned unchanged")
				require.NotContains(t, string(out[:cap(out)]), canary, "nothing is written after it either")
			})
		}
	})

	t.Run("writes values that Parse reads back", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			entries := awkward(rng, 20)
			out, err := dotenv.Append(nil, entries...)
			require.NoError(t, err)
			require.Equal(t, values(entries), parse(t, string(out)), "from %q", out)
		}
	})

	t.Run("writes values that a shell reads the same way", func(t *testing.T) {
		entries := append(awkward(rand.New(rand.NewPCG(3, 4)), 500),
			entry("ALL", "\x01\x02\x03 !\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\n\r\t"),
			entry("TAIL", "three lines at the end\n\n\n"))
		out, err := dotenv.Append(nil, entries...)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "file.env")
		require.NoError(t, os.WriteFile(file, out, 0o600))

		for _, shell := range []string{"sh", "bash", "dash"} {
			t.Run(shell, func(t *testing.T) {
				path := testenv.Program(t, shell)
				cmd := exec.CommandContext(t.Context(), path, "-c", `set -a; . "$1"; exec "$2"`, shell, file, os.Args[0])
				// The last two keep runs with -cover quiet and runs with -race short.
				cmd.Env = []string{dumpEnv + "=1", "GOCOVERDIR=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
				var stderr strings.Builder
				cmd.Stderr = &stderr
				stdout, err := cmd.Output()
				require.NoError(t, err, "the shell accepts the file: %s", stderr.String())
				require.Empty(t, stderr.String(), "the shell prints no errors")

				var environ []string
				require.NoError(t, json.Unmarshal(stdout, &environ))
				got := map[string]string{}
				for _, kv := range environ {
					name, value, _ := strings.Cut(kv, "=")
					got[name] = value
				}
				for _, e := range entries {
					value, ok := got[e.Name]
					require.True(t, ok, "the shell sets %s", e.Name)
					require.Equal(t, e.Value.Reveal(), value, "the shell reads the value of %s that was written", e.Name)
				}
			})
		}
	})
}

// awkward returns entries with values that are difficult for shells and parsers.
func awkward(rng *rand.Rand, n int) []dotenv.Entry {
	pieces := []string{"a", "Z", "0", "_", " ", "  ", "\t", "\n", "\r", "\r\n", "'", `"`, `\`, `\\`, `\n`, "$", "$HOME", "${X}", "`", "`id`", "$(id)",
		"#", " #", "=", "~", ":~", "!", "!!", "*", "?", "[a]", "{a,b}", ";", "&", "|", "<", ">", "(", ")", "%", "^", "-", "é", "✓", "\x01", "\x7f", "\u2028", "\ufeff", "export "}
	entries := make([]dotenv.Entry, n)
	for i := range entries {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		entries[i] = entry(fmt.Sprintf("V%d", i), b.String())
	}
	return entries
}

func FuzzAppend(f *testing.F) {
	for _, seed := range []string{"", "b", "b c", "it's", "'\"\\$`\n\r\t", "\r\n", "#", " ", "~", "é\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		out, err := dotenv.Append(nil, entry("A", value), entry("B", value))
		if err != nil {
			require.Error(t, bundle.CheckValue(bundle.NewValue(value)), "only invalid values are rejected")
			return
		}
		require.Equal(t, map[string]string{"A": value, "B": value}, parse(t, string(out)), "Parse returns the values")
	})
}
