package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

const (
	// minForm is the shortest text that is masked, in bytes: shorter ones
	// occur in ordinary output by chance.
	minForm = 6
	// minPart is the shortest part of a value, a line or a leaf, that is
	// masked on its own.
	minPart = 8
	// maxDepth bounds how often a leaf of JSON may be JSON again.
	maxDepth = 4
)

// forms returns every text by which value can be known, sorted, each once and
// at least minForm bytes long.
func forms(value string) [][]byte {
	if len(value) < minForm || strings.TrimSpace(value) == "" {
		return nil // blanks are in all output, however many
	}
	f := formSet{}
	f.value(value, 0)
	list := make([][]byte, 0, len(f))
	for text := range f {
		list = append(list, []byte(text))
	}
	slices.SortFunc(list, bytes.Compare)
	// Many forms begin with another: those share its memory.
	for i := len(list) - 2; i >= 0; i-- {
		if bytes.HasPrefix(list[i+1], list[i]) {
			list[i] = list[i+1][:len(list[i])]
		}
	}
	return list
}

type formSet map[string]struct{}

func (f formSet) add(text string) {
	if len(text) >= minForm {
		f[text] = struct{}{}
	}
}

// value adds the forms of s and of the parts of it that give it away.
func (f formSet) value(s string, depth int) {
	f.encodings(s)
	// Shells and templates drop a line break at the end, parsers the blanks.
	trimmed := strings.TrimSpace(s)
	if trimmed != s && len(trimmed) >= minForm {
		f.encodings(trimmed)
	}
	if leaves, ok := jsonLeaves(trimmed); ok {
		if depth < maxDepth {
			for _, leaf := range leaves {
				f.value(leaf, depth+1)
			}
		}
		return // the lines of JSON are mostly keys and brackets
	}
	for _, line := range secretLines(trimmed) {
		f.add(line)
	}
}

// encodings adds s as it is and as the usual encoders write it.
func (f formSet) encodings(s string) {
	f.add(s)
	f.base64(s)
	f.add(hex.EncodeToString([]byte(s)))
	f.add(strings.ToUpper(hex.EncodeToString([]byte(s))))
	if !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("-_.", r) }) {
		return // the others leave these characters alone
	}
	for _, style := range urlStyles {
		f.add(style.escape(s, upperHex))
		f.add(style.escape(s, lowerHex))
	}
	for _, style := range jsonStyles {
		f.add(style.escape(s))
	}
	f.add(unquoted(strconv.Quote(s)))
	f.add(unquoted(strconv.QuoteToASCII(s)))
	for _, quote := range shellQuotes {
		f.add(quote(s))
	}
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// base64 adds what s becomes inside the encoding of something longer. There it
// may begin at any of the three places in a group of three bytes; characters at
// its edges that also hold bits of its neighbors are left out. Where nothing
// follows s, its last character and the padding are its own.
func (f formSet) base64(s string) {
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before, before+len(s)), s...))
			first, end := (8*before+5)/6, 8*(before+len(s))/6
			f.add(text[first:end])
			f.add(text[first:])
			f.add(strings.TrimRight(text[first:], "="))
		}
	}
}
