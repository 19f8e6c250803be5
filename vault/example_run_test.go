package vault_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/memstore"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// servePlatform serves runners until ctx is done.
func servePlatform(ctx context.Context, v *vault.Vault, listener net.Listener) error {
	if err := v.Check(ctx); err != nil {
		return err // for example a wrong key, before the first request
	}
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer endWork() // after the last request, so that its last use is stored
	group.Go(func() { _ = v.Run(work) })

	mux := http.NewServeMux()
	mux.Handle("/runners/", vaulthttp.Runners(v, nil))
	mux.Handle("/readyz", vaulthttp.Ready(v, nil))
	server := &http.Server{Handler: mux}
	served := make(chan error, 1)
	group.Go(func() { served <- server.Serve(listener) })
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return server.Shutdown(ctx) // waiting runners get a response now, not after 50 seconds
}

// A platform runs the recurring work of the vault while it serves.
func ExampleVault_Run() {
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond) // signal.NotifyContext in a program
	defer stop()
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(servePlatform(ctx, v, listener))
	// Output: <nil>
}

// The audit chain of each tenant is verified every night.
func ExampleVault_Tenants() {
	ctx := vault.WithActor(context.Background(), "ada@example.com")
	v, err := newExample(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, scope := range []string{"globex", "acme/web"} {
		if _, _, err := v.IssueToken(ctx, scope, nil); err != nil {
			log.Fatal(err)
		}
	}

	for tenant, err := range v.Tenants(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		head, err := v.VerifyAudit(ctx, tenant, nil, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(tenant, head.Seq)
	}
	// Output:
	// acme 1
	// globex 1
}

// A program that was started with the wrong key detects this before it serves.
func ExampleVault_Check() {
	ctx := context.Background()
	storage := memstore.New()
	open := func(name string) *vault.Vault {
		kek, err := local.New(name, []byte("thirty-two bytes for the example"))
		if err != nil {
			log.Fatal(err)
		}
		keys, err := keyring.New(kek, nil)
		if err != nil {
			log.Fatal(err)
		}
		v, err := vault.New(ctx, storage, keys, nil)
		if err != nil {
			log.Fatal(err)
		}
		return v
	}
	if _, _, err := open("2025").IssueToken(ctx, "acme", nil); err != nil {
		log.Fatal(err)
	}

	err := open("2026").Check(ctx)
	flags := map[string]string{"keyring.Options.Retired": "--retired"} // of the program
	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
	// Output:
	// checking the keys of the stored data: the data keys of tenant acme are wrapped by ["local:2025"], but the keyring has ["local:2026"]; use a key that wraps them, or add it with --retired
}
