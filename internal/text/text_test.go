package text_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/text"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"":                       "",
		"plain, é and 😀":         "plain, é and 😀",
		"two\n\tlines":           "two\n\tlines",
		"\x1b[2Jgone\r\x07":      "?[2Jgone??",
		"\u202eright to left":    "?right to left",
		"\u2028\u00a0\x7f\u0085": "????",
	} {
		require.Equal(t, want, text.Printable(s), "%q", s)
		require.Equal(t, strings.NewReplacer("\n", "?", "\t", "?").Replace(want), text.Line(s), "%q", s)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[2J\n\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range text.Line(s) {
			require.True(t, unicode.IsPrint(r))
		}
	})
}

func TestClip(t *testing.T) {
	for _, row := range []struct {
		s            string
		limit, short int
		want         string
	}{
		{"", 10, 5, ""},
		{"0123456789", 10, 5, "0123456789"},
		{"0123456789x", 10, 5, "01…"},
		{"0123456789x", 10, 10, "0123456…"},
		{"0123456789x", 10, 3, "…"},
		{"ééééééé", 10, 6, "é…"},
		{"ééééééé", 10, 7, "éé…"},
		{"😀😀😀", 10, 6, "…"},
		{strings.Repeat("\x80", 20), 10, 8, "…"},
	} {
		got := text.Clip(row.s, row.limit, row.short)
		require.Equal(t, row.want, got, "%q, %d, %d", row.s, row.limit, row.short)
	}
}

func FuzzClip(f *testing.F) {
	f.Add("ééééééé", uint8(10), uint8(6))
	f.Fuzz(func(t *testing.T, s string, limit, short uint8) {
		short = max(short, 3)
		limit = max(limit, short)
		got := text.Clip(s, int(limit), int(short))
		require.LessOrEqual(t, len(got), int(limit))
		if len(s) <= int(limit) {
			require.Equal(t, s, got)
			return
		}
		require.LessOrEqual(t, len(got), int(short))
		require.True(t, strings.HasPrefix(s, strings.TrimSuffix(got, "…")))
		require.True(t, !utf8.ValidString(s) || utf8.ValidString(got), "no character is split")
	})
}

func TestColumns(t *testing.T) {
	require.Empty(t, text.Columns(nil))
	require.Equal(t, strings.Join([]string{
		"NAME      FROM  NOTE",
		"é         .env",
		"LONGNAME",
		"",
		"A               tab?and feed?",
		"",
	}, "\n"), text.Columns([][]string{
		{"NAME", "FROM", "NOTE"},
		{"é", ".env", ""},
		{"LONGNAME"},
		{},
		{"A", "", "tab\tand feed\n"},
	}))
}
