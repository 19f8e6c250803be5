package vault_test

import (
	"context"
	"fmt"
	"log"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
)

// newExample returns a vault in memory. Its key is in the code, which is acceptable only
// in examples.
func newExample(ctx context.Context) (*vault.Vault, error) {
	kek, err := local.New("example", []byte("thirty-two bytes for the example"))
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		return nil, err
	}
	return vault.New(ctx, memstore.New(), keys, nil)
}

// An administrator stores a secret for all runners of a tenant, and issues a token for
// one pool of runners.
func ExampleVault() {
	ctx := vault.WithActor(context.Background(), "ada@example.com")
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	info, err := v.Put(ctx, "acme", "ANTHROPIC_API_KEY", bundle.NewValue("sk-ant-0123456789abcdefghijklmnopqr"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Name, "version", info.Version, info.Preview, "by", info.Author)

	token, _, err := v.IssueToken(ctx, "acme/web/pool-a", &vault.TokenOptions{Label: "the pool's runners"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token, "is shown once, by token.Reveal()")

	// A runner with this token gets:
	b, err := v.Bootstrap(ctx, token, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b)

	// Output:
	// ANTHROPIC_API_KEY version 1 sk-a****opqr by ada@example.com
	// [REDACTED] is shown once, by token.Reveal()
	// bundle of 1: ANTHROPIC_API_KEY
}
