package keyring_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
)

// newExampleKeyring returns a keyring with a random key in memory. A program
// takes one from a file or a key service.
func newExampleKeyring() *keyring.Keyring {
	key := make([]byte, local.KeySize)
	rand.Read(key)
	kek, err := local.New("example", key)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		log.Fatal(err)
	}
	return keys
}

// An envelope holds its own data key, and opens under its context only.
func ExampleKeyring_SealEnvelope() {
	ctx := context.Background()
	keys := newExampleKeyring()

	sealed, err := keys.SealEnvelope(ctx, []byte("a secret"), keyring.Context{"purpose": "backup"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := keys.OpenEnvelope(ctx, sealed, keyring.Context{"purpose": "backup"})
	fmt.Printf("%s, %v\n", plaintext, err)
	_, err = keys.OpenEnvelope(ctx, sealed, keyring.Context{"purpose": "export"})
	fmt.Println(err)
	// Output:
	// a secret, <nil>
	// opening envelope: unwrapping data key with "local:example": opening message: authentication failed
}

// One data key serves all the values of a tenant.
func ExampleKeyring_OpenKey() {
	ctx := context.Background()
	keys := newExampleKeyring()
	tenant := keyring.Context{"purpose": "data-key", "tenant": "acme"}
	scope := keyring.Context{"purpose": "secrets", "tenant": "acme", "scope": "acme/web"}

	// Once for each tenant; the record is stored.
	key, record, err := keys.NewKey(ctx, tenant)
	if err != nil {
		log.Fatal(err)
	}
	group, err := key.Group(scope)
	if err != nil {
		log.Fatal(err)
	}
	message, err := group.Seal(nil, []byte("a secret"), keyring.Context{"name": "API_KEY", "version": "7"})
	if err != nil {
		log.Fatal(err)
	}
	key.Destroy()

	// Later, maybe in another process.
	key, err = keys.OpenKey(ctx, record, tenant)
	if err != nil {
		log.Fatal(err)
	}
	defer key.Destroy()
	group, err = key.Group(scope)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := group.Open(nil, message, keyring.Context{"name": "API_KEY", "version": "7"})
	fmt.Printf("%s, %v\n", plaintext, err)
	_, err = group.Open(nil, message, keyring.Context{"name": "API_KEY", "version": "8"})
	fmt.Println(err)
	// Output:
	// a secret, <nil>
	// opening message: authentication failed
}
