package wire_test

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/internal/wire"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func TestNewToken(t *testing.T) {
	t.Run("returns the documented form", func(t *testing.T) {
		seen := map[string]bool{}
		for range 1000 {
			token, id := wire.NewToken()
			require.Regexp(t, `^rnt_[0-9A-Za-z]{61}$`, token, "a token is rnt_ and 61 letters and digits")
			require.Len(t, token, wire.TokenLength)
			require.Equal(t, token[4:16], id, "the id is the 12 characters after the prefix")
			parsed, err := wire.ParseToken(token)
			require.NoError(t, err, "a new token is well formed")
			require.Equal(t, id, parsed)
			require.False(t, seen[token], "no token repeats")
			seen[token] = true
		}
	})

	t.Run("uses each character equally often", func(t *testing.T) {
		const tokens = 4000
		counts := map[rune]int{}
		total := 0
		for range tokens {
			token, _ := wire.NewToken()
			for _, c := range token[4:59] { // the checksum is not random
				counts[c]++
				total++
			}
		}
		require.Greater(t, total, 200_000)
		require.Len(t, counts, len(alphabet), "exactly the characters of the alphabet occur")
		want := float64(total) / float64(len(alphabet))
		// A byte modulo 62 would favor the first 8 characters by a quarter. 12 %
		// is seven standard deviations.
		for c, n := range counts {
			require.InEpsilon(t, want, float64(n), 0.12, "%q is as frequent as the others", c)
		}
	})
}

func TestParseToken(t *testing.T) {
	// The checksums come from another implementation of CRC-32/IEEE and base 62.
	t.Run("accepts known tokens", func(t *testing.T) {
		for _, token := range []string{
			"rnt_00000000000000000000000000000000000000000000000000000004GorIL",
			"rnt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs1QvrO2",
			"rnt_S5M4BBma0aPCagEy9V7MXshwqVc6ktdYhBWwJ6J5vxd7aKYSalbISIm00dxpx",
		} {
			id, err := wire.ParseToken(token)
			require.NoError(t, err, "the checksum is the CRC-32/IEEE of the 59 bytes before it, in base 62, padded with 0")
			require.Equal(t, token[4:16], id)
		}
	})

	t.Run("rejects every single-character typo", func(t *testing.T) {
		for range 20 {
			token, _ := wire.NewToken()
			for i := range token {
				for _, c := range []byte(alphabet + "_-. \n") {
					if token[i] == c {
						continue
					}
					typo := token[:i] + string(rune(c)) + token[i+1:]
					_, err := wire.ParseToken(typo)
					require.Error(t, err, "character %d was changed to %q", i, c)
				}
			}
		}
	})

	t.Run("rejects every swap of adjacent characters", func(t *testing.T) {
		for range 2000 {
			token, _ := wire.NewToken()
			for i := range len(token) - 1 {
				if token[i] == token[i+1] {
					continue
				}
				swapped := []byte(token)
				swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
				_, err := wire.ParseToken(string(swapped))
				require.Error(t, err, "characters %d and %d were swapped", i, i+1)
			}
		}
	})

	t.Run("rejects a missing or extra character", func(t *testing.T) {
		token, _ := wire.NewToken()
		for i := range token {
			_, err := wire.ParseToken(token[:i] + token[i+1:])
			require.Error(t, err, "character %d is missing", i)
			_, err = wire.ParseToken(token[:i] + "x" + token[i:])
			require.Error(t, err, "a character was inserted before %d", i)
		}
	})
}

func TestHashToken(t *testing.T) {
	sum := wire.HashToken("rnt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs1QvrO2")
	require.Equal(t, "c38acd72fbcc1f714440578cc5c2832583d8505d08d7356b73f8a6a9d3f08bb7", hex.EncodeToString(sum[:]), "the hash is the SHA-256 of all 65 bytes")
}

func TestParseToken_Errors(t *testing.T) {
	token, _ := wire.NewToken()
	last := byte('0')
	if token[64] == last {
		last = '1'
	}
	for name, row := range map[string]struct{ token, want string }{
		"empty":             {"", "the token is empty"},
		"line break":        {token + "\n", "leading or trailing whitespace; remove it"},
		"blank before":      {" " + token, "leading or trailing whitespace; remove it"},
		"quotes":            {`"` + token + `"`, `does not start with "rnt_"`},
		"another kind":      {"ghp_" + token[4:], `does not start with "rnt_"`},
		"Bearer":            {"Bearer " + token, `does not start with "rnt_"`},
		"prefix alone":      {"rnt_", "the token has 4 characters, want 65; copy all of it"},
		"cut":               {token[:40], "the token has 40 characters, want 65"},
		"twice":             {token + token[4:], "the token has 126 characters, want 65"},
		"odd character":     {token[:19] + "!" + token[20:], "an invalid character at position 20: only 0-9, A-Z and a-z are allowed"},
		"umlaut":            {token[:19] + "ä" + token[21:], "an invalid character at position 20"},
		"blank inside":      {token[:30] + " " + token[31:], "an invalid character at position 31"},
		"changed character": {token[:64] + string(rune(last)), "the token's checksum does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := wire.ParseToken(row.token)
			require.ErrorContains(t, err, row.want)
			require.Empty(t, id, "a malformed token has no id")
			for i := 4; i+6 <= len(row.token); i++ {
				require.NotContains(t, err.Error(), row.token[i:i+6], "the error contains no part of the token")
			}
		})
	}
}

