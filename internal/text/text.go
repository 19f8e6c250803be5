// Package text prepares errors, logs and program output for people. Because parts
// of such text come from servers and files, [Printable] and [Line] remove terminal
// control characters, and [Clip] shortens text. [Columns] aligns rows in columns.
package text

import (
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// Printable returns s with "?" for each unprintable character, such as one that
// moves a terminal's cursor, except line feeds and tabs.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return printable(r)
	}, s)
}

// Line is [Printable] for text that must stay on one line and in its column: line
// feeds and tabs become "?" too.
func Line(s string) string { return strings.Map(printable, s) }

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

const ellipsis = "…"

// Clip returns s if it has at most limit bytes. Otherwise it returns the beginning
// of s followed by "…", at most short bytes in total, without splitting a
// character. short must be at least 3 and at most limit.
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

// Columns returns one line per row, with columns aligned and separated by two
// spaces, and no trailing spaces. It applies [Line] to the cells. Missing cells at
// the end of a row are empty.
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
			line.WriteByte('\t') // also after the last cell: each row has all columns
		}
		_, _ = w.Write([]byte(line.String() + "\n")) // a Builder never fails
	}
	_ = w.Flush()
	var trimmed strings.Builder
	for line := range strings.Lines(out.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return trimmed.String()
}
