package main

import (
	"context"
	"fmt"
	"log"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

// must returns v, or ends the program.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// Each of several keys alone opens what all of them wrapped.
func Example_replicas() {
	ctx, tenant := context.Background(), keyring.Context{"purpose": "data-key", "tenant": "acme"}
	frankfurt, dublin := keyringtest.NewFake("frankfurt"), keyringtest.NewFake("dublin")

	keys := must(keyring.New(frankfurt, &keyring.Options{Replicas: []keyring.KEK{dublin}}))
	key, record, err := keys.NewKey(ctx, tenant) // one call of each
	if err != nil {
		log.Fatal(err)
	}
	key.Destroy()

	frankfurt.Break(keyring.ErrUnavailable)
	must(keys.OpenKey(ctx, record, tenant)).Destroy()
	fmt.Println("calls of Frankfurt:", frankfurt.Unwraps(), "of Dublin:", dublin.Unwraps())
	// Output: calls of Frankfurt: 1 of Dublin: 1
}

// Processes are restarted one after the other, and at no time does one of them
// meet a record that it cannot open.
func Example_moving() {
	ctx, tenant := context.Background(), keyring.Context{"purpose": "data-key", "tenant": "acme"}
	from, to := keyringtest.NewFake("from"), keyringtest.NewFake("to")
	before := must(keyring.New(from, nil))
	_, record, err := before.NewKey(ctx, tenant)
	if err != nil {
		log.Fatal(err)
	}

	both := must(keyring.New(from, &keyring.Options{Replicas: []keyring.KEK{to}})) // 1. in every process
	twice := must(both.Rewrap(ctx, record, tenant))                                // 2. every record, once
	moved := must(keyring.New(to, &keyring.Options{Retired: []keyring.KEK{from}})) // 3. in every process
	once := must(moved.Rewrap(ctx, twice, tenant))                                 // 4. every record, once
	after := must(keyring.New(to, nil))                                            // 5. in every process

	for _, opened := range []struct {
		keys   *keyring.Keyring
		record keyring.Record
	}{{both, record}, {before, twice}, {moved, twice}, {both, once}, {after, once}} {
		must(opened.keys.OpenKey(ctx, opened.record, tenant)).Destroy()
	}
	_, err = before.OpenKey(ctx, once, tenant)
	fmt.Println(err)
	// Output: opening key record: no such key: it is wrapped under "fake:to", and none of these is configured
}
