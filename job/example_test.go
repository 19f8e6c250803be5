//go:build unix

package job_test

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

func ExampleJob() {
	ctx := context.Background()
	layers := []bundle.Provider{providers.Static{
		{Name: "DEPLOY_TOKEN", Value: bundle.NewValue("dt-4f9c1e77")},
		{Name: "OTHER", Value: bundle.NewValue("is not the job's")},
	}}
	client, err := satchel.New(ctx, layers, nil)
	if err != nil {
		log.Fatal(err)
	}
	j := job.Job{
		Client: client, Path: "sh", Args: []string{"-c", `echo "deploying with $DEPLOY_TOKEN and '$OTHER'"; exit 3`},
		Secrets: []string{"DEPLOY_TOKEN"}, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	code, err := j.Run(ctx)
	fmt.Println(code, err)
	// Output:
	// deploying with [DEPLOY_TOKEN] and ''
	// 3 <nil>
}
