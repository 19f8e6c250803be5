// Command embed is the smallest custom runner: it fetches its bundle, keeps it
// fresh, and runs the job that its arguments name with one of the secrets. Its
// own two lines come from the environment or from .env.
//
//	go run ./examples/embed make deploy
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]...); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, job ...string) error {
	platform, err := providers.BootstrapFromEnv(".env") // SATCHEL_API_URL, SATCHEL_RUNNER_TOKEN
	if err != nil {
		return err
	}
	layers := []bundle.Provider{platform, &providers.Dotenv{Path: ".env", Optional: true}} // the last one wins
	client, err := satchel.New(ctx, layers, nil)
	if err != nil {
		return err
	}
	go client.Run(ctx) // until ctx ends: every 15 minutes, and when something changes
	for s := range client.Bundle().All() {
		fmt.Println(s.Name, s.Value.Preview(), "from", s.Origin)
	}
	return start(ctx, client.Bundle(), job)
}

// start runs a job with one of the secrets, and nothing else of the runner's.
func start(ctx context.Context, b *bundle.Bundle, job []string) error {
	if len(job) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, job[0], job[1:]...)
	cmd.Env = append(b.Environ("DEPLOY_TOKEN"), "PATH="+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
