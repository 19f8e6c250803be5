package bundle_test

import (
	"fmt"

	"github.com/satchelhq/satchel/bundle"
)

// A secret can be printed safely; Reveal is the only way to read it.
func Example() {
	b, err := bundle.New([]bundle.Secret{{
		Name:   "ANTHROPIC_API_KEY",
		Value:  bundle.NewValue("sk-ant-api03-0123456789abcdefghijklmnop"),
		Origin: bundle.Origin{Provider: "example"},
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, ok := b.Get("ANTHROPIC_API_KEY")
	if !ok {
		fmt.Println("missing ANTHROPIC_API_KEY")
		return
	}
	fmt.Println(key.Value)
	fmt.Println(key.Value.Preview())
	fmt.Println(len(key.Value.Reveal()))
	// Output:
	// [REDACTED]
	// sk-a****mnop
	// 39
}

// Layers are in rising precedence: local values win, and the bundle reports it.
func ExampleMerge() {
	platform, _ := bundle.New([]bundle.Secret{
		{Name: "API_KEY", Value: bundle.NewValue("from the platform"), Origin: bundle.Origin{Provider: "bootstrap", Location: "https://host"}},
		{Name: "DB_URL", Value: bundle.NewValue("postgres://…"), Origin: bundle.Origin{Provider: "bootstrap", Location: "https://host"}},
	}, nil)
	local, _ := bundle.New([]bundle.Secret{
		{Name: "API_KEY", Value: bundle.NewValue("my own"), Origin: bundle.Origin{Provider: "dotenv", Location: ".env:12"}},
	}, nil)

	b := bundle.Merge(platform, local)
	key, _ := b.Get("API_KEY")
	fmt.Println(key.Value.Reveal())
	fmt.Println(b.Trace("API_KEY"))
	for _, s := range b.Shadowed() {
		fmt.Printf("%s: %s shadows %s; %s\n", s.Name, s.Winner, s.Hidden, s.Fix())
	}
	// Output:
	// my own
	// [dotenv .env:12 bootstrap https://host]
	// API_KEY: dotenv .env:12 shadows bootstrap https://host; remove line 12 of .env
}

func ExampleDecode() {
	b, _ := bundle.New([]bundle.Secret{
		{Name: "API_KEY", Value: bundle.NewValue("k")},
		{Name: "ACCOUNT", Value: bundle.NewValue(`{"user":"deploy"}`)},
	}, nil)

	var config struct {
		Key     bundle.Value `secret:"API_KEY"`
		Webhook string       `secret:"WEBHOOK_URL,optional"`
		Account struct {
			User string `json:"user"`
		} `secret:"ACCOUNT,json"`
	}
	err := bundle.Decode(b, &config)
	fmt.Printf("%+v %v\n", config, err)

	var more struct {
		Key   bundle.Value `secret:"API_KEY"`
		Token bundle.Value `secret:"DEPLOY_TOKEN"`
	}
	fmt.Println(bundle.Decode(b, &more))
	// Output:
	// {Key:[REDACTED] Webhook: Account:{User:deploy}} <nil>
	// decoding secrets: missing DEPLOY_TOKEN
}

func ExampleBundle_Environ() {
	b, _ := bundle.New([]bundle.Secret{
		{Name: "API_KEY", Value: bundle.NewValue("k")},
		{Name: "OTHER", Value: bundle.NewValue("o")},
	}, nil)
	fmt.Println(b.Environ("API_KEY"))
	// Output: [API_KEY=k]
}

func ExampleCompare() {
	old, _ := bundle.New([]bundle.Secret{{Name: "A", Value: bundle.NewValue("1")}}, nil)
	now, _ := bundle.New([]bundle.Secret{{Name: "A", Value: bundle.NewValue("2")}, {Name: "B"}}, nil)
	fmt.Println(bundle.Compare(old, now))
	// Output: added B; changed A
}

func ExampleValue_Preview() {
	fmt.Println(bundle.NewValue("sk-ant-0123456789-0123456789-abcd").Preview())
	fmt.Println(bundle.NewValue("short").Preview())
	// Output:
	// sk-a****abcd
	// ****
}

func ExampleBundle_Require() {
	b, _ := bundle.New([]bundle.Secret{{Name: "API_KEY", Value: bundle.NewValue("k")}}, &bundle.Meta{Problems: []bundle.Problem{
		{Name: "GITHUB_TOKEN", Origin: bundle.Origin{Provider: "github", Location: "acme"}, Reason: "the installation is suspended"},
	}})
	fmt.Println(b.Require("API_KEY", "GITHUB_TOKEN", "NPM_TOKEN"))
	// Output: required secrets are missing: GITHUB_TOKEN (github acme: the installation is suspended), NPM_TOKEN; add them on the platform, or to a local layer
}
