package keyring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
)

// newExampleKeyring returns a keyring with a random key in memory. A program uses a key
// from a file or a key service.
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

// An envelope contains its data key, and opens only under its context.
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

	// Once for each tenant; the program stores the record.
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

	// Later, possibly in another process.
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

// A stream seals data that is too long for one message, or of unknown length.
func ExampleGroup_SealStream() {
	ctx := context.Background()
	keys := newExampleKeyring()
	purpose := keyring.Context{"purpose": "backup"}
	key, record, err := keys.NewKey(ctx, purpose) // the record is stored beside the stream
	if err != nil {
		log.Fatal(err)
	}
	defer key.Destroy()
	group, err := key.Group(purpose)
	if err != nil {
		log.Fatal(err)
	}

	var file bytes.Buffer
	w, err := group.SealStream(&file, keyring.Context{"backup": "2026-05-01"})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if _, err := io.WriteString(w, "a line\n"); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil { // writes the last chunk
		log.Fatal(err)
	}

	opened, err := keys.OpenKey(ctx, record, purpose)
	if err != nil {
		log.Fatal(err)
	}
	defer opened.Destroy()
	if group, err = opened.Group(purpose); err != nil {
		log.Fatal(err)
	}
	truncated := bytes.NewReader(file.Bytes()[:file.Len()-1])
	r, err := group.OpenStream(&file, keyring.Context{"backup": "2026-05-01"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := io.ReadAll(r)
	fmt.Printf("%q %v\n", plaintext, err)

	if r, err = group.OpenStream(truncated, keyring.Context{"backup": "2026-05-01"}); err != nil {
		log.Fatal(err)
	}
	_, err = io.ReadAll(r)
	fmt.Println(errors.Is(err, keyring.ErrTampered))
	// Output:
	// "a line\na line\na line\n" <nil>
	// true
}
