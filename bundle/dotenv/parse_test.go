package dotenv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

// canary is in every invalid file, and in no error.
const canary = "hunter2canary"

// parse returns the values by name.
func parse(t *testing.T, src string) map[string]string {
	t.Helper()
	entries, err := dotenv.Parse(".env", []byte(src))
	require.NoError(t, err, "the file is valid")
	return values(entries)
}

func values(entries []dotenv.Entry) map[string]string {
	m := map[string]string{}
	for _, e := range entries {
		m[e.Name] = e.Value.Reveal()
	}
	return m
}

func TestParse(t *testing.T) {
	t.Run("reads values", func(t *testing.T) {
		for _, row := range []struct{ about, src, want string }{
			{"plain", "A=b", "b"},
			{"plain with a newline", "A=b\n", "b"},
			{"empty", "A=", ""},
			{"empty, trailing whitespace", "A= \t", ""},
			{"empty, comment", "A= # nothing yet", ""},
			{"export", "export A=b", "b"},
			{"export and tabs", "\texport \t A=b", "b"},
			{"leading whitespace", " \t A=b", "b"},
			{"trailing whitespace", "A=b \t ", "b"},
			{"inner whitespace", "A=b  c\td", "b  c\td"},
			{"comment after a space", "A=b # c", "b"},
			{"comment after a tab", "A=b\t#c", "b"},
			{"comment with quotes", "A=b # it's \"c\"", "b"},
			{"# inside a word", "A=b#c", "b#c"},
			{"# at the start", "A=#b", "#b"},
			{"= in the value", "A=b=c==", "b=c=="},
			{"no escapes without quotes", `A=b\n\\$HOME${X}` + "`id`$(id)", `b\n\\$HOME${X}` + "`id`$(id)"},
			{"unicode", "A=héé ✓", "héé ✓"},
			{"single quotes", `A='b c'`, "b c"},
			{"single quotes, empty", `A=''`, ""},
			{"single quotes are literal", `A='\n "$x" #c \'`, `\n "$x" #c \`},
			{"single quotes span lines", "A='b\n#c\nd=e'", "b\n#c\nd=e"},
			{"double quotes", `A="b c"`, "b c"},
			{"double quotes, empty", `A=""`, ""},
			{"double quotes, escapes", `A="\n\r\t\"\\\$\` + "`" + `"`, "\n\r\t\"\\$`"},
			{"double quotes, escaped backslash before n", `A="\\n"`, `\n`},
			{"double quotes, $ is literal", `A="$HOME ${X} $(id)"`, "$HOME ${X} $(id)"},
			{"double quotes span lines", "A=\"b\n'c'\n\"", "b\n'c'\n"},
			{"whitespace after the quote", "A='b' \t", "b"},
			{"comment after the quote", "A=\"b\" #c", "b"},
			{"whitespace inside quotes", "A='  b  '", "  b  "},
			{"byte order mark", "\ufeffA=b", "b"},
			{"byte order mark in a value", "A=\ufeffb", "\ufeffb"},
			{"CRLF", "A=b\r\n", "b"},
			{"CRLF after whitespace", "A=b \r\n", "b"},
			{"CRLF after a quote", "A='b'\r\n", "b"},
			{"CRLF inside quotes of a CRLF file", "A='b\r\nc'\r\n", "b\nc"},
			{"CRLF inside double quotes of a CRLF file", "A=\"b\r\nc\" # d\r\n", "b\nc"},
			{"CRLF inside quotes of an LF file", "A='b\r\nc'\n", "b\r\nc"},
			{"CRLF inside quotes at the end of a file", "A='b\r\nc'", "b\r\nc"},
			{"CR inside quotes of a CRLF file", "A='b\rc'\r\n", "b\rc"},
			{"an escaped CR is not a line end", "A=\"b\\r\nc\"\r\n", "b\r\nc"},
			{"a replacement character", "A=\ufffd", "\ufffd"},
		} {
			t.Run(row.about, func(t *testing.T) {
				require.Equal(t, map[string]string{"A": row.want}, parse(t, row.src), "from %q", row.src)
			})
		}
	})

	// The lines are those of the package documentation.
	t.Run("reads the documented file", func(t *testing.T) {
		require.Equal(t, map[string]string{
			"TOKEN": "abc", "EMPTY": "", "TITLE": `two words, $5 \n a#1`, "LITERAL": `$5 \n "x"`, "ESCAPED": "a\tb \"x\" $5",
		}, parse(t, `# A comment has its own line, or follows whitespace.
export TOKEN=abc            # export is allowed and ignored
EMPTY=                      # an empty value; NAME alone is an error
TITLE=two words, $5 \n a#1  # to the end of the line, taken literally
LITERAL='$5 \n "x"'         # no escapes; may span lines
ESCAPED="a\tb \"x\" $5"     # \n \r \t \" \\ \$ \`+"`"+` and no others; may span lines
`))
	})

	t.Run("accepts export as a name", func(t *testing.T) {
		require.Equal(t, map[string]string{"export": "1", "exported": "2"}, parse(t, "export=1\nexported=2"),
			"export is skipped only before whitespace")
	})

	t.Run("skips blank lines and comments", func(t *testing.T) {
		require.Empty(t, parse(t, ""), "an empty file has no entries")
		require.Empty(t, parse(t, "\ufeff"), "a byte order mark is not an entry")
		require.Empty(t, parse(t, "\n \t \n# A=b\n  # A=b\n\r\n#"), "blank lines and comments are not entries")
	})

	t.Run("returns entries in order, with their lines", func(t *testing.T) {
		entries, err := dotenv.Parse(".env", []byte("# one\nB=1\n\nA='x\ny\n'\r\nC=\"\n\"\nD=4"))
		require.NoError(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%s %d-%d", e.Name, e.Line, e.EndLine))
		}
		require.Equal(t, []string{"B 2-2", "A 4-6", "C 7-8", "D 9-9"}, got, "in the order of the file, with lines counted from 1")
	})

	t.Run("reports the line of an error and its fix", func(t *testing.T) {
		for _, row := range []struct{ about, src, want string }{
			{"no =", canary, `.env:1: missing "="; write NAME= for an empty value, and quotes around a multi-line value`},
			{"export and no =", "\nexport " + canary, `.env:2: missing "=";`},
			{"second line of a value without quotes", "A=-----BEGIN\n" + canary, `.env:2: missing "=";`},
			{"base64 tail that looks like a name", "A=b\n+" + canary + "==", `.env:2: invalid name before "="; want at most 128 letters, digits and _, not starting with a digit`},
			{"no name", "=" + canary, `.env:1: invalid name before "="`},
			{"name with a digit first", "1A=" + canary, `.env:1: invalid name before "="`},
			{"name with a dash", canary + "-A=b", `.env:1: invalid name before "="`},
			{"name with a no-break space", "A\u00a0=" + canary, `.env:1: invalid name before "="`},
			{"name in quotes", `"A"=` + canary, `.env:1: invalid name before "="`},
			{"two words", "A B=" + canary, `.env:1: invalid name before "="`},
			{"name too long", strings.Repeat("A", 129) + "=" + canary, `.env:1: invalid name before "="`},
			{"space before =", "A =" + canary, `.env:1: whitespace before "="; remove it`},
			{"space after =", "A= " + canary, `.env:1: whitespace after "="; remove it, or put quotes around`},
			{"tab after =, then a quote", "A=\t'" + canary + "'", `.env:1: whitespace after "="; remove it`},
			{"quote inside", "A=" + canary + "'s", ".env:1: quote inside an unquoted value; put quotes around the whole value"},
			{"double quote inside", `A={"k":"` + canary + `"}`, ".env:1: quote inside an unquoted value"},
			{"text after single quotes", "A='b'" + canary, ".env:1: unexpected text after the closing quote; put quotes around the whole value, and a space before a comment"},
			{"text after double quotes", `A="b" ` + canary, ".env:1: unexpected text after the closing quote"},
			{"comment stuck to the quote", "A='b'#" + canary, ".env:1: unexpected text after the closing quote"},
			{"joined quotes", "A='b'\"" + canary + `"`, ".env:1: unexpected text after the closing quote"},
			{"a quote that swallowed a line", "A='b\nB='" + canary + "'", ".env:2: unexpected text after the closing quote; put quotes around the whole value, and a space before a comment; the quote opens on line 1"},
			{"single quote not closed", "A=1\nB='" + canary + "\nC=2\n", ".env:2: unclosed quote; add the closing quote"},
			{"double quote not closed", "\n\nA=\"" + canary + "\\\"\n", ".env:3: unclosed quote"},
			{"unknown escape", `A="` + canary + `\x41"`, `.env:1: unknown escape in double quotes; want \n \r \t \" \\ \$ or ` + "\\`" + `; write \\ for a backslash`},
			{"unknown escape on a later line", "A=\"\n\\n\n" + canary + "\\e\"", ".env:3: unknown escape"},
			{"escaped line end", "A=\"" + canary + "\\\nb\"", ".env:1: unknown escape"},
			{"escaped CRLF", "A=\"" + canary + "\\\r\nb\"\r\n", ".env:1: unknown escape"},
			{"twice", "A=1\n\nA=" + canary, ".env:3: A is set a second time, after line 1; remove one of the two"},
			{"twice, once in a quoted value's file", "A='\n\n'\nexport A=" + canary, ".env:4: A is set a second time, after line 1"},
			{"CR in a value", "A=b\r" + canary, `.env:1: CR without LF; end lines with LF or CRLF, or write \r in double quotes`},
			{"CR in a comment", "#\rA=" + canary, ".env:1: CR without LF"},
			{"CR at the end", "B=1\nA=" + canary + "\r", ".env:2: CR without LF"},
			{"two CRs", "A=" + canary + "\r\r\n", ".env:1: CR without LF"},
			{"CR in a blank line", "\r\r\nA=" + canary, ".env:1: CR without LF"},
			{"CR in the comment after a quote", "A='b' #\r" + canary + "\n", ".env:1: CR without LF"},
			{"NUL", "A=1\nB='" + canary + "\x00'", ".env:2: NUL byte; encode binary data, for example as base64"},
			{"invalid UTF-8", "A=1\n\nB=" + canary + "\xff", ".env:3: invalid UTF-8; save the file as UTF-8"},
			{"invalid UTF-8 in a comment", "#\xc3\nB=" + canary, ".env:1: invalid UTF-8"},
			{"UTF-16", "\xff\xfeA\x00=\x00", ".env:1: invalid UTF-8"},
			{"too long", "A=" + strings.Repeat(canary, dotenv.MaxSize/len(canary)+1), ".env: the file has 10485"},
		} {
			t.Run(row.about, func(t *testing.T) {
				entries, err := dotenv.Parse(".env", []byte(row.src))
				require.ErrorContains(t, err, row.want, "the error has the position, the problem and the fix")
				require.NotContains(t, err.Error(), canary, "an error never contains a part of a value")
				require.Nil(t, entries, "there are no partial results")
				fault, ok := errors.AsType[*dotenv.SyntaxError](err)
				require.True(t, ok, "the error is a *SyntaxError")
				require.Equal(t, ".env", fault.File, "the error has the name passed to Parse")
			})
		}
	})

	t.Run("reads a file of MaxSize bytes", func(t *testing.T) {
		src := "A=" + strings.Repeat("x", dotenv.MaxSize-2)
		require.Len(t, parse(t, src)["A"], dotenv.MaxSize-2, "the limit itself is allowed")
	})
}

func TestParseRepeats(t *testing.T) {
	const src = "A=1\nB=2\nA='3\n4'\n"
	_, err := dotenv.Parse(".env", []byte(src))
	require.ErrorContains(t, err, "A is set a second time, after line 1")
	entries, err := dotenv.ParseRepeats(".env", []byte(src))
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s=%q %d-%d", e.Name, e.Value.Reveal(), e.Line, e.EndLine))
	}
	require.Equal(t, []string{`A="1" 1-1`, `B="2" 2-2`, `A="3\n4" 3-4`}, got, "all entries, in the order of the file")
	_, err = dotenv.ParseRepeats(".env", []byte("A=1\nA = "+canary))
	require.ErrorContains(t, err, `.env:2: whitespace before "="`, "all other rules are the same")
}

