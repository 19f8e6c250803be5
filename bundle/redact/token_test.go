package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// encodedToken has a token with the text around it in each encoding that is searched.
func encodedTokens(before, token, after string) map[string]string {
	all := before + token + after
	return map[string]string{
		"verbatim":          all,
		"hex":               hex.EncodeToString([]byte(all)),
		"hex in capitals":   strings.ToUpper(hex.EncodeToString([]byte(all))),
		"base64":            base64.StdEncoding.EncodeToString([]byte(all)),
		"base64 for URLs":   base64.RawURLEncoding.EncodeToString([]byte(all)),
		"percent-encoding":  url.QueryEscape(all),
		"Go":                fmt.Sprintf("%q", all),
		"base64 of a login": base64.StdEncoding.EncodeToString([]byte("user:" + all)),
	}
}

func TestRedactor_Token(t *testing.T) {
	runner, _ := wire.NewToken()
	second, _ := wire.NewToken()
	admin := wire.AdminTokenPrefix + second[len(wire.TokenPrefix):]

	t.Run("masks every token without being told of it", func(t *testing.T) {
		for _, r := range []*Redactor{New(), New(bundle.Secret{Name: "KEY", Value: bundle.NewValue("s3cr3t-value")})} {
			require.Equal(t, "SATCHEL_RUNNER_TOKEN=[SATCHEL_RUNNER_TOKEN]\n", r.String("SATCHEL_RUNNER_TOKEN="+runner+"\n"))
			require.Equal(t, `{"t":"[SATCHEL_ADMIN_TOKEN]"}`, string(r.Bytes([]byte(`{"t":"`+admin+`"}`))))
			require.Equal(t, "[SATCHEL_RUNNER_TOKEN][SATCHEL_ADMIN_TOKEN]", r.String(runner+admin), "adjacent tokens")
			require.Equal(t, "x[SATCHEL_RUNNER_TOKEN]yz", r.String("x"+runner+"yz"), "within a word")
			require.EqualError(t, r.Error(fmt.Errorf("using %s", runner)), "using [SATCHEL_RUNNER_TOKEN]")
			var log bytes.Buffer
			slog.New(Handler(slog.NewTextHandler(&log, nil), r)).Info("got", "token", runner)
			require.Contains(t, log.String(), "token=[SATCHEL_RUNNER_TOKEN]")
		}
	})

	t.Run("does not check the checksum", func(t *testing.T) {
		wrong := runner[:len(runner)-1] + string("01"[b2i(runner[len(runner)-1] == '0')])
		require.Equal(t, "[SATCHEL_RUNNER_TOKEN]", New().String(wrong))
	})

	t.Run("uses the marker of the options", func(t *testing.T) {
		require.Equal(t, "<***>", NewWithOptions(&Options{Marker: "***"}).String("<"+runner+">"))
	})

	t.Run("finds tokens in every encoding at any position", func(t *testing.T) {
		for _, token := range []string{runner, admin} {
			for n := range 200 {
				before, after := strings.Repeat("ab:c ", 40)[:n], strings.Repeat(" d/e-", 40)[:n%7]
				for about, text := range encodedTokens(before, token, after) {
					masked := New().String(text)
					require.Contains(t, masked, "_TOKEN]", "%s: %s", about, text)
					for i := 0; i+16 <= len(token); i += 8 {
						for _, part := range encodedTokens("", token[i:i+16], "") {
							require.NotContains(t, masked, strings.Trim(part, `"=`)[:16], about)
						}
					}
				}
			}
		}
	})

	t.Run("a token of which a secret is known has the name of the longer match", func(t *testing.T) {
		r := New(bundle.Secret{Name: "SAME", Value: bundle.NewValue(runner)}, bundle.Secret{Name: "LONGER", Value: bundle.NewValue(admin + "-and-more")},
			bundle.Secret{Name: "PART", Value: bundle.NewValue(runner[:20])})
		require.Equal(t, "[SAME] [LONGER] [SATCHEL_ADMIN_TOKEN]-and [PART]", r.String(runner+" "+admin+"-and-more "+admin+"-and "+runner[:20]))
	})

	t.Run("words that cannot be tokens are unchanged", func(t *testing.T) {
		body := runner[len(wire.TokenPrefix):]
		for _, text := range []string{
			runner[:64], "rnt_", "rnt_id", "current_" + body[:60], "rnt-" + body, "Rnt_" + body, "rnt_" + body[:30] + "-" + body[30:], "rnt_" + body[:60] + "_",
			"nt_" + body, body, "rnt__" + body, "rnt_ " + body, "sat_" + body[:60], "cm50X" + body, "726e745f" + body, strings.Repeat("rnt_", 50), strings.Repeat("0", 300),
		} {
			require.Equal(t, text, New().String(text))
		}
	})

	t.Run("writers and readers find tokens in any pieces", func(t *testing.T) {
		text := "a " + runner + " b " + base64.StdEncoding.EncodeToString([]byte("user:"+admin)) + " c"
		want := New().String(text)
		for size := 1; size < len(text); size++ {
			var out bytes.Buffer
			w := New().Writer(&out)
			for at := 0; at < len(text); at += size {
				_, err := w.Write([]byte(text[at:min(at+size, len(text))]))
				require.NoError(t, err)
			}
			require.NoError(t, w.Close())
			require.Equal(t, want, out.String(), "pieces of %d bytes", size)
		}
	})

	t.Run("text that cannot begin a token is written immediately", func(t *testing.T) {
		var out bytes.Buffer
		w := New().Writer(&out)
		for _, text := range []string{"Password: ", "50%\r", "done\n", "wait...", "[y/N] ", strings.Repeat("word", 100) + "."} {
			out.Reset()
			_, err := w.Write([]byte(text))
			require.NoError(t, err)
			require.Equal(t, text, out.String())
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tokenText returns text that consists of tokens, parts of them and text around
// them, in several encodings.
func tokenText(rng *rand.Rand, pieces int) string {
	var b strings.Builder
	for range pieces {
		token, _ := wire.NewToken()
		if rng.IntN(2) == 0 {
			token = wire.AdminTokenPrefix + token[len(wire.TokenPrefix):]
		}
		switch rng.IntN(4) {
		case 0:
			token = token[:rng.IntN(len(token))]
		case 1:
			i := rng.IntN(len(token))
			token = token[:i] + string("_-x+ "[rng.IntN(5)]) + token[i+rng.IntN(2):]
		case 2:
			token = strings.Repeat(token[4:], rng.IntN(4))
		}
		text := "abcdefgh"[:rng.IntN(8)] + " = \n"[:rng.IntN(4)] + token
		switch rng.IntN(5) {
		case 0:
			text = base64.StdEncoding.EncodeToString([]byte(text))
		case 1:
			text = hex.EncodeToString([]byte(text))
		case 2:
			text = strings.ToUpper(hex.EncodeToString([]byte(text)))
		}
		b.WriteString(text)
	}
	return b.String()
}

// FuzzToken compares a stream of tokens, complete, cut and encoded, fed in arbitrary
// pieces, with the reference.
func FuzzToken(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed), []byte{byte(seed), byte(200 - seed)}, "")
	}
	f.Add(uint64(7), uint8(3), []byte{64}, "rnt_"+strings.Repeat("0", 61)+"cm50Xz"+strings.Repeat("MDAw", 30))
	f.Fuzz(func(t *testing.T, seed uint64, pieces uint8, sizes []byte, text string) {
		if len(text) > 200 || len(sizes) > 20 {
			return // the reference is too slow
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		data := text + tokenText(rng, int(pieces%4)) + text
		r := reference{{marker: []byte("[A]"), forms: [][]byte{[]byte("rnt_" + strings.Repeat("0", 3))}}}
		if len(data) > 60 {
			r = append(r, source{marker: []byte("[B]"), forms: [][]byte{[]byte(data[20:60])}}, source{marker: []byte("[C]"), forms: [][]byte{[]byte(data[5:12])}})
		}
		if len(data) > 200 {
			sizes = append(sizes, 31)
			for i := range sizes {
				sizes[i] = max(sizes[i], 25) // a few steps
			}
		}
		requireReference(t, newMatcher(r, bracketed), r, []byte(data), sizes)
		requireReference(t, newMatcher(nil, bracketed), nil, []byte(data), sizes)
		long := []byte(strings.Repeat(data, 2)) // more than one block
		require.Equal(t, string(reference(nil).mask(long)), New().String(string(long)))
	})
}
