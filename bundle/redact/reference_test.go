package redact

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reference masks by trying every text and every shape of a token at every position.
// It is slow but obviously correct.
type reference []source

// matchAt returns the length of the longest match at position i of data, and its
// marker: that of the first source if several have it.
func (r reference) matchAt(data []byte, i int) (length int, marker []byte) {
	for _, s := range r {
		for _, form := range s.forms {
			if len(form) > length && bytes.HasPrefix(data[i:], form) {
				length, marker = len(form), s.marker
			}
		}
	}
	for _, s := range referenceShapes {
		if n := len(s.complete.Find(data[i:])); n > length {
			length, marker = n, bracketed(s.name)
		}
	}
	return length, marker
}

func bracketed(name string) []byte { return []byte("[" + name + "]") }

// A referenceShape is one encoding of one kind of token as regular expressions.
type referenceShape struct {
	name              string
	complete, partial *regexp.Regexp
}

// referenceShapes are written by hand, from the bits of letters and digits.
var referenceShapes = func() (shapes []referenceShape) {
	const (
		alnum = "[0-9A-Za-z]"
		// In base64, a byte's first six bits, its last two and the next byte's first
		// four, its last four and the next byte's first two, and its last six.
		first, second, third, fourth = "[MNOQ-WY-e]", "[D-HT-Xj-nz0-3]", "[ABEFIJMNQRUVYZcdghklopstwx014589]", "[B-Zah-z0-6]"
	)
	add := func(name string, length int, head string, cycle ...string) {
		sets := regexp.MustCompile(`\[.*?\]|.`).FindAllString(head, -1)
		for i := 0; len(sets) < length; i++ {
			sets = append(sets, cycle[i%len(cycle)])
		}
		partial := strings.Join(sets, "(?:") + strings.Repeat(")?", len(sets)-1)
		shapes = append(shapes, referenceShape{name, regexp.MustCompile("^" + strings.Join(sets, "")), regexp.MustCompile("^" + partial + "$")})
	}
	const runner, admin = "SATCHEL_RUNNER_TOKEN", "SATCHEL_ADMIN_TOKEN"
	add(runner, 65, "rnt_", alnum)
	add(runner, 130, "726e745f", "[3-7]", "[0-9a-f]")
	add(runner, 130, "726E745F", "[3-7]", "[0-9A-F]")
	add(runner, 86, "cm50X[z0-3]", third, fourth, first, second)
	add(runner, 86, "JudF[89]", fourth, first, second, third)
	add(runner, 86, "ybnRf", first, second, third, fourth)
	add(admin, 65, "sat_", alnum)
	add(admin, 130, "7361745f", "[3-7]", "[0-9a-f]")
	add(admin, 130, "7361745F", "[3-7]", "[0-9A-F]")
	add(admin, 86, "c2F0X[z0-3]", third, fourth, first, second)
	add(admin, 86, "NhdF[89]", fourth, first, second, third)
	add(admin, 86, "zYXRf", first, second, third, fourth)
	return shapes
}()

// mask returns data masked.
func (r reference) mask(data []byte) []byte { return r.maskUpTo(data, len(data)) }

// maskUpTo returns data[:limit] masked, where matches may extend beyond limit.
func (r reference) maskUpTo(data []byte, limit int) []byte {
	var out []byte
	end := 0 // of the last match
	for i := range limit {
		length, marker := r.matchAt(data, i)
		switch {
		case length > 0 && i >= end: // adjacent matches are separate
			out = append(out, marker...)
			end = i + length
		case length > 0:
			end = max(end, i+length)
		case i >= end:
			out = append(out, data[i])
		}
	}
	return out
}

// certain returns the number of bytes of data before the first incomplete match at
// its end.
func (r reference) certain(data []byte) int {
	for i := range data {
		for _, s := range r {
			for _, form := range s.forms {
				if len(form) > len(data)-i && bytes.HasPrefix(form, data[i:]) {
					return i
				}
			}
		}
		for _, s := range referenceShapes {
			if s.partial.Match(data[i:]) && !s.complete.Match(data[i:]) {
				return i
			}
		}
	}
	return len(data)
}

// requireReference checks that a stream agrees with the reference at every step if it
// is fed with data in pieces of the given sizes, the last one repeated.
func requireReference(t *testing.T, m *matcher, r reference, data []byte, sizes []byte) {
	t.Helper()
	var s stream
	var got []byte
	for at, step := 0, 0; at < len(data); step++ {
		size := 1
		if len(sizes) > 0 {
			size = int(sizes[min(step, len(sizes)-1)])
		}
		piece := data[at:min(at+size, len(data))]
		at += len(piece)
		got = append(got, s.feed(m, bytes.Clone(piece), false)...)
		want := r.maskUpTo(data[:at], r.certain(data[:at]))
		require.Equal(t, string(want), string(got), "after %d bytes, the output must be all that is certain", at)
		if size == 0 {
			sizes = sizes[min(step+1, len(sizes)):]
			step = -1
		}
	}
	got = append(got, s.feed(m, nil, true)...)
	require.Equal(t, string(r.mask(data)), string(got), "the complete output must equal the reference")
	require.Zero(t, s.held(), "nothing is held back at the end")
}

// walkLeaves returns the secret leaves of a single JSON object, array or string. valid
// is false for text that may repeat a key, because one value would be lost, and for
// URLs that may hold a secret.
func walkLeaves(s string) (leaves []string, valid bool) {
	var root any
	if s == "" || !strings.ContainsAny(s[:1], `{["`) || json.Unmarshal([]byte(s), &root) != nil {
		return nil, false
	}
	keys := 0
	valid = true
	var walk func(key string, x any)
	walk = func(key string, x any) {
		switch x := x.(type) {
		case string:
			address := strings.HasSuffix(key, "_uri") || strings.HasSuffix(key, "_url")
			if _, err := url.Parse(x); address && (err != nil || strings.ContainsAny(x, "@?")) {
				valid = false
			}
			if len(x) >= 8 && !address && key != "type" && key != "universe_domain" {
				leaves = append(leaves, x)
			}
		case []any:
			for _, y := range x {
				walk(key, y)
			}
		case map[string]any:
			for k, y := range x {
				keys++
				walk(k, y)
			}
		}
	}
	walk("", root)
	return leaves, valid && keys == strings.Count(s, ":")
}
