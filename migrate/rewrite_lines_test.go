package migrate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// file returns a File with the given content.
func file(t testing.TB, name, section, content string) (*File, error) {
	t.Helper()
	f := &File{Path: name, Section: section, content: bundle.NewValue(content), cut: cutDotenv}
	f.parse = func(s string) ([]Entry, error) { return parseDotenv(name, s) }
	if strings.HasSuffix(name, ".yaml") {
		f.parse, f.cut = func(s string) ([]Entry, error) { return parseYAML(name, section, s) }, cutYAML
	}
	var err error
	f.Entries, err = f.parse(content)
	return f, err
}

// cuttable returns the indices of the entries that can be removed.
func cuttable(f *File) []int {
	var out []int
	for i, e := range f.Entries {
		if e.ByHand == "" && e.Fault == "" {
			out = append(out, i)
		}
	}
	return out
}

// piece is an entry, or text between entries.
type piece struct {
	name, text string
}

// requireCuts removes random sets of entries from a file made of pieces, and requires
// the other pieces to be unchanged.
func requireCuts(t *testing.T, rng *rand.Rand, filename, section string, pieces []piece) {
	t.Helper()
	var content strings.Builder
	for _, p := range pieces {
		content.WriteString(p.text)
	}
	f, err := file(t, filename, section, content.String())
	require.NoError(t, err, "from %q", content.String())
	var names []string
	for _, p := range pieces {
		if p.name != "" {
			names = append(names, p.name)
		}
	}
	require.Len(t, f.Entries, len(names), "from %q", content.String())
	for range 4 {
		var cut []int
		var want strings.Builder
		i := 0
		for _, p := range pieces {
			if p.name == "" {
				want.WriteString(p.text)
				continue
			}
			require.Equal(t, p.name, f.Entries[i].Name)
			require.Empty(t, f.Entries[i].ByHand, "%s of %q", p.name, content.String())
			if rng.IntN(2) == 0 {
				cut = append(cut, i)
			} else {
				want.WriteString(p.text)
			}
			i++
		}
		got, err := f.without(cut)
		require.NoError(t, err, "without %v of %q", cut, content.String())
		require.Equal(t, want.String(), got, "without %v of %q", cut, content.String())
	}
}

func TestWithout_Dotenv(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := []string{"", "abc", "a b # comment", "'one'", `"two" # comment`, "'a\nb\n\n# no comment\nC=d\n'", "\"x\\\"\ny\\\\\"\t#c", `"\n\t\$"`, "$5 \\n a#1", "-----"}
	between := []string{"", "\n", "# comment\n", "  # indented\n\n", "#A=1\n", "\t\n"}
	for range 400 {
		end := []string{"\n", "\r\n"}[rng.IntN(2)]
		var pieces []piece
		if rng.IntN(4) == 0 {
			pieces = append(pieces, piece{text: "\ufeff"})
		}
		for i := range rng.IntN(8) {
			name := fmt.Sprintf("N%d", i)
			text := []string{"", "export ", "  ", "\texport\t"}[rng.IntN(4)] + name + "=" + values[rng.IntN(len(values))] + "\n"
			pieces = append(pieces, piece{text: between[rng.IntN(len(between))]}, piece{name, text})
		}
		pieces = append(pieces, piece{text: between[rng.IntN(len(between))]})
		for i := range pieces {
			pieces[i].text = strings.ReplaceAll(pieces[i].text, "\n", end)
		}
		if last := &pieces[len(pieces)-1]; last.text == "" && len(pieces) > 1 && rng.IntN(2) == 0 {
			before := &pieces[len(pieces)-2]
			before.text = strings.TrimSuffix(before.text, end) // no end of the last line
		}
		requireCuts(t, rng, ".env", "", pieces)
	}
}

