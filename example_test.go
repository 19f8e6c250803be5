package satchel_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// fixed stands for any provider; package providers has the real ones.
type fixed map[string]string

func (f fixed) String() string { return "fixed" }

func (f fixed) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	var secrets []bundle.Secret
	for name, value := range f {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value), Origin: bundle.Origin{Provider: "fixed"}})
	}
	return bundle.New(secrets, nil)
}

// The first program: fetch everything once, keep it fresh, use a secret.
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
	fmt.Println(token.Value, ok) // a value does not print
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

func ExampleOptions() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long New may retry
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
