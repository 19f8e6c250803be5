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
		{Name: "OTHER", Value: bundle.NewValue("not for the job")},
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

// A .env cannot specify delivery as a file. Files specifies it for this job.
func ExampleJob_files() {
	ctx := context.Background()
	client, err := satchel.New(ctx, []bundle.Provider{providers.Static{{Name: "TLS_KEY", Value: bundle.NewValue("key-4f9c1e77")}}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	code, err := job.Job{
		Client: client, Path: "sh", Args: []string{"-c", `echo "the file has $(cat "$TLS_KEY_FILE"), the variable is '$TLS_KEY'"`},
		Files: []string{"TLS_KEY"}, Stdout: os.Stdout,
	}.Run(ctx)
	fmt.Println(code, err)
	// Output:
	// the file has [TLS_KEY], the variable is ''
	// 0 <nil>
}

func ExampleGitCredential_Check() {
	err := job.GitCredential{URL: "https://bot@git.example.com", Secret: "GIT_TOKEN"}.Check()
	fmt.Println(err)
	flags := map[string]string{"job.GitCredential.Username": "--git-user"}
	fmt.Println(bundle.Explain(err, func(setting string) string { return flags[setting] }))
	// Output:
	// the URL has a user; remove everything from // to @, and use Username
	// the URL has a user; remove everything from // to @, and use --git-user
}
