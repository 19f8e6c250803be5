package main

import (
	"context"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
)

var (
	keyContext   = keyring.Context{"purpose": "data-key", "tenant": "acme"}
	groupContext = keyring.Context{"purpose": "secrets", "tenant": "acme", "scope": "acme/web"}
)

// A remoteKEK is a local key behind a key service.
type remoteKEK struct {
	*local.KEK
	service *service
}

func (k remoteKEK) Unwrap(ctx context.Context, w keyring.WrappedKey, c keyring.Context) ([]byte, error) {
	if err := k.service.call(ctx); err != nil {
		return nil, err
	}
	return k.KEK.Unwrap(ctx, w, c)
}

// A sealedBundle is the stored state of one tenant and scope in a vault.
type sealedBundle struct {
	kek      keyring.KEK
	record   keyring.Record
	messages [][]byte
	contexts []keyring.Context
}

func newSealedBundle(plaintexts [][]byte, s *service) (*sealedBundle, error) {
	plain, err := local.New("primary", rawKey)
	if err != nil {
		return nil, err
	}
	b := &sealedBundle{kek: remoteKEK{plain, s}}
	keys, err := keyring.New(b.kek, nil)
	if err != nil {
		return nil, err
	}
	key, record, err := keys.NewKey(context.Background(), keyContext)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	b.record = record
	group, err := key.Group(groupContext)
	if err != nil {
		return nil, err
	}
	for i, plaintext := range plaintexts {
		c := keyring.Context{"name": secretName(i), "version": "7"}
		message, err := group.Seal(nil, plaintext, c)
		if err != nil {
			return nil, err
		}
		b.messages, b.contexts = append(b.messages, message), append(b.contexts, c)
	}
	return b, nil
}

// open opens the messages in a group, into one buffer.
func (b *sealedBundle) open(group *keyring.Group, buffer []byte, got func(int, []byte)) error {
	for i, message := range b.messages {
		plaintext, err := group.Open(buffer, message, b.contexts[i])
		if err != nil {
			return err
		}
		if got != nil {
			got(i, plaintext)
		}
	}
	return nil
}

// sealSatchel measures a complete bootstrap: it opens the data key from its record,
// derives the group, opens the messages, and releases the key.
func sealSatchel(plaintexts [][]byte, s *service) (func() (reader, error), error) {
	b, err := newSealedBundle(plaintexts, s)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return func() (reader, error) {
		keys, err := keyring.New(b.kek, nil)
		buffer := make([]byte, 0, len(plaintexts[0]))
		return func(got func(int, []byte)) error {
			key, err := keys.OpenKey(ctx, b.record, keyContext)
			if err != nil {
				return err
			}
			defer key.Destroy()
			group, err := key.Group(groupContext)
			if err != nil {
				return err
			}
			return b.open(group, buffer, got)
		}, err
	}, nil
}

// sealSatchelGroup measures the messages alone.
func sealSatchelGroup(plaintexts [][]byte, s *service) (func() (reader, error), error) {
	b, err := newSealedBundle(plaintexts, s)
	if err != nil {
		return nil, err
	}
	return func() (reader, error) {
		keys, err := keyring.New(b.kek, nil)
		if err != nil {
			return nil, err
		}
		key, err := keys.OpenKey(context.Background(), b.record, keyContext)
		if err != nil {
			return nil, err
		}
		group, err := key.Group(groupContext)
		buffer := make([]byte, 0, len(plaintexts[0]))
		return func(got func(int, []byte)) error { return b.open(group, buffer, got) }, err
	}, nil
}
