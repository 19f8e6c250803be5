package satchel_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/redact"
)

// The client's secrets are masked in the program's log. A rotated value stays masked
// for another day.
func ExampleOptions_redactor() {
	ctx := context.Background()
	layers := []bundle.Provider{fixed{"DEPLOY_TOKEN": "xoxb-4f9a7c2e1b8d"}}
	text := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})

	r := redact.New()
	logger := slog.New(redact.Handler(text, r)) // text is any other handler
	client, err := satchel.New(ctx, layers, &satchel.Options{Redactor: r, Logger: logger})
	if err != nil {
		log.Fatal(err)
	}
	token, _ := client.Bundle().Get("DEPLOY_TOKEN")
	logger.Info("calling", "error", fmt.Errorf("GET /?key=%s: 403", token.Value.Reveal()))
	// Output: level=INFO msg=calling error="GET /?key=[DEPLOY_TOKEN]: 403"
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
