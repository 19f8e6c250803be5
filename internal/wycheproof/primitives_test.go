package wycheproof

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
)

// Keyring takes no key for AES-GCM, HKDF or HMAC from its caller: it derives each one
// from a data key. The vectors, which contain such keys, are therefore passed to these
// functions, which make the same calls of the standard library; TestKeyring shows that
// keyring makes no others.

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

// mac authenticates records and the data of DataKey.MAC.
func mac(key []byte, data ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}
