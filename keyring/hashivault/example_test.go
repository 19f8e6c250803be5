package hashivault_test

import (
	"context"
	"log"

	"github.com/hashicorp/vault/api"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/hashivault"
)

func ExampleNew() {
	client, err := api.NewClient(api.DefaultConfig()) // VAULT_ADDR, VAULT_TOKEN and so on
	if err != nil {
		log.Fatal(err)
	}
	kek, err := hashivault.New(client, "transit", "satchel")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := keys.Check(context.Background()); err != nil {
		log.Fatal(err)
	}
}