func TestEntry_Format(t *testing.T) {
	t.Run("does not print its value", func(t *testing.T) {
		entries, err := dotenv.Parse(".env", []byte("A="+canary))
		require.NoError(t, err)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			require.NotContains(t, fmt.Sprintf(verb, entries), canary, "the value of an entry is a bundle.Value")
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"A=b", "export A='b\nc' # d\r\n", "A=\"\\n\\\\\\$\" #", "\ufeffA=b c # d\r\nB=", "A='\r\n'\nB=\"\r\n\"\r\n", "A=b\rc", "A=\"\\", "A==#", "export=\texport ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		entries, err := dotenv.Parse(".env", src)
		if err != nil {
			fault, ok := errors.AsType[*dotenv.SyntaxError](err)
			require.True(t, ok, "every error is a *SyntaxError")
			require.LessOrEqual(t, fault.Line, strings.Count(string(src), "\n")+1, "the line exists")
			require.Positive(t, fault.Line, "the error for a short file has a line")
			return
		}
		line := 0
		for _, e := range entries {
			require.NoError(t, bundle.CheckName(e.Name), "the name is valid")
			require.NoError(t, bundle.CheckValue(e.Value), "the value is valid")
			require.Greater(t, e.Line, line, "entries are in the order of their lines")
			require.GreaterOrEqual(t, e.EndLine, e.Line, "an entry does not end before it starts")
			line = e.EndLine
		}
		written, err := dotenv.Append(nil, entries...)
		require.NoError(t, err, "parsed entries can be written")
		again, err := dotenv.Parse(".env", written)
		require.NoError(t, err, "the written file can be parsed")
		require.Equal(t, values(entries), values(again), "writing changes no value")
	})
}

func TestEntry_Literal(t *testing.T) {
	for src, literal := range map[string]bool{
		`A='x$B'`:             true,
		"A='x`b`'":            true,
		"A='x\n$B\n'":         true,
		`A='x'`:               true,
		`A="x\$B"`:            true,
		"A=\"x\\`b\\` \\$B\"": true,
		`A="x$B"`:             false,
		`A="x\$B $C"`:         false,
		"A=\"x\\$B `c`\"":     false,
		`A="x"`:               false,
		`A=x$B`:               false,
		`A=x\$B`:              false,
		`A=`:                  false,
	} {
		entries, err := dotenv.Parse(".env", []byte(src))
		require.NoError(t, err)
		require.Equal(t, literal, entries[0].Literal, src)
	}
	src, err := dotenv.Append(nil, dotenv.Entry{Name: "A", Value: bundle.NewValue("it's ${B}")}, dotenv.Entry{Name: "B", Value: bundle.NewValue("x$C")})
	require.NoError(t, err)
	entries, err := dotenv.Parse(".env", src)
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, e.Literal, "Append marks %s as literal", e.Name)
	}
}