func TestWithout_YAML(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	// Every line after the first stands below the name.
	values := []string{
		"abc", "a b # comment", "'one'", "'it''s' # comment", `"two\"\\" # comment`, "8080", "'a\n\n  # no comment\n  b'", "\"x\\\n  y # no comment\n  z\"",
		"plain\n  goes on\n    and on", "\n  below", "# comment\n  below", "|\n  one\n  two", "|-\n  one\n\n  # no comment\n   three", ">-  # folded\n  a\n  b",
		"|2\n    x\n  y", "|\n\n  after a blank line", "|\n      deep\n      er", "\"\"", "a: b"[:1], "'# no comment'", "x#y", "é漢😀",
	}
	between := []string{"", "\n", "# comment\n", "\n# comment\n\n", "      # indented more\n"}
	for round := range 600 {
		indent, section, end := "", "", []string{"\n", "\r\n"}[rng.IntN(2)]
		var pieces []piece
		switch rng.IntN(4) {
		case 0:
			pieces = append(pieces, piece{text: "\ufeff# start\n"})
		case 1:
			pieces = append(pieces, piece{text: "---\n"})
		case 2:
			section, indent = "secrets", strings.Repeat(" ", 1+rng.IntN(4))
			pieces = append(pieces, piece{text: "other: [1, {x: 2}]\nsecrets:\n"})
		}
		for i := range 1 + rng.IntN(7) {
			name := fmt.Sprintf("N%d", i)
			value := values[rng.IntN(len(values))]
			gap := between[rng.IntN(len(between))]
			if strings.HasPrefix(gap, " ") { // would belong to the value above
				gap = ""
			}
			key := []string{name, `"` + name + `"`, name + " "}[rng.IntN(3)]
			text := indent + key + ": " + strings.ReplaceAll(value, "\n", "\n"+indent) + "\n"
			pieces = append(pieces, piece{text: gap}, piece{name, text})
		}
		if section != "" {
			pieces = append(pieces, piece{text: "last: 1\n"})
		}
		for i := range pieces {
			pieces[i].text = strings.ReplaceAll(pieces[i].text, "\n", end)
		}
		t.Run(fmt.Sprint(round), func(t *testing.T) { requireCuts(t, rng, "config.yaml", section, pieces) })
	}
}

func TestWithout(t *testing.T) {
	t.Run("keeps a comment below a block", func(t *testing.T) {
		f, err := file(t, "config.yaml", "", "A: |\n    hunter2\n    # a line of the value\n  # a comment\nB: letmein\n")
		require.NoError(t, err)
		require.Equal(t, "hunter2\n# a line of the value\n", f.Entries[0].Value.Reveal())
		got, err := f.without([]int{0})
		require.NoError(t, err)
		require.Equal(t, "  # a comment\nB: letmein\n", got, "it is indented less than the value")
	})

	t.Run("leaves lines that another value would absorb", func(t *testing.T) {
		const src = "A: |+\n  one-1\n\nB: letmein\n\nC: letmein\nD: letmein\n"
		f, err := file(t, "config.yaml", "", src)
		require.NoError(t, err)
		got, err := f.without([]int{0, 1, 2})
		require.NoError(t, err)
		require.Equal(t, "\nD: letmein\n", got, "such a value includes the blank lines")

		require.Equal(t, []int{1}, f.misfits([]int{1, 2, 3}), "without B, A would have another blank line")
		plan, err := f.Plan(&Options{Exclude: []string{"A"}})
		require.NoError(t, err)
		require.Equal(t, misfit, plan.Items[1].ByHand)
		require.Empty(t, plan.Items[2].ByHand)
	})
}

func TestWithout_ByHand(t *testing.T) {
	for about, row := range map[string]struct{ src, name, want string }{
		"flow":             {"{A: secret-1, B: secret-2}\n", "A", "it is between braces"},
		"flow over lines":  {"{\n  A: secret-1,\n  B: secret-2\n}\n", "B", "it is between braces"},
		"an explicit key":  {"? A\n: secret-1\n", "A", "it does not start at the beginning of its line"},
		"after the marker": {"--- {A: secret-1}\n", "A", "it is between braces"},
	} {
		t.Run(about, func(t *testing.T) {
			f, err := file(t, "config.yaml", "", row.src)
			require.NoError(t, err)
			i := slices.IndexFunc(f.Entries, func(e Entry) bool { return e.Name == row.name })
			require.Equal(t, row.want, f.Entries[i].ByHand)
			require.Empty(t, f.Entries[i].Fault, "it can be moved anyway")
			_, err = f.without([]int{i})
			require.Error(t, err)
			plan, err := f.Plan(nil)
			require.NoError(t, err)
			require.Equal(t, ActionMove, plan.Items[i].Action)
			require.Contains(t, plan.String(), "remove it by hand: "+row.want)
		})
	}
}

func TestFile_PlanUnusable(t *testing.T) {
	f, err := file(t, "config.yaml", "", "A: letmein-1\nmap:\n  B: letmein-2\nC: &x letmein-3\nD: *x\nE: !tag letmein-4\nF:\n<<: {G: letmein-5}\nletmein-6: x\nH: \"letmein\\0\"\nI: letmein-7\n")
	require.NoError(t, err)
	plan, err := f.Plan(nil)
	require.NoError(t, err)
	var got []string
	for _, item := range plan.Items {
		got = append(got, fmt.Sprintf("%d %s %s %s", item.Line, item.Name, item.Class, item.Action))
	}
	require.Equal(t, []string{
		"1 A secret move", "2 map unusable keep", "4 C unusable keep", "5 D unusable keep", "6 E unusable keep", "7 F unusable keep",
		"8  name keep", "9  name keep", "10 H unusable keep", "11 I secret move",
	}, got)
	require.NotContains(t, plan.String(), "letmein", "values and invalid keys are not shown")
}

