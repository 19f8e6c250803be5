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

// A token is "rnt_", 12 characters of id, 43 of secret and 6 of checksum. The
// checksum is the CRC-32/IEEE of the 59 bytes before it, in base 62.
const (
	TokenPrefix = "rnt_"
	TokenLength = 65

	idEnd     = len(TokenPrefix) + 12
	secretEnd = idEnd + 43

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// TokenPattern finds tokens in text.
var TokenPattern = regexp.MustCompile(TokenPrefix + `[0-9A-Za-z]{61}`)

// NewToken returns a random token and its id.
func NewToken() (token, id string) {
	body := TokenPrefix + randomText(secretEnd-len(TokenPrefix))
	return body + checksum(body), body[len(TokenPrefix):idEnd]
}

// randomText returns n characters, each equally likely.
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

// ParseToken returns the id of a token that is well formed. Its errors say
// what is wrong and how to mend it, and never show a part of the token.
func ParseToken(token string) (id string, err error) {
	switch {
	case token == "":
		return "", errors.New("the token is empty")
	case strings.TrimSpace(token) != token:
		return "", errors.New("the token has leading or trailing white space; remove it")
	case !strings.HasPrefix(token, TokenPrefix):
		return "", fmt.Errorf("the token does not start with %q; is it another kind of token?", TokenPrefix)
	}
	for i := len(TokenPrefix); i < len(token); i++ {
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
	return token[len(TokenPrefix):idEnd], nil
}

// HashToken returns what the platform stores of a token.
func HashToken(token string) [32]byte { return sha256.Sum256([]byte(token)) }
