// Command typed decodes its secrets into a configuration struct, and builds an HTTP
// client from it, which it rebuilds when a secret is rotated. Like a log shipper, it
// posts every line of its input.
//
//	tail -f app.log | go run ./examples/embed/typed
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/providers"
)

// config has the secrets that the program needs.
type config struct {
	URL  string       `secret:"COLLECTOR_URL"`
	Key  bundle.Value `secret:"COLLECTOR_KEY"` // never prints its content
	Team string       `secret:"COLLECTOR_TEAM,optional"`
}

// collector is a client for one configuration.
type collector struct {
	config
	http http.Client
}

// newCollector is called again when one of the secrets changes. Its error names all
// missing secrets.
func newCollector(b *bundle.Bundle) (*collector, error) {
	c := &collector{config: config{Team: "default"}}
	if err := bundle.Decode(b, &c.config); err != nil {
		return nil, err
	}
	c.http = http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: 30 * time.Second}
	return c, nil
}

// post sends one line.
func (c *collector) post(ctx context.Context, line string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(line))
	if err != nil {
		return errors.New("COLLECTOR_URL is not a valid URL; want one like https://collector.example.com") // err quotes it, and it is a secret
	}
	r.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	r.Header.Set("Team", c.Team)
	response, err := c.http.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the URL
	}
	if err != nil {
		return fmt.Errorf("posting a line: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("posting a line: status %d", response.StatusCode)
	}
	return nil
}

// Close is called when another collector has replaced this one and it is no longer in
// use.
func (c *collector) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func main() {
	platform, err := providers.PlatformFromEnv(".env")
	if err != nil {
		log.Fatal(err)
	}
	if err := ship(context.Background(), os.Stdin, platform, &providers.Dotenv{Path: ".env", Optional: true}); err != nil {
		log.Fatal(err)
	}
}

// ship posts every line of in.
func ship(ctx context.Context, in io.Reader, layers ...bundle.Provider) error {
	client, err := satchel.New(ctx, layers, nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go client.Run(ctx) // until ship returns

	current := satchel.Derive(client, newCollector, "COLLECTOR_URL", "COLLECTOR_KEY", "COLLECTOR_TEAM")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := current.Use(func(c *collector) error { return c.post(ctx, lines.Text()) }); err != nil {
			return err
		}
	}
	return lines.Err()
}
