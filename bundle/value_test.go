package bundle_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

func TestValue_Preview(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, row := range []struct{ about, value, want string }{
		{"empty", "", "****"},
		{"one byte", "a", "****"},
		{"15 bytes", "abcdefghijklmno", "****"},
		{"16 bytes", "abcdefghijklmnop", "ab****op"},
		{"31 bytes", "abcdefghijklmnopqrstuvwxyz12345", "ab****45"},
		{"32 bytes", "abcdefghijklmnopqrstuvwxyz123456", "abcd****3456"},
		{"a realistic value", "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz-abcd", "sk-a****abcd"},
		{"long", "head" + long + "tail", "head****tail"},
		{"spaces count as printable", "a b " + long + " c d", "a b **** c d"},
		{"a line feed in the middle", "head" + long + "\n" + long + "tail", "****"},
		{"a line feed at the end", "head" + long + "tail\n", "****"},
		{"a carriage return", "head" + long + "\r" + long, "****"},
		{"a tab where it would be shown", "\thea" + long, "****"},
		{"a tab where it would not", "head" + long + "\t" + long + "tail", "head****tail"},
		{"an escape sequence", "\x1b[2J" + long, "****"},
		{"a control character at the end", "head" + long + "tai\x7f", "****"},
		{"a zero-width space", "a\u200b" + long, "****"},
		{"a right-to-left override", "a\u202e" + long, "****"},
		{"invalid UTF-8 where it would be shown", "he\xffd" + long, "****"},
		{"invalid UTF-8 where it would not", "head" + long + "\xff" + long + "tail", "head****tail"},
		{"a replacement character", "a\ufffd" + long, "****"},
		{"runes that fit", "éé" + long + "éé", "éé****éé"},
		{"a rune cut at the head", "abcé" + long + "tail", "abc****tail"},
		{"a rune cut at the tail", "head" + long + "éabc", "head****abc"},
		{"runes cut on both sides", "a漢" + long + "漢a", "a漢****漢a"},
		{"runes too wide to show", "ab漢" + long + "漢ab", "ab****ab"},
		{"a rune wider than the cut, 16 bytes", "漢abcdefghij漢", "****"},
		{"four-byte runes", "😀" + long + "😀", "😀****😀"},
	} {
		t.Run(row.about, func(t *testing.T) {
			require.Equal(t, row.want, bundle.NewValue(row.value).Preview())
		})
	}
}

func FuzzPreview(f *testing.F) {
	for _, seed := range []string{"", "abcdefghijklmnop", "漢漢漢漢漢漢漢漢漢漢漢漢", "abc\xe6\xbc" + strings.Repeat("x", 40), strings.Repeat("é", 16), "****************"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := bundle.NewValue(s).Preview()
		require.True(t, utf8.ValidString(p), "a preview is valid UTF-8")
		require.Negative(t, strings.IndexFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }), "a preview is printable")
		// The value may contain stars: at least one split must explain the preview.
		var explained bool
		for i := 0; i+4 <= len(p); i++ {
			head, tail := p[:i], p[i+4:]
			if p[i:i+4] == "****" && strings.HasPrefix(s, head) && strings.HasSuffix(s, tail) &&
				len(head) <= 4 && len(tail) <= 4 && 4*(len(head)+len(tail)) <= len(s) {
				explained = true
			}
		}
		require.True(t, explained, "%q shows more of %q than its ends or than a quarter", p, s)
		if len(s) < 16 || strings.ContainsAny(s, "\r\n") {
			require.Equal(t, "****", p, "short and multi-line values show nothing")
		}
	})
}

func TestValue_Equal(t *testing.T) {
	a := bundle.NewValue("abc")
	require.True(t, a.Equal(bundle.NewValue("abc")))
	require.False(t, a.Equal(bundle.NewValue("abd")))
	require.False(t, a.Equal(bundle.NewValue("abcd")))
	require.False(t, a.Equal(bundle.Value{}))
	require.True(t, bundle.NewValue("").Equal(bundle.Value{}), "the zero Value is the empty string")
}

func TestValue_UnmarshalJSON(t *testing.T) {
	t.Run("accepts only a JSON string", func(t *testing.T) {
		var account struct {
			User     string
			Password bundle.Value
		}
		require.NoError(t, json.Unmarshal([]byte(`{"User":"u","Password":"`+canary+`\n"}`), &account))
		require.Equal(t, canary+"\n", account.Password.Reveal())
		require.Empty(t, leak(fmt.Sprintf("%+v", account)))

		written, err := json.Marshal(account)
		require.NoError(t, err)
		for name, data := range map[string]string{
			"the marker": string(written),
			"null":       `{"Password":null}`,
			"a number":   `{"Password":8317}`,
			"an object":  `{"Password":{"` + canary + `":1}}`,
		} {
			err := json.Unmarshal([]byte(data), &account)
			require.Error(t, err, "%s is not a value; a secret must not get lost", name)
			require.Empty(t, leak(err.Error()))
			require.NotContains(t, err.Error(), "8317")
			require.Equal(t, canary+"\n", account.Password.Reveal())
		}
	})
}
