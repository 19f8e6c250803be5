package main

import (
	"context"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	wrappingaead "github.com/hashicorp/go-kms-wrapping/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"gocloud.dev/secrets/localsecrets"
)

// readEach returns a function that makes readers for a library that opens each of n
// messages separately and keeps no state in between.
func readEach(n int, open func(i int) ([]byte, error)) func() (reader, error) {
	return func() (reader, error) {
		return func(got func(int, []byte)) error {
			for i := range n {
				plaintext, err := open(i)
				if err != nil {
					return err
				}
				if got != nil {
					got(i, plaintext)
				}
			}
			return nil
		}, nil
	}
}

// A remoteAEAD is the key behind a key service, as Tink sees it.
type remoteAEAD struct {
	*subtle.AESGCM
	service *service
}

func (a remoteAEAD) EncryptWithContext(_ context.Context, plaintext, aad []byte) ([]byte, error) {
	return a.Encrypt(plaintext, aad)
}

func (a remoteAEAD) DecryptWithContext(ctx context.Context, ciphertext, aad []byte) ([]byte, error) {
	if err := a.service.call(ctx); err != nil {
		return nil, err
	}
	return a.Decrypt(ciphertext, aad)
}

func sealTink(plaintexts [][]byte, s *service) (func() (reader, error), error) {
	key, err := subtle.NewAESGCM(rawKey)
	if err != nil {
		return nil, err
	}
	envelope, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), remoteAEAD{key, s})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	sealed, aads := make([][]byte, len(plaintexts)), make([][]byte, len(plaintexts))
	for i, plaintext := range plaintexts {
		aads[i] = associatedData(i)
		if sealed[i], err = envelope.EncryptWithContext(ctx, plaintext, aads[i]); err != nil {
			return nil, err
		}
	}
	return readEach(len(sealed), func(i int) ([]byte, error) {
		return envelope.DecryptWithContext(ctx, sealed[i], aads[i])
	}), nil
}

// sealWrapping works like the wrappers of go-kms-wrapping for cloud services: an
// envelope for each message, with a key that the service encrypts.
func sealWrapping(plaintexts [][]byte, s *service) (func() (reader, error), error) {
	wrapper := wrappingaead.NewWrapper()
	if err := wrapper.SetAesGcmKeyBytes(rawKey); err != nil {
		return nil, err
	}
	type message struct {
		envelope *wrapping.EnvelopeInfo
		key      *wrapping.BlobInfo
		aad      []byte
	}
	ctx := context.Background()
	var messages []message
	for i, plaintext := range plaintexts {
		aad := associatedData(i)
		envelope, err := wrapping.EnvelopeEncrypt(plaintext, wrapping.WithAad(aad))
		if err != nil {
			return nil, err
		}
		key, err := wrapper.Encrypt(ctx, envelope.Key)
		if err != nil {
			return nil, err
		}
		envelope.Key = nil
		messages = append(messages, message{envelope, key, aad})
	}
	return readEach(len(messages), func(i int) ([]byte, error) {
		m := messages[i]
		if err := s.call(ctx); err != nil {
			return nil, err
		}
		key, err := wrapper.Decrypt(ctx, m.key)
		if err != nil {
			return nil, err
		}
		envelope := &wrapping.EnvelopeInfo{Ciphertext: m.envelope.Ciphertext, Iv: m.envelope.Iv, Key: key}
		return wrapping.EnvelopeDecrypt(envelope, wrapping.WithAad(m.aad))
	}), nil
}

// sealGocloud has no key service and no associated data.
func sealGocloud(plaintexts [][]byte, _ *service) (func() (reader, error), error) {
	keeper := localsecrets.NewKeeper([32]byte(rawKey))
	ctx := context.Background()
	sealed := make([][]byte, len(plaintexts))
	for i, plaintext := range plaintexts {
		var err error
		if sealed[i], err = keeper.Encrypt(ctx, plaintext); err != nil {
			return nil, err
		}
	}
	return readEach(len(sealed), func(i int) ([]byte, error) { return keeper.Decrypt(ctx, sealed[i]) }), nil
}
