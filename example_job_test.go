//go:build unix

package satchel_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
)

func ExampleJob() {
	ctx := context.Background()
	client, err := satchel.New(ctx, []bundle.Provider{fixed{"DEPLOY_TOKEN": "dt-4f9c1e77", "OTHER": "is not the job's"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	job := satchel.Job{
		Client: client, Path: "sh", Args: []string{"-c", `echo "deploying with $DEPLOY_TOKEN and '$OTHER'"; exit 3`},
		Secrets: []string{"DEPLOY_TOKEN"}, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	code, err := job.Run(ctx)
	fmt.Println(code, err)
	// Output:
	// deploying with [DEPLOY_TOKEN] and ''
	// 3 <nil>
}
