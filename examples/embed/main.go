// Command embed is a minimal custom runner: it fetches its bundle, keeps it fresh,
// and runs the command in its arguments as a job with one of the secrets.
// SATCHEL_API_URL and SATCHEL_RUNNER_TOKEN come from the environment or from .env.
//
//	go run ./examples/embed make deploy
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/job"
	"github.com/satchelhq/satchel/providers"
)

func main() {
	code, err := run(context.Background(), os.Args[1:]...)
	if err != nil {
		log.Print(err)
		code = max(code, 1) // it is -1 if no job was started
	}
	os.Exit(code)
}

func run(ctx context.Context, command ...string) (code int, err error) {
	platform, err := providers.PlatformFromEnv(".env") // SATCHEL_API_URL, SATCHEL_RUNNER_TOKEN
	if err != nil {
		return 1, err
	}
	layers := []bundle.Provider{platform, &providers.Dotenv{Path: ".env", Optional: true}} // the last one wins
	client, err := satchel.New(ctx, layers, nil)
	if err != nil {
		return 1, err
	}
	go client.Run(ctx) // refreshes every 15 minutes and on changes, until ctx is done
	for s := range client.Bundle().All() {
		fmt.Println(s.Name, s.Value.Preview(), "from", s.Origin)
	}
	return start(ctx, client, command)
}

// start runs a job with one of the secrets, and no other data of the runner. The
// secret is masked in the job's output. Signals go to the job.
func start(ctx context.Context, client *satchel.Client, command []string) (code int, err error) {
	if len(command) == 0 {
		return 0, nil
	}
	j := job.Job{
		Client: client, Secrets: []string{"DEPLOY_TOKEN"},
		Path: command[0], Args: command[1:],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	return j.Run(ctx)
}
