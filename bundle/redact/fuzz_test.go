package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// FuzzStream compares a stream, fed in arbitrary pieces, with the reference. Its
// texts and data are from small alphabets, so that matches overlap, nest and
// repeat. An alphabet of fewer than two letters means all bytes; direct is the
// length from which sums are compared.
func FuzzStream(f *testing.F) {
	f.Add([]byte("aaaaaa\x00aaaaaaaa\x00abababab"), []byte("aaaaaaaaaaaaabababababaaa"), []byte{1}, byte(2), byte(1))
	f.Add([]byte("s3s3cret"), []byte("s3s3s3cret s3s3cret"), []byte{4, 4}, byte(0), byte(100))
	f.Add([]byte("00042beef"), []byte("000042beef"), []byte{3}, byte(0), byte(100))
	f.Add(bytes.Repeat([]byte("ab"), 40), bytes.Repeat([]byte("ab"), 100), []byte{7}, byte(0), byte(1))
	f.Fuzz(func(t *testing.T, texts, data, sizes []byte, alphabet, direct byte) {
		if len(texts) > 500 || len(data) > 300 {
			return // the reference is too slow
		}
		data = spell(data, alphabet)
		var r reference
		for i, b := range bytes.Split(texts, []byte{0}) {
			if len(b) >= minForm && len(r) < 12 {
				r = append(r, source{marker: []byte{'[', 'A' + byte(i%26), ']'}, forms: [][]byte{spell(b, alphabet)}})
			}
		}
		m := newMatcher(r, bracketed)
		m.long.direct = max(1, int(direct))
		requireReference(t, m, r, data, sizes)
	})
}

// spell returns b with its bytes mapped to letters of the alphabet.
func spell(b []byte, alphabet byte) []byte {
	b = bytes.Clone(b)
	if alphabet > 1 {
		for i, c := range b {
			b[i] = 'a' + c%alphabet
		}
	}
	return b
}

// FuzzRedactor_AllForms puts a form of each of two values into a text. The output
// must agree with the reference for every split into writes, and no form may be
// left.
func FuzzRedactor_AllForms(f *testing.F) {
	f.Add("ghp_R4nd0mLett3rs", "p4$$ \"w0rd'é", "before|between|after", uint16(3), uint16(70), []byte{5, 1})
	f.Add("{\"type\":\"service_account\",\"private_key\":\"line one\\nline two\"}", "-----BEGIN X-----\nMIIEvQIBADAN\n-----END X-----\n", "a\nb\n", uint16(9), uint16(1), []byte{64})
	f.Add("aaaaaaaaaaaaaaaaaaaaaaaa", "YWFhYWFhYWFhYWFh", "aaaYWFhYW|aaa|YWF", uint16(0), uint16(7), []byte{1})
	f.Add("+/+/+/+/\xff\xfe", "\u2028<script>&\x00", "%2B", uint16(20), uint16(30), []byte{2})
	f.Fuzz(func(t *testing.T, first, second, text string, pickFirst, pickSecond uint16, sizes []byte) {
		if len(first) > 60 || len(second) > 60 || len(text) > 100 {
			return // the reference is too slow
		}
		r := New(
			bundle.Secret{Name: "A", Value: bundle.NewValue(first)},
			bundle.Secret{Name: "B", Value: bundle.NewValue(second)},
		)
		all := reference{{marker: []byte("[A]"), forms: forms(first)}, {marker: []byte("[B]"), forms: forms(second)}}
		pick := func(s source, n uint16) string {
			if len(s.forms) == 0 {
				return ""
			}
			return string(s.forms[int(n)%len(s.forms)])
		}
		parts := strings.SplitN(text+"||", "|", 3)
		data := parts[0] + pick(all[0], pickFirst) + parts[1] + pick(all[1], pickSecond) + parts[2]
		requireReference(t, r.core().matcher(), all, []byte(data), sizes)
		got := r.String(data)
		require.Equal(t, string(all.mask([]byte(data))), got, "one piece")
		for _, s := range all {
			for _, form := range s.forms {
				// Masking may create a form that has characters of a marker.
				if !bytes.ContainsAny(form, "[]AB") {
					require.NotContains(t, got, string(form))
				}
			}
		}
	})
}