func TestTokenPattern(t *testing.T) {
	for range 200 {
		token, _ := wire.NewToken()
		require.Equal(t, token, wire.TokenPattern.FindString("TOKEN="+token+"\n"), "the pattern finds a token in text")
		for i := range token {
			cut := token[:i] + token[i+1:]
			require.False(t, wire.TokenPattern.MatchString(cut), "the pattern does not match a shorter token")
		}
		admin := wire.AdminTokenPrefix + token[4:]
		require.Equal(t, admin, wire.TokenPattern.FindString("TOKEN="+admin+"\n"), "the pattern finds an administrator's token")
		require.Equal(t, "rnt_… sat_…", wire.Text(token+" "+admin, 200), "neither is shown")
	}
}

func TestHoldsToken(t *testing.T) {
	for range 50 {
		token, id := wire.NewToken()
		for _, prefix := range []string{wire.TokenPrefix, wire.AdminTokenPrefix} {
			token := prefix + token[4:]
			for name, text := range map[string]string{
				"a token":           token,
				"in a sentence":     "the runner " + token + ", of ada",
				"between letters":   "x" + token + "x",
				"without its end":   token[:59],
				"half of it":        token[:32],
				"after a false one": "rnt_ sat_x " + token,
				"in a URL":          "https://host/?t=" + token + "#x",
			} {
				require.True(t, wire.HoldsToken(text), name)
				hidden := wire.HideTokens(text)
				require.False(t, wire.HoldsToken(hidden), name)
				require.NotContains(t, hidden, token[16:24], name)
				require.Contains(t, hidden, prefix+"…", name)
			}
			require.Equal(t, prefix+id, wire.HideTokens(prefix+id), "the id is no secret")
		}
	}
	for _, text := range []string{"", "rnt_", "sat_…", "rnt-" + strings.Repeat("a", 61), "rnt_" + strings.Repeat("a", 19), "of rnt_old and sat_new", "rnt_" + strings.Repeat("a_", 30)} {
		require.False(t, wire.HoldsToken(text), text)
		require.Equal(t, text, wire.HideTokens(text))
	}
}

func FuzzParseToken(f *testing.F) {
	token, _ := wire.NewToken()
	f.Add(token)
	f.Add(token[:64])
	f.Add("")
	f.Add("rnt_" + strings.Repeat("0", 61))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := wire.ParseToken(s)
		if err != nil {
			require.Empty(t, id)
			return
		}
		require.Equal(t, s, wire.TokenPattern.FindString(s), "a valid token matches the pattern")
		require.Equal(t, s[4:16], id)
		i := rand.IntN(len(s))
		changed := []byte(s)
		changed[i] ^= 1
		_, err = wire.ParseToken(string(changed))
		require.Error(t, err, "a changed bit is detected")
	})
}

func TestParseAdminToken(t *testing.T) {
	token, id := wire.NewAdminToken()
	require.Regexp(t, `^sat_[0-9A-Za-z]{61}$`, token)
	got, err := wire.ParseAdminToken(token)
	require.NoError(t, err)
	require.Equal(t, id, got)
	runner, _ := wire.NewToken()
	for bad, want := range map[string]string{
		"":                                 "empty",
		token + "\n":                       "whitespace",
		runner:                             `the token is a runner token; use an administrator's, which starts with "sat_"`,
		"ghp_x":                            `does not start with "sat_"`,
		token[:64]:                         "64 characters",
		wire.AdminTokenPrefix + runner[4:]: "checksum",
	} {
		_, err := wire.ParseAdminToken(bad)
		require.ErrorContains(t, err, want)
		require.False(t, wire.HoldsToken(err.Error()))
	}
	_, err = wire.ParseToken(token)
	require.ErrorContains(t, err, `the token is an administrator's; use a runner token, which starts with "rnt_"`)
	_, err = wire.ParseToken(wire.TokenPrefix + token[4:])
	require.ErrorContains(t, err, "checksum", "the checksum covers the prefix")
}
