// Package text prepares text for people: errors, logs, and the output of
// programs. Parts of such text come from servers and files, so [Printable] and
// [Line] take out what a terminal would obey, and [Clip] shortens it. [Columns]
// sets rows in columns.
package text

import (
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// Printable returns s with "?" for each character that could move a terminal's
// cursor, except line feeds and tabs.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return printable(r)
	}, s)
}

// Line is [Printable] for text that has to stay on a line and in its column: line
// feeds and tabs become "?" too.
func Line(s string) string { return strings.Map(printable, s) }

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

const ellipsis = "…"

// Clip returns s if it has at most limit bytes, and otherwise its beginning and
// "…", in at most short bytes. It cuts no character in two. short is at least 3,
// and at most limit.
func Clip(s string, limit, short int) string {
	if len(s) <= limit {
		return s
	}
	end := short - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// Columns returns rows in columns, a line each, with two spaces between them and
// none at the end. Cells go through [Line]. A short row has empty cells at its
// end.
func Columns(rows [][]string) string {
	most := 0
	for _, row := range rows {
		most = max(most, len(row))
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		var line strings.Builder
		for i := range most {
			if i < len(row) {
				line.WriteString(Line(row[i]))
			}
			line.WriteByte('\t') // also behind the last: each row has all columns
		}
		_, _ = w.Write([]byte(line.String() + "\n")) // a Builder takes everything
	}
	_ = w.Flush()
	var trimmed strings.Builder
	for line := range strings.Lines(out.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return trimmed.String()
}