// FuzzForms checks that the forms include the output of the encoders of the standard
// library for any value.
func FuzzForms(f *testing.F) {
	f.Add("p4$$ \"w0rd'é\u2028<\x7f>😀", byte(1), byte(2))
	f.Add("a \xff of no\ufffdUTF-8, and <one> of it", byte(0), byte(0))
	f.Fuzz(func(t *testing.T, value string, before, after byte) {
		if len(strings.TrimSpace(value)) < minForm {
			return
		}
		known := map[string]bool{}
		for _, form := range forms(value) {
			known[string(form)] = true
		}
		asJSON := func(html bool) string {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(html)
			require.NoError(t, e.Encode(value))
			return strings.Trim(b.String(), "\n")
		}
		within := func(quoted string) string { return quoted[1 : len(quoted)-1] }
		for encoder, text := range map[string]string{
			"verbatim":       value,
			"hex":            hex.EncodeToString([]byte(value)),
			"HEX":            fmt.Sprintf("%X", value),
			"query":          url.QueryEscape(value),
			"path segment":   url.PathEscape(value),
			"user info":      strings.TrimPrefix(url.UserPassword("", value).String(), ":"),
			"JSON":           within(asJSON(true)),
			"JSON, no HTML":  within(asJSON(false)),
			"Go":             within(strconv.Quote(value)),
			"Go, ASCII":      within(strconv.QuoteToASCII(value)),
			"base64":         base64.StdEncoding.EncodeToString([]byte(value)),
			"base64, no pad": base64.RawStdEncoding.EncodeToString([]byte(value)),
			"base64url":      base64.URLEncoding.EncodeToString([]byte(value)),
		} {
			require.True(t, known[text], "%s: %q", encoder, text)
		}
		// The forms include the characters of longer base64 that do not depend on the
		// text around the value.
		long := func(around string) string {
			return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(around, int(before)) + value + strings.Repeat(around, 3+int(after))))
		}
		x, y := long("\x00"), long("\xff")
		first := 0
		for x[first] != y[first] || first*6 < int(before)*8 {
			first++
		}
		end := (int(before) + len(value)) * 8 / 6
		require.True(t, known[x[first:end]], "base64 inside longer base64: %q", x[first:end])
	})
}

// FuzzJSONLeaves compares the leaves that are found in one pass with those of a walk
// through the unmarshaled value.
func FuzzJSONLeaves(f *testing.F) {
	for _, seed := range []string{
		`{"type":"service_account","a":["long enough",{"b_uri":"https://example.com"}],"c":{"type":["not this one"]}}`,
		`["long enough"]`, `"long enough"`, `{"db_url":"https://user:password@host"}`, `{`, `[]x`, `12`, `{"a":"x"}{"b":"long enough"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		leaves, ok := jsonLeaves(s)
		want, valid := walkLeaves(s)
		if !valid {
			return // jsonLeaves also accepts several values in a row, as in logs
		}
		require.True(t, ok, "the text is valid JSON")
		require.ElementsMatch(t, want, leaves)
	})
}

// FuzzForms_Decoded stores any text in one or two encodings, and checks that its forms
// include the text.
func FuzzForms_Decoded(f *testing.F) {
	f.Add("p4$$ \"w0rd'é\u2028<\x7f>😀", byte(1), byte(2))
	f.Add("two\nlines and\\more", byte(5), byte(9))
	f.Add("%41&amp;+ '\"`", byte(4), byte(3))
	encode := []func(s string) string{
		func(s string) string { return s },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		func(s string) string { return hex.EncodeToString([]byte(s)) },
		url.QueryEscape,
		url.PathEscape,
		strconv.Quote,
		strconv.QuoteToASCII,
		func(s string) string { b, _ := json.Marshal(s); return string(b) },
		func(s string) string { return "$'" + shellDollar(s, printable) + "'" },
		func(s string) string { return "'" + shellParts(s, printable) + "'" },
		func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" },
		func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
		html.EscapeString,
	}
	f.Fuzz(func(t *testing.T, text string, first, second byte) {
		if len(text) < minPart || len(text) > 300 || text != strings.TrimSpace(text) || !utf8.ValidString(text) || distinct(text) <= 3 || strings.Contains(text, "\x00") {
			return
		}
		once := encode[int(first)%len(encode)](text)
		twice := encode[int(second)%len(encode)](once)
		if strings.TrimSpace(once) != once || strings.Contains(once, "base64") || strings.ContainsFunc(once[:1], isJSON) || strings.ContainsFunc(twice[:1], isJSON) && twice[0] != '"' {
			return // JSON has leaves instead
		}
		for _, stored := range []string{once, twice} {
			known := map[string]bool{}
			for _, form := range forms(stored) {
				known[string(form)] = true
			}
			require.True(t, known[text], "stored as %q", stored)
		}
	})
}

func isJSON(r rune) bool { return strings.ContainsRune("{[", r) }
