package local_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
)

// The operator generates a key file once; the program loads it at each start.
func Example() {
	dir, err := os.MkdirTemp("", "satchel")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "kek")

	if _, err := local.GenerateFile(path); err != nil {
		log.Fatal(err)
	}
	kek, err := local.FromFile(path)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(kek.ID().Service, keys.Check(context.Background()))
	// Output: local <nil>
}
