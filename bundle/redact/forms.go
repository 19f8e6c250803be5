package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// minForm is the minimum length of a masked text, in bytes: shorter ones
	// occur in ordinary output by chance.
	minForm = 6
	// minPart is the minimum length of a part of a value, a line or a leaf, that
	// is masked by itself.
	minPart = 8
	// maxWrapped is the maximum length of data whose lines in base64 are masked.
	maxWrapped = 8 << 10
	// decodedBase limits the bytes of decoded texts whose forms are added, together
	// with twice the length of the value: a value can be made to decode to many.
	decodedBase = 32 << 10
	// maxDepth is the maximum depth of JSON inside a leaf of JSON, and of encodings
	// inside of encodings.
	maxDepth = 4
)

// forms returns all texts that reveal value, sorted, without duplicates, and at
// least minForm bytes long.
func forms(value string) [][]byte {
	if len(value) < minForm || strings.TrimSpace(value) == "" {
		return nil // whitespace of any length is in all output
	}
	f := formSet{texts: map[string]struct{}{}, depths: map[string]int{}}
	f.follow(value, 0)
	spare := decodedBase + 2*len(value)
	for i := 0; i < len(f.values); i++ {
		for _, decoded := range f.value(f.values[i]) {
			if _, known := f.depths[decoded]; known || len(decoded) > spare {
				continue
			}
			spare -= len(decoded)
			f.follow(decoded, f.depths[f.values[i]]+1)
		}
	}
	list := make([][]byte, 0, len(f.texts))
	for text := range f.texts {
		list = append(list, []byte(text))
	}
	slices.SortFunc(list, bytes.Compare)
	// Many forms are a prefix of another and share its memory.
	for i := len(list) - 2; i >= 0; i-- {
		if bytes.HasPrefix(list[i+1], list[i]) {
			list[i] = list[i+1][:len(list[i])]
		}
	}
	return list
}

// A formSet collects texts. values are the values whose forms it needs: the first one,
// its leaves, and what these decode to. depths counts how often that happened.
type formSet struct {
	texts  map[string]struct{}
	values []string
	depths map[string]int
}

func (f *formSet) add(text string) {
	if len(text) >= minForm {
		f.texts[text] = struct{}{}
	}
}

// follow adds s to the values, unless it is blank or too deep.
func (f *formSet) follow(s string, depth int) {
	if _, known := f.depths[s]; known || depth > maxDepth || strings.TrimSpace(s) == "" {
		return
	}
	f.values, f.depths[s] = append(f.values, s), depth
}

// value adds the forms of s and of the parts that reveal it, and returns the texts that
// s decodes to.
func (f *formSet) value(s string) (decoded []string) {
	f.encodings(s)
	// Shells and templates drop a final line break, parsers whitespace.
	trimmed := strings.TrimSpace(s)
	if trimmed != s && len(trimmed) >= minForm {
		f.encodings(trimmed)
	}
	if leaves, ok := jsonLeaves(trimmed); ok {
		for _, leaf := range leaves {
			f.follow(leaf, f.depths[s]+1)
		}
		if trimmed[0] != '"' {
			return nil // lines of JSON are mostly keys and brackets
		}
	}
	for _, line := range secretLines(trimmed) {
		f.add(line)
	}
	f.data(trimmed)
	return decodings(trimmed)
}

// data adds the forms of the data that s encodes if it is not text, such as a key.
// They are those that programs print: the data itself, hex and base64.
func (f *formSet) data(s string) {
	data, base, ok := decodeBinary(s)
	if !ok || utf8.ValidString(data) || distinct(data) <= 3 {
		return
	}
	if base == 64 && !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) }) {
		return // letters and digits alone are more often a token than encoded data
	}
	for _, width := range []int{64, 76} { // as openssl and base64 print a key
		if len(data) > maxWrapped {
			break
		}
		for line := range wrapped(base64.StdEncoding.EncodeToString([]byte(data)), width) {
			if len(line) >= minPart {
				f.add(line)
			}
		}
	}
	f.add(data)
	f.add(hex.EncodeToString([]byte(data)))
	f.add(strings.ToUpper(hex.EncodeToString([]byte(data))))
	if base == 16 {
		f.base64(data)
		return
	}
	f.add(base64.RawStdEncoding.EncodeToString([]byte(data)))
	f.add(base64.RawURLEncoding.EncodeToString([]byte(data)))
}

// encodings adds s verbatim and as the usual encoders write it.
func (f *formSet) encodings(s string) {
	f.add(s)
	f.base64(s)
	f.add(hex.EncodeToString([]byte(s)))
	f.add(strings.ToUpper(hex.EncodeToString([]byte(s))))
	if !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f || !isAlnum(byte(r)) && !strings.ContainsRune("-_.", r) }) {
		return // the other encoders do not change these characters
	}
	for _, style := range urlStyles {
		f.add(style.escape(s, upperHex))
		f.add(style.escape(s, lowerHex))
	}
	for _, style := range jsonStyles {
		once := style.escape(s)
		f.add(once)
		f.add(style.escape(once)) // JSON inside JSON
	}
	f.add(yamlQuoted(s, true))
	f.add(yamlQuoted(s, false))
	for _, entities := range entityStyles {
		f.add(entities.Replace(s))
	}
	f.add(unquoted(strconv.Quote(s)))
	f.add(unquoted(strconv.QuoteToASCII(s)))
	for _, quote := range shellQuotes {
		f.add(quote(s))
	}
	for _, prints := range printers {
		f.add(shellDollar(s, prints))
		f.add(shellParts(s, prints))
	}
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// base64 adds the encodings of s inside longer base64. There, s may begin at any
// of the three positions in a group of three bytes; characters at its edges that
// share bits with its neighbors are left out. If s is at the end, its last
// character and the padding depend on s alone.
func (f *formSet) base64(s string) {
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
