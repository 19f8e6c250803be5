package main

import (
	"crypto/aes"
	"crypto/cipher"
)

// rawName is the baseline of the comparison: one cipher, built once, no associated
// data, one buffer.
const rawName = "raw AES-256-GCM"

var rawKey = make([]byte, 32)

func newCipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(rawKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// cipherOnce returns a function that returns the same cipher each time.
func cipherOnce() (func() (cipher.AEAD, error), error) {
	aead, err := newCipher()
	return func() (cipher.AEAD, error) { return aead, nil }, err
}

// cipherEach returns a function that builds the cipher each time.
func cipherEach() (func() (cipher.AEAD, error), error) { return newCipher, nil }

func sealRaw(aadOf func(i int) []byte, source func() (func() (cipher.AEAD, error), error)) func([][]byte, *service) (func() (reader, error), error) {
	return func(plaintexts [][]byte, _ *service) (func() (reader, error), error) {
		get, err := source()
		if err != nil {
			return nil, err
		}
		aead, err := get()
		if err != nil {
			return nil, err
		}
		sealed, aads := make([][]byte, len(plaintexts)), make([][]byte, len(plaintexts))
		for i, plaintext := range plaintexts {
			if aadOf != nil {
				aads[i] = aadOf(i)
			}
			sealed[i] = aead.Seal(nil, nil, plaintext, aads[i])
		}
		return func() (reader, error) {
			buffer := make([]byte, 0, len(plaintexts[0]))
			return func(got func(int, []byte)) error {
				for i := range sealed {
					aead, err := get()
					if err != nil {
						return err
					}
					plaintext, err := aead.Open(buffer, nil, sealed[i], aads[i])
					if err != nil {
						return err
					}
					if got != nil {
						got(i, plaintext)
					}
				}
				return nil
			}, nil
		}, nil
	}
}
