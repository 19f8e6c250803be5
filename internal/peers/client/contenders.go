package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/viper"
	"github.com/tailscale/setec/client/setec"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

// A contender keeps values in memory.
type contender struct {
	name string
	// open returns a function that reads the value of name. Background work ends
	// with ctx.
	open func(ctx context.Context, values map[string]string, name string) (read, error)
}

// read reads a value n times, and returns the last.
type read func(n int) string

var contenders = []contender{
	{"a Go map, never refreshed", openMap},
	{"satchel, `client.Bundle().Get(name)`", openSatchel},
	{"satchel, `Derived.Get` of one secret", openDerived},
	{"setec, `Secret.Get` with the secret at hand", openSetec},
	{"setec, `Store.Secret(name).Get`", openSetecByName},
	{"koanf, `String(name)`", openKoanf},
	{"viper, `GetString(name)`", openViper},
}

// values returns n secrets.
func values(n int) map[string]string {
	all := make(map[string]string, n)
	for i := range n {
		all[name(i)] = fmt.Sprintf("value of %d, as long as an API key usually is", i)
	}
	return all
}

func name(i int) string { return fmt.Sprintf("SERVICE_%03d_KEY", i) }

func openMap(_ context.Context, values map[string]string, name string) (read, error) {
	return func(n int) (value string) {
		for range n {
			value = values[name]
		}
		return value
	}, nil
}

// fixed is a layer of satchel.
type fixed map[string]string

func (f fixed) Fetch(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
	var secrets []bundle.Secret
	for name, value := range f {
		secrets = append(secrets, bundle.Secret{Name: name, Value: bundle.NewValue(value)})
	}
	return bundle.New(secrets, nil)
}

func openSatchel(ctx context.Context, values map[string]string, name string) (read, error) {
	client, err := satchel.New(ctx, []bundle.Provider{fixed(values)}, nil)
	return func(n int) (value string) {
		for range n {
			secret, _ := client.Bundle().Get(name)
			value = secret.Value.Reveal()
		}
		return value
	}, err
}

func openDerived(ctx context.Context, values map[string]string, name string) (read, error) {
	client, err := satchel.New(ctx, []bundle.Provider{fixed(values)}, nil)
	if err != nil {
		return nil, err
	}
	derived := satchel.Derive(client, func(b *bundle.Bundle) (string, error) {
		secret, _ := b.Get(name)
		return secret.Value.Reveal(), nil
	}, name)
	return func(n int) (value string) {
		for range n {
			value, _ = derived.Get()
		}
		return value
	}, nil
}

// setecStore returns a store that has read values from a file.
func setecStore(ctx context.Context, values map[string]string) (*setec.Store, error) {
	type entry struct {
		TextValue string
		Version   int
	}
	type secret struct {
		Secret entry `json:"secret"`
	}
	content := map[string]secret{}
	var names []string
	for name, value := range values {
		content[name] = secret{entry{value, 1}}
		names = append(names, name)
	}
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "setec")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "secrets.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	client, err := setec.NewFileClient(file)
	if err != nil {
		return nil, err
	}
	store, err := setec.NewStore(ctx, setec.StoreConfig{Client: client, Secrets: names, Logf: func(string, ...any) {}})
	if err == nil {
		context.AfterFunc(ctx, func() { _ = store.Close() })
	}
	return store, err
}

func openSetec(ctx context.Context, values map[string]string, name string) (read, error) {
	store, err := setecStore(ctx, values)
	if err != nil {
		return nil, err
	}
	secret := store.Secret(name)
	return func(n int) string {
		var value []byte
		for range n {
			value = secret.Get()
		}
		return string(value)
	}, nil
}

func openSetecByName(ctx context.Context, values map[string]string, name string) (read, error) {
	store, err := setecStore(ctx, values)
	return func(n int) string {
		var value []byte
		for range n {
			value = store.Secret(name).Get()
		}
		return string(value)
	}, err
}

func openKoanf(_ context.Context, values map[string]string, name string) (read, error) {
	k := koanf.New(".")
	return func(n int) (value string) {
		for range n {
			value = k.String(name)
		}
		return value
	}, k.Load(confmap.Provider(anyValues(values), ""), nil)
}

func openViper(_ context.Context, values map[string]string, name string) (read, error) {
	v := viper.New()
	return func(n int) (value string) {
		for range n {
			value = v.GetString(name)
		}
		return value
	}, v.MergeConfigMap(anyValues(values))
}

func anyValues(values map[string]string) map[string]any {
	all := make(map[string]any, len(values))
	for name, value := range values {
		all[name] = value
	}
	return all
}
