package wycheproof

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
)

// Keyring takes no key of AES-GCM, HKDF or HMAC from its caller: it derives each
// from a data key. So the vectors, which name such keys, go to these functions,
// which make the same calls of the standard library, and
// TestKeyringIsMadeOfTheseCalls shows that keyring makes no others.

// aead is the cipher of a group of messages.
func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// expand derives keys from a data key.
func expand(prk []byte, info string, size int) ([]byte, error) {
	return hkdf.Expand(sha256.New, prk, info, size)
}

// mac authenticates records and what DataKey.MAC is given.
func mac(key []byte, data ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}
