package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
)

// A token consists of a prefix, an id of 12 characters, a secret of 43 and a checksum
// of 6. The checksum is the CRC-32/IEEE of the 59 bytes before it, in base 62.
const (
	TokenPrefix      = "rnt_" // starts every runner token
	AdminTokenPrefix = "sat_" // starts every token of an administrator
	TokenLength      = 65     // in bytes, including the prefix

	idEnd     = len(TokenPrefix) + 12
	secretEnd = idEnd + 43

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// TokenPattern matches tokens of both kinds in text. It does not verify the checksum.
var TokenPattern = regexp.MustCompile(`(` + TokenPrefix + `|` + AdminTokenPrefix + `)[0-9A-Za-z]{61}`)

// heldToken matches tokens of both kinds and parts of them that have more than the id,
// which is no secret.
var heldToken = regexp.MustCompile(`(` + TokenPrefix + `|` + AdminTokenPrefix + `)[0-9A-Za-z]{20,}`)

// HoldsToken reports whether s has, anywhere, the form of a token of either kind or of
// a part of one: the prefix and at least 20 of the characters after it. Such text must
// be neither stored nor shown.
func HoldsToken(s string) bool { return heldToken.MatchString(s) }

// HideTokens returns s with "rnt_…" and "sat_…" for the text that [HoldsToken] finds.
func HideTokens(s string) string { return heldToken.ReplaceAllString(s, "${1}"+ellipsis) }

// NewToken returns a runner token from a cryptographic random source, and its id.
func NewToken() (token, id string) { return newToken(TokenPrefix) }

// NewAdminToken is NewToken for a token of an administrator.
func NewAdminToken() (token, id string) { return newToken(AdminTokenPrefix) }

func newToken(prefix string) (token, id string) {
	body := prefix + randomText(secretEnd-len(prefix))
	return body + checksum(body), body[len(prefix):idEnd]
}

// randomText returns n random characters, uniformly distributed.
func randomText(n int) string {
	const fair = 256 - 256%len(alphabet) // bytes from here on would favor the first characters
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		_, _ = rand.Read(buf[:]) // never fails; see crypto/rand
		for _, b := range buf {
			if int(b) < fair && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var out [TokenLength - secretEnd]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return string(out[:])
}

// ParseToken returns the id of a well-formed runner token with a valid checksum. Its
// errors contain the problem and the fix, and never a part of the token.
func ParseToken(token string) (id string, err error) { return parseToken(token, TokenPrefix) }

// ParseAdminToken is ParseToken for a token of an administrator.
func ParseAdminToken(token string) (id string, err error) { return parseToken(token, AdminTokenPrefix) }

func parseToken(token, prefix string) (id string, err error) {
	switch {
	case token == "":
		return "", errors.New("the token is empty")
	case strings.TrimSpace(token) != token:
		return "", errors.New("the token has leading or trailing whitespace; remove it")
	case prefix == TokenPrefix && strings.HasPrefix(token, AdminTokenPrefix):
		return "", fmt.Errorf("the token is an administrator's; use a runner token, which starts with %q", TokenPrefix)
	case prefix == AdminTokenPrefix && strings.HasPrefix(token, TokenPrefix):
		return "", fmt.Errorf("the token is a runner token; use an administrator's, which starts with %q", AdminTokenPrefix)
	case !strings.HasPrefix(token, prefix):
		return "", fmt.Errorf("the token does not start with %q; is it another kind of token?", prefix)
	}
	for i := len(prefix); i < len(token); i++ {
		if strings.IndexByte(alphabet, token[i]) < 0 {
			return "", fmt.Errorf("the token has an invalid character at position %d: only 0-9, A-Z and a-z are allowed; copy it again", i+1)
		}
	}
	if len(token) != TokenLength {
		return "", fmt.Errorf("the token has %d characters, want %d; copy all of it", len(token), TokenLength)
	}
	if checksum(token[:secretEnd]) != token[secretEnd:] {
		return "", errors.New("the token's checksum does not match, so a character is wrong; copy it again")
	}
	return token[len(prefix):idEnd], nil
}

// HashToken returns the SHA-256 of a token, which a platform stores in its place.
func HashToken(token string) [32]byte { return sha256.Sum256([]byte(token)) }
