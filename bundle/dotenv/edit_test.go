package dotenv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

func TestSet(t *testing.T) {
	for name, row := range map[string]struct{ before, after string }{
		"an empty file":              {"", "A=new\n"},
		"a byte order mark alone":    {"\ufeff", "\ufeffA=new\n"},
		"absent":                     {"# mine\nB='1 2' # why\n\n", "# mine\nB='1 2' # why\n\nA=new\n"},
		"absent, no final line end":  {"B=1", "B=1\nA=new\n"},
		"absent, CRLF":               {"B=1\r\n", "B=1\r\nA=new\r\n"},
		"absent, CRLF, no final end": {"C=\r\nB=1", "C=\r\nB=1\r\nA=new\r\n"},
		"absent, after lines whose CR counts": {
			"C=\r\nB='x\r\ny'", "C=\r\nB='x\r\ny'\nA=new\n",
		},
		"present":                  {"# mine\nexport A='old' # why\nB=1\n", "# mine\nA=new\nB=1\n"},
		"present, CRLF":            {"A=old\r\nB=1\n", "A=new\r\nB=1\n"},
		"present, several lines":   {"B=1\nA=\"old\nold\"\nC=2\n", "B=1\nA=new\nC=2\n"},
		"present, no final end":    {"B=1\nA=old", "B=1\nA=new"},
		"present, byte order mark": {"\ufeffA=old\nB=1\n", "\ufeffA=new\nB=1\n"},
		"the same value":           {"export A=\"new\" # why\nB=1", "export A=\"new\" # why\nB=1"},
		"several times":            {"A=old\nB=1\nA='older\nstill'\n# end\nA=new\n", "A=new\nB=1\n# end\n"},
		"several times, the same":  {"A='new'\nA=old\n", "A='new'\n"},
		"a longer name":            {"AA=1\nB=A=2\n#A=3\n", "AA=1\nB=A=2\n#A=3\nA=new\n"},
	} {
		t.Run(name, func(t *testing.T) {
			src := []byte(row.before)
			out, err := dotenv.Set(src, "A", bundle.NewValue("new"))
			require.NoError(t, err)
			require.Equal(t, row.after, string(out))
			require.Equal(t, row.before, string(src), "src is unchanged")
		})
	}
}

func TestSet_Invalid(t *testing.T) {
	for name, row := range map[string]struct{ src, name, value, want string }{
		"a bad name":   {"A=1\n", "A-B", canary, `the name "A-B" has '-'`},
		"a bad value":  {"A=1\n", "A", canary + "\x00", "A: the value has a NUL"},
		"a bad file":   {"A=1\n" + canary + "\n", "A", "x", `editing a .env file: .env:2: missing "=";`},
		"a large file": {"A=" + strings.Repeat("x", 100) + "\n", "B", strings.Repeat(canary, dotenv.MaxSize/len(canary)-1), "at most 1048576 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := dotenv.Set([]byte(row.src), row.name, bundle.NewValue(row.value))
			require.ErrorContains(t, err, row.want)
			require.NotContains(t, err.Error(), canary, "an error never contains a value")
			require.Nil(t, out)
		})
	}
}

func TestCut(t *testing.T) {
	for name, row := range map[string]struct{ before, after string }{
		"absent":            {"# A=1\nAA=2", "# A=1\nAA=2"},
		"present":           {"# mine\r\nexport A='x\r\ny' # why\r\n\r\nB=1\n", "# mine\r\n\r\nB=1\n"},
		"alone":             {"A=1", ""},
		"at the end":        {"B=1\nA=2", "B=1\n"},
		"several times":     {"A=1\nB=2\nA=1\nA='\n'\n", "B=2\n"},
		"a byte order mark": {"\ufeffA=1\nB=2\n", "\ufeffB=2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			src := []byte(row.before)
			out, err := dotenv.Cut(src, "A")
			require.NoError(t, err)
			require.Equal(t, row.after, string(out))
			require.Equal(t, row.before, string(src), "src is unchanged")
		})
	}
	_, err := dotenv.Cut([]byte("A=1\n"+canary), "A")
	require.ErrorContains(t, err, `editing a .env file: .env:2: missing "=";`)
	require.NotContains(t, err.Error(), canary)
	syntax, ok := errors.AsType[*dotenv.SyntaxError](err)
	require.True(t, ok)
	require.Equal(t, ".env", syntax.File)
}

