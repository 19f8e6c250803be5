package satchel_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// fixed stands in for any provider; package providers has real ones.
type fixed map[string]string

func (f fixed) String() string { return "fixed" }

func (f fixed) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	var secrets []bundle.Secret
	for name, value := range f {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: "fixed"}})
	}
	return bundle.New(secrets, nil)
}

// A minimal program fetches everything once, keeps it fresh, and uses a secret.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	platform := fixed{"ANTHROPIC_API_KEY": "from the platform", "DEPLOY_TOKEN": "from the platform"}
	local := fixed{"DEPLOY_TOKEN": "from this machine"}

	client, err := satchel.New(ctx, []bundle.Provider{platform, local}, nil) // the last one wins
	if err != nil {
		log.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if err := client.Run(ctx); err != nil {
			log.Print(err)
		}
	})

	token, ok := client.Bundle().Get("DEPLOY_TOKEN")
	fmt.Println(token.Value, ok) // a value does not print itself
	fmt.Println(token.Value.Reveal())

	stop()
	group.Wait()
	// Output:
	// [REDACTED] true
	// from this machine
}

func ExampleClient_Refresh() {
	ctx := context.Background()
	source := fixed{"A": "1"}
	client, err := satchel.New(ctx, []bundle.Provider{source}, nil)
	if err != nil {
		log.Fatal(err)
	}
	source["A"] = "2"
	changed, err := client.Refresh(ctx)
	a, _ := client.Bundle().Get("A")
	fmt.Println(changed, err, a.Value.Reveal())
	// Output: true <nil> 2
}

func ExampleClient_Status() {
	client, err := satchel.New(context.Background(), []bundle.Provider{fixed{"A": "1"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	status := client.Status()
	fmt.Println(status.State)
	for _, layer := range status.Layers {
		fmt.Println(layer.Name, layer.State, layer.LastError)
	}
	// Output:
	// fresh
	// fixed fresh <nil>
}

func ExampleClient_Changes() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	source := fixed{"A": "1", "B": "1"}
	client, err := satchel.New(ctx, []bundle.Provider{source}, nil)
	if err != nil {
		log.Fatal(err)
	}
	changes := client.Changes(ctx) // reports changes from here on

	source["A"] = "2"
	delete(source, "B")
	if _, err := client.Refresh(ctx); err != nil { // or Run, in the background
		log.Fatal(err)
	}
	for diff := range changes {
		fmt.Println(diff)
		stop() // otherwise, the loop waits for the next one
	}
	// Output: changed A; removed B
}

// A client of an API is rebuilt when its key is rotated.
func ExampleDerive() {
	ctx := context.Background()
	source := fixed{"API_KEY": "first"}
	client, err := satchel.New(ctx, []bundle.Provider{source}, nil)
	if err != nil {
		log.Fatal(err)
	}
	type api struct{ key bundle.Value }
	derived := satchel.Derive(client, func(b *bundle.Bundle) (*api, error) {
		key, ok := b.Get("API_KEY")
		if !ok {
			return nil, errors.New("API_KEY is missing")
		}
		return &api{key.Value}, nil
	}, "API_KEY")

	use := func(a *api) error {
		fmt.Println("using the", a.key.Reveal(), "key")
		return nil
	}
	fmt.Println(derived.Use(use))
	source["API_KEY"] = "second"
	if _, err := client.Refresh(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(derived.Use(use))
	// Output:
	// using the first key
	// <nil>
	// using the second key
	// <nil>
}

func ExampleCheck() {
	layers := []bundle.Provider{fixed{"ANTHROPIC_API_KEY": "made-up"}}
	report := satchel.Check(context.Background(), layers, "ANTHROPIC_API_KEY", "DEPLOY_TOKEN")
	fmt.Println(report)
	fmt.Println(report.OK())
	// Output:
	// ok       fixed                     secrets: 1
	// ok       secret ANTHROPIC_API_KEY  from fixed
	// failed   secret DEPLOY_TOKEN       no layer has it
	//                                    fix: add it on the platform, or to a local layer
	// not ready: 2 ok, 1 failed
	// false
}

func ExampleOptions() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // limits the retries of New
	defer cancel()
	client, err := satchel.New(ctx, []bundle.Provider{fixed{"A": "1"}}, &satchel.Options{
		Interval: 5 * time.Minute,
		Logger:   slog.New(slog.DiscardHandler),
		Observer: satchel.Observer{
			Fetched: func(layer string, took time.Duration, err error) { fmt.Println(layer, err) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Bundle())
	// Output:
	// fixed <nil>
	// bundle of 1: A
}
