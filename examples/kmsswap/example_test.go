package main

import (
	"context"
	"fmt"
	"log"

	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/keyringtest"
)

// must returns v, or ends the program if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// Each of several replicated keys can open a record by itself.
func Example_replicas() {
	ctx, tenant := context.Background(), keyring.Context{"purpose": "data-key", "tenant": "acme"}
	frankfurt, dublin := keyringtest.NewFake("frankfurt"), keyringtest.NewFake("dublin")

	keys := must(keyring.New(frankfurt, &keyring.Options{Replicas: []keyring.KEK{dublin}}))
	key, record, err := keys.NewKey(ctx, tenant) // one call to each
	if err != nil {
		log.Fatal(err)
	}
	key.Destroy()

	frankfurt.Break(keyring.ErrUnavailable)
	must(keys.OpenKey(ctx, record, tenant)).Destroy()
	fmt.Println("calls to Frankfurt:", frankfurt.Unwraps(), "to Dublin:", dublin.Unwraps())
	// Output: calls to Frankfurt: 1 to Dublin: 1
}

// Processes are restarted one after another. At any time, every process can open every
// record.
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
	// Output: opening key record: no such key: the record is wrapped under "fake:to", none of which is configured
}