func TestRead(t *testing.T) {
	for name, src := range map[string]string{
		".env":        "A=1\nletmein-canary\n",
		"spaces.env":  "A = letmein-canary\n",
		"bad.yaml":    "A: \"letmein-canary\n",
		"list.yaml":   "- letmein-canary\n",
		"two.yml":     "A: 1\n---\nB: letmein-canary\n",
		"utf8.yaml":   "A: letmein-canary\xff\n",
		"escape.yaml": "A: letmein-canary\x1b\n",
		"nul.env":     "A=letmein-canary\x00\n",
	} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(src), 0o600))
		_, err := Read(path)
		require.ErrorContains(t, err, path, "the error names the file")
		require.NotContains(t, err.Error(), "letmein")
	}
	_, err := Read(t.TempDir())
	require.ErrorContains(t, err, "is a directory; use a regular file")
	_, err = Read(filepath.Join(t.TempDir(), ".env"))
	require.ErrorIs(t, err, os.ErrNotExist)
	big := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(big, make([]byte, maxSize+1), 0o600))
	_, err = Read(big)
	require.ErrorContains(t, err, "is larger than the limit")
	_, err = ReadSection(big, "x")
	require.ErrorContains(t, err, "only YAML files have sections")
}

// seedCuts adds seeds of the fuzz tests.
func seedCuts(f *testing.F, seeds ...string) {
	for _, seed := range seeds {
		f.Add(seed, uint64(5))
		f.Add(seed, ^uint64(0))
	}
}

// chosen returns the indices whose bits are set.
func chosen(indices []int, bits uint64) []int {
	var out []int
	for _, i := range indices {
		if bits>>(i%64)&1 == 1 {
			out = append(out, i)
		}
	}
	return out
}

// requireRest fails the test unless got is the content without the lines of these
// entries, and is parsed as the other entries.
func requireRest(t *testing.T, f *File, cut []int, got string) {
	t.Helper()
	content := f.content.Reveal()
	lines := strings.SplitAfter(strings.TrimPrefix(content, byteOrderMark), "\n")
	for _, i := range cut {
		for n := f.Entries[i].Line; n <= f.Entries[i].EndLine; n++ {
			lines[n-1] = ""
		}
	}
	want := strings.Join(lines, "")
	if strings.HasPrefix(content, byteOrderMark) {
		want = byteOrderMark + want
	}
	require.Equal(t, want, got, "every other byte stays")

	again, err := f.parse(got)
	require.NoError(t, err)
	var names, left []string
	for i, e := range f.Entries {
		if !slices.Contains(cut, i) {
			names = append(names, e.Name+"="+e.Value.Reveal())
		}
	}
	for _, e := range again {
		left = append(left, e.Name+"="+e.Value.Reveal())
	}
	require.Equal(t, names, left, "the other entries are read as before")
}

func FuzzWithout_Dotenv(f *testing.F) {
	seedCuts(f, "", "A=1\nB=2\n", "\ufeffA='x\ny'\r\nB=2", "# c\nexport A=\"\\\"\n\"\t# d\n\nB=", "A=1\nA=2\n", "A='\r\n'\nB='\r\n'\r\n")
	f.Fuzz(func(t *testing.T, content string, bits uint64) {
		file, err := file(t, ".env", "", content)
		if err != nil {
			return
		}
		cut := chosen(cuttable(file), bits)
		got, err := file.without(cut)
		require.NoError(t, err, "lines of a .env file can always be removed")
		requireRest(t, file, cut, got)
	})
}

func FuzzWithout_YAML(f *testing.F) {
	seedCuts(f, "", "A: 1\nB: 2\n", "{A: 1, B: 2}", "A: |\n  x\n # c\nB: 'y\n  z'\n", "\ufeffA: >+\r\n  x\r\n\r\nB: 2", "? A\n: b\n", "A:\n  b\n  c # d\n# e\nB: \"x\\\n  y\"\n",
		"A: &x b\nB: *x\n", "A: |1\n  x\n x\nB: -\n", "---\nA: b\n...\n", " A: |\n  # c\n B: d\n", "A: b\n\n  c\nB: d")
	f.Fuzz(func(t *testing.T, content string, bits uint64) {
		file, err := file(t, "config.yaml", "", content)
		if err != nil {
			return
		}
		cut := chosen(cuttable(file), bits)
		got, err := file.without(cut)
		if err != nil {
			require.Contains(t, err.Error(), "would be read differently", "removal by hand is allowed")
			return
		}
		requireRest(t, file, cut, got)
	})
}
