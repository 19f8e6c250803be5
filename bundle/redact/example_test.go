package redact_test

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

var deployToken = bundle.Secret{Name: "DEPLOY_TOKEN", Value: bundle.NewValue("xoxb-4f9a7c2e1b8d")}

func ExampleNew() {
	r := redact.New(deployToken)
	fmt.Println(r.String("curl -H 'Authorization: Bearer xoxb-4f9a7c2e1b8d'"))
	fmt.Println(r.String("echo eG94Yi00ZjlhN2MyZTFiOGQ= | base64 -d"))
	// Output:
	// curl -H 'Authorization: Bearer [DEPLOY_TOKEN]'
	// echo [DEPLOY_TOKEN] | base64 -d
}

func ExampleRedactor_Writer() {
	r := redact.New(deployToken)
	out := r.Writer(os.Stdout)
	defer out.Close()

	cmd := exec.Command("echo", "the token is", deployToken.Value.Reveal())
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
	}
	// Output: the token is [DEPLOY_TOKEN]
}

func ExampleHandler() {
	r := redact.New(deployToken)
	text := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})
	logger := slog.New(redact.Handler(text, r))
	logger.Info("calling", "url", "https://bot:xoxb-4f9a7c2e1b8d@example.com/")
	// Output: level=INFO msg=calling url=https://bot:[DEPLOY_TOKEN]@example.com/
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
