package providers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
)

// Layers in rising precedence: the environment shadows the file, and the file
// shadows the program's defaults.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, ".env")
	if err := os.WriteFile(file, []byte("API_KEY=from the file\nDB_URL=\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	layers := []bundle.Provider{
		providers.Static{
			{Name: "API_KEY", Value: bundle.NewValue("built in")},
			{Name: "DB_URL", Value: bundle.NewValue("built in")},
			{Name: "REGION", Value: bundle.NewValue("built in")},
		},
		&providers.Dotenv{Path: file, Optional: true},
		&providers.Env{Names: []string{"API_KEY"}},
	}

	var bundles []*bundle.Bundle
	for _, layer := range layers {
		b, err := layer.Fetch(context.Background(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		bundles = append(bundles, b)
	}
	for s := range bundle.Merge(bundles...).All() {
		fmt.Printf("%s %q from %s\n", s.Name, s.Value.Reveal(), s.Origin.Provider)
	}
	// Output:
	// API_KEY "from the file" from dotenv
	// DB_URL "" from dotenv
	// REGION "built in" from static
}

func ExampleFunc() {
	p := providers.Func(func(context.Context, *bundle.Bundle) (*bundle.Bundle, error) {
		return bundle.New([]bundle.Secret{{
			Name:   "API_KEY",
			Value:  bundle.NewValue("from anywhere"),
			Origin: bundle.Origin{Provider: "anywhere"},
		}}, nil)
	})
	b, err := p.Fetch(context.Background(), nil)
	fmt.Println(b, err)
	// Output: bundle of 1: API_KEY <nil>
}