func TestCutFunc(t *testing.T) {
	var seen []string
	out, err := dotenv.CutFunc([]byte("A=1\nB=2\nA='\n'\n"), func(e dotenv.Entry) bool {
		seen = append(seen, fmt.Sprint(e.Name, e.Line, e.EndLine))
		return e.Line == 1
	})
	require.NoError(t, err)
	require.Equal(t, "B=2\nA='\n'\n", string(out))
	require.Equal(t, []string{"A1 1", "B2 2", "A3 4"}, seen)
}

// named returns the entries called name, or all others, as NAME=value.
func named(entries []dotenv.Entry, name string, is bool) []string {
	var out []string
	for _, e := range entries {
		if (e.Name == name) == is {
			out = append(out, e.Name+"="+e.Value.Reveal())
		}
	}
	return out
}

// requireEdits sets and cuts a name in a valid file.
func requireEdits(t *testing.T, src, name, value string) {
	t.Helper()
	before, err := dotenv.ParseRepeats(".env", []byte(src))
	require.NoError(t, err)
	others := named(before, name, false)

	out, err := dotenv.Set([]byte(src), name, bundle.NewValue(value))
	require.NoError(t, err)
	after, err := dotenv.ParseRepeats(".env", out)
	require.NoError(t, err, "Set of %s to %q in %q: %q", name, value, src, out)
	require.Equal(t, others, named(after, name, false), "Set of %s to %q in %q changes no other entry: %q", name, value, src, out)
	require.Equal(t, []string{name + "=" + value}, named(after, name, true), "Set of %s to %q in %q: %q", name, value, src, out)
	again, err := dotenv.Set(out, name, bundle.NewValue(value))
	require.NoError(t, err)
	require.Equal(t, string(out), string(again), "Set a second time changes nothing")

	for _, from := range []string{src, string(out)} {
		cut, err := dotenv.Cut([]byte(from), name)
		require.NoError(t, err)
		after, err = dotenv.ParseRepeats(".env", cut)
		require.NoError(t, err, "Cut of %s from %q: %q", name, from, cut)
		require.Equal(t, others, named(after, name, false), "Cut of %s from %q changes no other entry: %q", name, from, cut)
		require.Empty(t, named(after, name, true), "Cut of %s from %q: %q", name, from, cut)
	}
}

func TestSet_AnyFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	values := []string{"", "abc", "a b # comment", "'one'", "\"two\" # comment", "'a\nb\n\n# no comment\nA=d\n'", "\"x\\\"\ny\"\t#c", "'\r'", "'a\r\nb'"}
	between := []string{"", "\n", "# comment\n", "  # A=1\n\n", "\t\n"}
	for range 2000 {
		var src strings.Builder
		if rng.IntN(4) == 0 {
			src.WriteString("\ufeff")
		}
		end := []string{"\n", "\r\n", "mixed"}[rng.IntN(3)]
		for range rng.IntN(6) {
			text := between[rng.IntN(len(between))] + []string{"", "export "}[rng.IntN(2)] + string(rune('A'+rng.IntN(4))) + "=" + values[rng.IntN(len(values))] + "\n"
			if end == "\r\n" || end == "mixed" && rng.IntN(2) == 0 {
				text = strings.ReplaceAll(text, "\n", "\r\n")
			}
			src.WriteString(text)
		}
		text := src.String()
		if rng.IntN(3) == 0 {
			text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		}
		if _, err := dotenv.ParseRepeats(".env", []byte(text)); err != nil {
			continue // a CR without LF
		}
		for _, e := range awkward(rng, 2) {
			requireEdits(t, text, "A", e.Value.Reveal())
		}
	}
}

func FuzzSet(f *testing.F) {
	for _, src := range []string{"", "A=1", "B=1\r\nA='\r\n'\r\n", "\ufeffA=1\nB='\r\n'", "A=1\nB=2\nA=3\n", "export A=\"x\ny\" # c\n\n"} {
		for _, value := range []string{"", "b c", "it's", "x\r\ny\n", "\r"} {
			f.Add([]byte(src), value)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, value string) {
		if len(src)+len(value) > dotenv.MaxSize/4 || bundle.CheckValue(bundle.NewValue(value)) != nil {
			return
		}
		before := slices.Clone(src)
		if _, err := dotenv.ParseRepeats(".env", src); err != nil {
			_, err = dotenv.Set(src, "A", bundle.NewValue(value))
			require.Error(t, err)
			_, err = dotenv.Cut(src, "A")
			require.Error(t, err)
			return
		}
		requireEdits(t, string(src), "A", value)
		require.Equal(t, before, src)
	})
}
