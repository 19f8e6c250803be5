package yamlfile

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// canary is in every invalid file and in no error.
const canary = "hunter2canary"

// read returns the values by name.
func read(t *testing.T, section, src string) map[string]string {
	t.Helper()
	secrets, err := parse("config.yaml", section, []byte(src))
	require.NoError(t, err, "the file is well formed")
	return values(secrets)
}

func values(secrets []bundle.Secret) map[string]string {
	m := map[string]string{}
	for _, s := range secrets {
		m[s.Name] = s.Value.Reveal()
	}
	return m
}

func TestParse_Values(t *testing.T) {
	for _, row := range []struct{ about, src, want string }{
		{"word", "A: b", "b"},
		{"octal", "A: 0123", "0123"},
		{"exponent", "A: 1e3", "1e3"},
		{"hexadecimal", "A: 0x10", "0x10"},
		{"digits apart", "A: 1_000", "1_000"},
		{"many digits", "A: 123456789012345678901234567890", "123456789012345678901234567890"},
		{"trailing zero", "A: 1.10", "1.10"},
		{"infinity", "A: .inf", ".inf"},
		{"yes", "A: yes", "yes"},
		{"true", "A: True", "True"},
		{"off", "A: off", "off"},
		{"date", "A: 2026-01-02", "2026-01-02"},
		{"time", "A: 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
		{"base 60", "A: 12:30:45", "12:30:45"},
		{"comment", "A: b # c", "b"},
		{"# inside a word", "A: b#c", "b#c"},
		{"inner blanks", "A: b  c", "b  c"},
		{"empty, single quotes", "A: ''", ""},
		{"empty, double quotes", `A: ""`, ""},
		{"null between quotes", "A: 'null'", "null"},
		{"single quotes", `A: 'it''s \n'`, `it's \n`},
		{"double quotes", `A: "a\tb\n\"c\" \x41\u00e9\U0001F600"`, "a\tb\n\"c\" Aé😀"},
		{"control character as an escape", `A: "\e\x01\x7f\u2028\u0085\r"`, "\x1b\x01\x7f\u2028\u0085\r"},
		{"literal block", "A: |\n  b\n   c\n\n  d\n", "b\n c\n\nd\n"},
		{"literal block without a last line feed", "A: |-\n  b\n  c\n", "b\nc"},
		{"literal block with all line feeds", "A: |+\n  b\n\n", "b\n\n"},
		{"folded block", "A: >-\n  b\n  c\n", "b c"},
		{"a block that looks like YAML", "A: |-\n  B: &x [*y, !z]\n  --- # d\n", "B: &x [*y, !z]\n--- # d"},
		{"CRLF", "A: b\r\n", "b"},
		{"CRLF in a block", "A: |-\r\n  b\r\n  c\r\n", "b\nc"},
		{"byte order mark", "\ufeffA: b", "b"},
		{"start of a document", "# c\n---\nA: b\n...\n", "b"},
		{"a key between quotes", `"A": b`, "b"},
		{"an explicit key", "? A\n: b", "b"},
		{"flow", "{A: b}", "b"},
		{"JSON", `{"A": "b\u00e9\/"}`, "bé/"},
		{"unicode", "A: héé 漢 😀", "héé 漢 😀"},
		{"a replacement character", "A: \ufffd", "\ufffd"},
	} {
		t.Run(row.about, func(t *testing.T) {
			require.Equal(t, map[string]string{"A": row.want}, read(t, "", row.src), "from %q", row.src)
		})
	}
}

func TestParse(t *testing.T) {
	t.Run("keeps names as text", func(t *testing.T) {
		require.Equal(t, map[string]string{"yes": "1", "null": "2", "_": "3"}, read(t, "", "yes: 1\nnull: 2\n_: 3\n"))
	})

	t.Run("returns no secrets for an empty file", func(t *testing.T) {
		for _, src := range []string{"", "\n", "# A: b\n", "---\n", "---\n...\n", "{}", "\ufeff"} {
			require.Empty(t, read(t, "", src), "from %q", src)
		}
	})

	t.Run("sets the line of the key as the origin", func(t *testing.T) {
		secrets, err := parse("config.yaml", "", []byte("# one\nA: b\n\nB: |\n  x\n  y\nC: d\n"))
		require.NoError(t, err)
		var got []string
		for _, s := range secrets {
			got = append(got, s.Name+" "+s.Origin.String())
		}
		require.Equal(t, []string{"A yaml config.yaml:2", "B yaml config.yaml:4", "C yaml config.yaml:7"}, got)
	})

	t.Run("reads a section of a larger file", func(t *testing.T) {
		const src = "version: &v 2\nlist: [1, {x: *v}]\nother: !tag\n  ? [complex]\n  : y\nsecrets:\n  A: 1\n  B: two\nnothing:\n"
		require.Equal(t, map[string]string{"A": "1", "B": "two"}, read(t, "secrets", src), "the rest of the file is not validated")
		require.Empty(t, read(t, "nothing", src), "an empty section has no secrets")
		require.Equal(t, map[string]string{"x": "1"}, read(t, "a b", "{a b: {x: 1}}"), "any key may be a section")
	})

	t.Run("does not expand aliases", func(t *testing.T) {
		var src strings.Builder
		src.WriteString("a0: &a0 [" + canary + "]\n")
		for i := 1; i < 60; i++ {
			n, m := strconv.Itoa(i), strconv.Itoa(i-1)
			src.WriteString("a" + n + ": &a" + n + " [" + strings.Repeat("*a"+m+",", 9) + "]\n")
		}
		src.WriteString("secrets:\n  A: 1\n")
		// Expanded, the file has 9^60 elements, and the test would not end.
		require.Equal(t, map[string]string{"A": "1"}, read(t, "secrets", src.String()))
		_, err := parse("config.yaml", "", []byte(src.String()))
		require.ErrorContains(t, err, "config.yaml:1: anchors are not supported")
	})
}

func TestParse_Errors(t *testing.T) {
	t.Run("name the line and the fix", func(t *testing.T) {
		for _, row := range []struct{ about, src, want string }{
			{"null", "A: " + canary + "\nB: null", `config.yaml:2: B has no value; write "" for an empty value, and quotes around a word such as null`},
			{"tilde", "A: ~", "config.yaml:1: A has no value"},
			{"nothing", "A:\nB: " + canary, "config.yaml:1: A has no value"},
			{"nested mapping", "A:\n  B: " + canary, "config.yaml:2: A has a mapping or a list; write one value, in quotes if it contains braces or brackets"},
			{"nested list", "A:\n- " + canary, "config.yaml:2: A has a mapping or a list"},
			{"flow mapping", "A: {" + canary + ": 1}", "config.yaml:1: A has a mapping or a list"},
			{"flow list", "\nA: [" + canary + "]", "config.yaml:2: A has a mapping or a list"},
			{"twice", "A: 1\n\nA: " + canary, "config.yaml:3: A is set a second time, after line 1; remove one of the two"},
			{"twice, once between quotes", "A: 1\n'A': " + canary, "config.yaml:2: A is set a second time, after line 1"},
			{"anchor on a value", "A: &" + canary + " b", "config.yaml:1: anchors are not supported; remove the anchor, or put quotes around a value that starts with &"},
			{"anchor on a key", "&a A: " + canary, "config.yaml:1: anchors are not supported"},
			{"anchor at the top", "&a\nA: " + canary, "config.yaml:1: anchors are not supported"},
			{"alias of a key", "A: &a b\nB: *a", "config.yaml:1: anchors are not supported"},
			{"unknown alias", "A: *" + canary, "config.yaml:1: malformed YAML"},
			{"merge key", "A: b\n<<: {C: " + canary + "}", "config.yaml:2: merge keys are not supported; write out every name"},
			{"tag", "A: !secret " + canary, "config.yaml:1: tags are not supported; remove the tag, or put quotes around a value that starts with !"},
			{"tag of YAML", "A: !!str " + canary, "config.yaml:1: tags are not supported"},
			{"tag of YAML on a quoted value", "A: !!binary '" + canary + "'", "config.yaml:1: tags are not supported"},
			{"tag without a name", "A: ! " + canary, "config.yaml:1: tags are not supported"},
			{"tag without a name on a quoted value", "A: ! '" + canary + "'", "config.yaml:1: tags are not supported"},
			{"tag on a key", "!x A: " + canary, "config.yaml:1: tags are not supported"},
			{"tag at the top", "!x\nA: " + canary, "config.yaml:1: tags are not supported"},
			{"several documents", "A: 1\n---\nB: " + canary, "config.yaml:2: a second document starts here; use one document per file"},
			{"an empty second document", "A: 1\n---\n", "config.yaml:2: a second document starts here"},
			{"a bad second document", "A: 1\n---\n[" + canary, "config.yaml:4: malformed YAML"},
			{"a list at the top", "- A: " + canary, "config.yaml:1: not a mapping; write one NAME: value per line"},
			{"a scalar at the top", canary, "config.yaml:1: not a mapping"},
			{"null at the top", "null", "config.yaml:1: not a mapping"},
			{"dotenv", "A=" + canary + "\nB=" + canary, "config.yaml:1: not a mapping"},
			{"a name with a dash", "A: 1\n" + canary + "-b: c", "config.yaml:2: invalid name; want at most 128 letters, digits and _, not starting with a digit"},
			{"a name that is a number", "1: " + canary, "config.yaml:1: invalid name"},
			{"an empty name", "'': " + canary, "config.yaml:1: invalid name"},
			{"no name", ": " + canary, "config.yaml:1: invalid name"},
			{"a name that is a list", "? [" + canary + "]\n: b", "config.yaml:1: invalid name"},
			{"a NUL in a value", `A: "` + canary + `\0"`, "config.yaml:1: A has a NUL in its value; encode binary data, for example as base64"},
			{"not closed", "A: 1\nB: \"" + canary + "\nC: 2\n", "config.yaml:4: malformed YAML; check the indentation, and quote values with special characters; it belongs to the value that starts on line 2"},
			{"unknown escape", `A: "` + canary + `\q"`, "config.yaml:1: malformed YAML; check the indentation, and quote values with special characters"},
			{"a flow list that is not closed", "A: 1\nB: [" + canary + "\nC: 2", "config.yaml:3: malformed YAML; check the indentation, and quote values with special characters; it belongs to the value that starts on line 2"},
			{"two values", "A: 'b' " + canary, "config.yaml:1: malformed YAML"},
			{"a tab for a blank", "A: 1\n\tB: " + canary, "config.yaml:2: malformed YAML"},
			{"a colon in a value", "A: b: " + canary, "config.yaml:1: malformed YAML"},
			{"bad indentation", "A: 1\n B: " + canary, "config.yaml:2: malformed YAML"},
			{"a value that starts with @", "A: @" + canary, "config.yaml:1: malformed YAML"},
			{"too deep", "A: " + strings.Repeat("[", 20000) + canary, "config.yaml:1: malformed YAML"},
			{"too deep in blocks", strings.Repeat("- ", 20000) + canary, "config.yaml:1: malformed YAML"},
			{"invalid UTF-8", "A: 1\nB: " + canary + "\xff", "config.yaml:2: invalid UTF-8; save the file as UTF-8, and encode binary data, for example as base64"},
			{"UTF-16", "\xff\xfeA\x00:\x00", "config.yaml:1: invalid UTF-8"},
			{"a NUL in the file", "A: b\nB: " + canary + "\x00", `config.yaml:2: invalid character U+0000, which YAML does not preserve; write \u0000 in double quotes`},
			{"a control character", "A: '" + canary + "\x1b'", `config.yaml:1: invalid character U+001B, which YAML does not preserve; write \u001b in double quotes`},
			{"a CR that ends no line", "A: b\rB: " + canary, `config.yaml:1: invalid character U+000D`},
			{"a CR at the end", "A: " + canary + "\r", `config.yaml:1: invalid character U+000D`},
			{"a next-line character", "A: '" + canary + "\u0085b'", `config.yaml:1: invalid character U+0085`},
			{"a line separator", "A: '" + canary + "\u2028b'", `config.yaml:1: invalid character U+2028, which YAML does not preserve; write \u2028 in double quotes`},
			{"a paragraph separator", "A: '" + canary + "\u2029b'", `config.yaml:1: invalid character U+2029`},
			{"no character", "A: " + canary + "\uffff", `config.yaml:1: invalid character U+FFFF`},
		} {
			t.Run(row.about, func(t *testing.T) {
				secrets, err := parse("config.yaml", "", []byte(row.src))
				require.ErrorContains(t, err, row.want, "the message has the line, the problem and the fix")
				require.NotContains(t, err.Error(), canary, "an error contains no part of a value")
				require.Regexp(t, messages, err.Error(), "the YAML library's messages are not shown")
				require.Nil(t, secrets, "a file is accepted or rejected as a unit")
			})
		}
	})

	t.Run("name the section", func(t *testing.T) {
		for _, row := range []struct{ about, src, want string }{
			{"missing", "other:\n  A: 1\n", `config.yaml: no section "secrets" at the top level of the file`},
			{"empty file", "", `config.yaml: no section "secrets" at the top level of the file`},
			{"a list", "- secrets: 1\n", `config.yaml: no section "secrets" at the top level of the file`},
			{"twice", "secrets:\n  A: 1\nsecrets:\n  B: 1\n", `config.yaml:3: repeated section "secrets", after line 1; merge the sections`},
			{"a scalar", "secrets: " + canary + "\n", "config.yaml:1: not a mapping; write one NAME: value per line"},
			{"an alias", "a: &a\n  A: " + canary + "\nsecrets: *a\n", "config.yaml:3: aliases are not supported; write out the value, in quotes if it starts with *"},
			{"an alias inside", "a: &a " + canary + "\nsecrets:\n  A: *a\n", "config.yaml:3: aliases are not supported"},
			{"an alias for a name", "a: &a " + canary + "\nsecrets:\n  *a : b\n", "config.yaml:3: aliases are not supported"},
		} {
			t.Run(row.about, func(t *testing.T) {
				_, err := parse("config.yaml", "secrets", []byte(row.src))
				require.ErrorContains(t, err, row.want)
				require.NotContains(t, err.Error(), canary)
			})
		}
	})
}

// messages matches every possible error.
var messages = regexp.MustCompile(`^config\.yaml(:[1-9][0-9]*)?: (` + strings.Join([]string{
	`invalid UTF-8; save the file as UTF-8, and encode binary data, for example as base64`,
	`invalid character U\+[0-9A-F]{4}, which YAML does not preserve; write \\u[0-9a-f]{4} in double quotes`,
	`a second document starts here; use one document per file`,
	`malformed YAML; check the indentation, and quote values with special characters(; it belongs to the value that starts on line [1-9][0-9]*)?`,
	`not a mapping; write one NAME: value per line`,
	`[A-Za-z0-9_]+ is set a second time, after line [1-9][0-9]*; remove one of the two`,
	`merge keys are not supported; write out every name`,
	`invalid name; want at most 128 letters, digits and _, not starting with a digit`,
	`[A-Za-z0-9_]+ has a mapping or a list; write one value, in quotes if it contains braces or brackets`,
	`[A-Za-z0-9_]+ has no value; write "" for an empty value, and quotes around a word such as null`,
	`[A-Za-z0-9_]+ has a NUL in its value; encode binary data, for example as base64`,
	`aliases are not supported; write out the value, in quotes if it starts with \*`,
	`anchors are not supported; remove the anchor, or put quotes around a value that starts with &`,
	`tags are not supported; remove the tag, or put quotes around a value that starts with !`,
}, "|") + `)$`)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"A: b", "{A: b}", "A: |\n  x\nB: >-\n  y\n", "A: 'it''s'\nB: \"\\n\\u2028\"", "---\nA: b\n...\n---\n", "A: &a b\nB: *a\n<<: *a", "? A\n: b",
		"A: !!str 1\n", "#\n- - QI", "! !00 x", "a:\n.\n-\n", "A: \"\\0\"", "%YAML 1.1\n---\nA: 1", "A: ~\n", "A: 0x10 # c\n# d\n", "\ufeffA: b\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		secrets, err := parse("config.yaml", "", src)
		if err != nil {
			require.Regexp(t, messages, err.Error(), "an error is a known message")
			return
		}
		var again strings.Builder
		for _, s := range secrets {
			require.NoError(t, bundle.CheckName(s.Name), "the name is valid")
			require.NoError(t, bundle.CheckValue(s.Value), "the value is valid")
			again.WriteString(s.Name + ": " + strconv.QuoteToASCII(s.Value.Reveal()) + "\n")
		}
		if again.Len() > 0 {
			require.Equal(t, values(secrets), read(t, "", again.String()), "double-quoted, the value is the same")
		}
	})
}
