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

// canary is in every file that must be refused, and in no error.
const canary = "hunter2canary"

// parse returns the values by name.
func parse(t *testing.T, src string) map[string]string {
	t.Helper()
	entries, err := dotenv.Parse(".env", []byte(src))
	require.NoError(t, err, "the file is well formed")
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
			{"empty, trailing blanks", "A= \t", ""},
			{"empty, comment", "A= # nothing yet", ""},
			{"export", "export A=b", "b"},
			{"export and tabs", "\texport \t A=b", "b"},
			{"leading blanks", " \t A=b", "b"},
			{"trailing blanks", "A=b \t ", "b"},
			{"inner blanks", "A=b  c\td", "b  c\td"},
			{"comment after a blank", "A=b # c", "b"},
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
			{"blanks after the quote", "A='b' \t", "b"},
			{"comment after the quote", "A=\"b\" #c", "b"},
			{"blanks inside quotes stay", "A='  b  '", "  b  "},
			{"byte order mark", "\ufeffA=b", "b"},
			{"byte order mark in a value", "A=\ufeffb", "\ufeffb"},
			{"CRLF", "A=b\r\n", "b"},
			{"CRLF after blanks", "A=b \r\n", "b"},
			{"CRLF after a quote", "A='b'\r\n", "b"},
			{"CRLF inside quotes of a CRLF file", "A='b\r\nc'\r\n", "b\nc"},
			{"CRLF inside double quotes of a CRLF file", "A=\"b\r\nc\" # d\r\n", "b\nc"},
			{"CRLF inside quotes of an LF file", "A='b\r\nc'\n", "b\r\nc"},
			{"CRLF inside quotes at the end of a file", "A='b\r\nc'", "b\r\nc"},
			{"CR inside quotes of a CRLF file", "A='b\rc'\r\n", "b\rc"},
			{"an escaped CR is no line end", "A=\"b\\r\nc\"\r\n", "b\r\nc"},
			{"a replacement character", "A=\ufffd", "\ufffd"},
		} {
			t.Run(row.about, func(t *testing.T) {
				require.Equal(t, map[string]string{"A": row.want}, parse(t, row.src), "from %q", row.src)
			})
		}
	})

	// The lines are those of the package comment.
	t.Run("reads the documented file", func(t *testing.T) {
		require.Equal(t, map[string]string{
			"TOKEN": "abc", "EMPTY": "", "TITLE": `two words, $5 \n a#1`, "LITERAL": `$5 \n "x"`, "ESCAPED": "a\tb \"x\" $5",
		}, parse(t, `# A comment has its own line, or follows a blank.
export TOKEN=abc            # export is allowed and means nothing
EMPTY=                      # an empty value; a NAME alone is refused
TITLE=two words, $5 \n a#1  # to the end of the line, taken literally
LITERAL='$5 \n "x"'         # no escapes; may span lines
ESCAPED="a\tb \"x\" $5"     # \n \r \t \" \\ \$ \`+"`"+` and no others; may span lines
`))
	})

	t.Run("accepts export as a name", func(t *testing.T) {
		require.Equal(t, map[string]string{"export": "1", "exported": "2"}, parse(t, "export=1\nexported=2"),
			"only the word export before a blank is left out")
	})

	t.Run("skips blank lines and comments", func(t *testing.T) {
		require.Empty(t, parse(t, ""), "an empty file has no entries")
		require.Empty(t, parse(t, "\ufeff"), "a byte order mark is no entry")
		require.Empty(t, parse(t, "\n \t \n# A=b\n  # A=b\n\r\n#"), "blank lines and comments hold no entries")
	})

	t.Run("returns entries in order, with their lines", func(t *testing.T) {
		entries, err := dotenv.Parse(".env", []byte("# one\nB=1\n\nA='x\ny\n'\r\nC=\"\n\"\nD=4"))
		require.NoError(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%s %d-%d", e.Name, e.Line, e.EndLine))
		}
		require.Equal(t, []string{"B 2-2", "A 4-6", "C 7-8", "D 9-9"}, got, "in the order of the file, counted from 1")
	})

	t.Run("reports the line of an error and its fix", func(t *testing.T) {
		for _, row := range []struct{ about, src, want string }{
			{"no =", canary, ".env:1: there is no =; write NAME= for an empty value, and quotes around a value of several lines"},
			{"export and no =", "\nexport " + canary, ".env:2: there is no =;"},
			{"second line of a value without quotes", "A=-----BEGIN\n" + canary, ".env:2: there is no =;"},
			{"base64 tail that looks like a name", "A=b\n+" + canary + "==", ".env:2: what is before the = cannot be a name; want letters, digits and _, not starting with a digit, at most 128"},
			{"no name", "=" + canary, ".env:1: what is before the = cannot be a name"},
			{"name with a digit first", "1A=" + canary, ".env:1: what is before the = cannot be a name"},
			{"name with a dash", canary + "-A=b", ".env:1: what is before the = cannot be a name"},
			{"name with a no-break space", "A\u00a0=" + canary, ".env:1: what is before the = cannot be a name"},
			{"name in quotes", `"A"=` + canary, ".env:1: what is before the = cannot be a name"},
			{"two words", "A B=" + canary, ".env:1: what is before the = cannot be a name"},
			{"name too long", strings.Repeat("A", 129) + "=" + canary, ".env:1: what is before the = cannot be a name"},
			{"blank before =", "A =" + canary, ".env:1: there are blanks before the =; remove them"},
			{"blank after =", "A= " + canary, ".env:1: there are blanks after the =; remove them, or put quotes around"},
			{"tab after =, then a quote", "A=\t'" + canary + "'", ".env:1: there are blanks after the =; remove them"},
			{"quote inside", "A=" + canary + "'s", ".env:1: there is a quote inside a value without quotes; put quotes around the whole value"},
			{"double quote inside", `A={"k":"` + canary + `"}`, ".env:1: there is a quote inside a value without quotes"},
			{"text after single quotes", "A='b'" + canary, ".env:1: there is something after the closing quote; put quotes around the whole value, and a blank before a comment"},
			{"text after double quotes", `A="b" ` + canary, ".env:1: there is something after the closing quote"},
			{"comment stuck to the quote", "A='b'#" + canary, ".env:1: there is something after the closing quote"},
			{"joined quotes", "A='b'\"" + canary + `"`, ".env:1: there is something after the closing quote"},
			{"a quote that swallowed a line", "A='b\nB='" + canary + "'", ".env:2: there is something after the closing quote; put quotes around the whole value, and a blank before a comment; the quote opens on line 1"},
			{"single quote not closed", "A=1\nB='" + canary + "\nC=2\n", ".env:2: the quote that opens here is never closed; close it"},
			{"double quote not closed", "\n\nA=\"" + canary + "\\\"\n", ".env:3: the quote that opens here is never closed"},
			{"unknown escape", `A="` + canary + `\x41"`, `.env:1: there is an unknown escape between double quotes; known are \n \r \t \" \\ \$ ` + "\\`" + `; write \\ for a backslash`},
			{"unknown escape on a later line", "A=\"\n\\n\n" + canary + "\\e\"", ".env:3: there is an unknown escape"},
			{"escaped line end", "A=\"" + canary + "\\\nb\"", ".env:1: there is an unknown escape"},
			{"escaped CRLF", "A=\"" + canary + "\\\r\nb\"\r\n", ".env:1: there is an unknown escape"},
			{"twice", "A=1\n\nA=" + canary, ".env:3: A is set a second time, after line 1; remove one of the two"},
			{"twice, once in a quoted value's file", "A='\n\n'\nexport A=" + canary, ".env:4: A is set a second time, after line 1"},
			{"CR in a value", "A=b\r" + canary, `.env:1: there is a CR that ends no line; end lines in LF or CRLF, or write \r between double quotes`},
			{"CR in a comment", "#\rA=" + canary, ".env:1: there is a CR that ends no line"},
			{"CR at the end", "B=1\nA=" + canary + "\r", ".env:2: there is a CR that ends no line"},
			{"two CRs", "A=" + canary + "\r\r\n", ".env:1: there is a CR that ends no line"},
			{"CR in a blank line", "\r\r\nA=" + canary, ".env:1: there is a CR that ends no line"},
			{"CR in the comment after a quote", "A='b' #\r" + canary + "\n", ".env:1: there is a CR that ends no line"},
			{"NUL", "A=1\nB='" + canary + "\x00'", ".env:2: there is a NUL; encode binary data, as base64 for instance"},
			{"invalid UTF-8", "A=1\n\nB=" + canary + "\xff", ".env:3: this is not valid UTF-8; save the file as UTF-8"},
			{"invalid UTF-8 in a comment", "#\xc3\nB=" + canary, ".env:1: this is not valid UTF-8"},
			{"UTF-16", "\xff\xfeA\x00=\x00", ".env:1: this is not valid UTF-8"},
			{"too long", "A=" + strings.Repeat(canary, dotenv.MaxSize/len(canary)+1), ".env: the file has 10485"},
		} {
			t.Run(row.about, func(t *testing.T) {
				entries, err := dotenv.Parse(".env", []byte(row.src))
				require.ErrorContains(t, err, row.want, "the message says where, what and what to write")
				require.NotContains(t, err.Error(), canary, "an error never holds a part of a value")
				require.Nil(t, entries, "a file is read as a whole or not at all")
				fault, ok := errors.AsType[*dotenv.SyntaxError](err)
				require.True(t, ok, "the error is a *SyntaxError")
				require.Equal(t, ".env", fault.File, "the error has the name that Parse was given")
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
	require.Equal(t, []string{`A="1" 1-1`, `B="2" 2-2`, `A="3\n4" 3-4`}, got, "all are there, in the order of the file")
	_, err = dotenv.ParseRepeats(".env", []byte("A=1\nA = "+canary))
	require.ErrorContains(t, err, ".env:2: there are blanks before the =", "everything else is as strict")
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
			require.True(t, ok, "every refusal is a *SyntaxError")
			require.LessOrEqual(t, fault.Line, strings.Count(string(src), "\n")+1, "the line exists")
			require.Positive(t, fault.Line, "a short file's fault has a line")
			return
		}
		line := 0
		for _, e := range entries {
			require.NoError(t, bundle.CheckName(e.Name), "what is read can be the name of a secret")
			require.NoError(t, bundle.CheckValue(e.Value), "what is read can be the value of a secret")
			require.Greater(t, e.Line, line, "entries come in the order of their lines")
			require.GreaterOrEqual(t, e.EndLine, e.Line, "an entry ends after it starts")
			line = e.EndLine
		}
		written, err := dotenv.Append(nil, entries...)
		require.NoError(t, err, "what was read can be written")
		again, err := dotenv.Parse(".env", written)
		require.NoError(t, err, "what was written can be read")
		require.Equal(t, values(entries), values(again), "writing changes no value")
	})
}
