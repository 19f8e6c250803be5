package github_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/providers/github"
)

// A runner that has the app's key. At the end it revokes its token, which would
// otherwise remain valid for up to an hour.
func ExampleApp() {
	file, err := os.ReadFile("/run/secrets/github-app.pem")
	if err != nil {
		log.Fatal(err)
	}
	key, err := github.ParseKey(bundle.NewValue(string(file)))
	if err != nil {
		log.Fatal(err)
	}
	app := &github.App{
		AppID:          "Iv23liAbCdEfGhIjKlMn",
		Key:            key,
		InstallationID: 42,
		Repositories:   []string{"web"},
		Permissions:    map[string]string{"contents": "write", "pull_requests": "write"},
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := satchel.New(ctx, []bundle.Provider{app, &providers.Env{Names: []string{"GITHUB_TOKEN"}}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	go c.Run(ctx)

	// … the work …

	ending, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	if err := app.Revoke(ending, c.Bundle()); err != nil {
		log.Print(err)
	}
}

// GitHub Enterprise Server has its API below a path.
func ExampleApp_enterprise() {
	app := &github.App{
		AppID:          "Iv23liAbCdEfGhIjKlMn",
		InstallationID: 42,
		URL:            "https://github.example.com/api/v3",
	}
	fmt.Println(app)
	// Output: github https://github.example.com installation 42
}
