package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/satchelhq/satchel"
	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/keyring"
	"github.com/satchelhq/satchel/keyring/local"
	"github.com/satchelhq/satchel/providers"
	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/sqlstore"
)

// asRunners is the variable that makes the test binary a process full of runners
// for the load test, or one that issues their tokens. It reads its order, a line of
// JSON, from standard input.
const asRunners = "SATCHEL_TEST_AS_LOAD"

// Scopes and names of the load test.
const (
	loadScope  = "acme"
	loadSecret = "SHARED_KEY"
	// perConnection is the number of runners that share an HTTP/2 connection, so that
	// thousands of them need few descriptors. Real runners have one connection each.
	perConnection = 200
)

// loadOrder is the order of a child process.
type loadOrder struct {
	// Issue is the number of tokens to print, for runners of different scopes. It needs
	// DSN and KEK. If it is 0, the process runs a runner for each of Tokens instead, at
	// the platform at URL.
	Issue       int
	DSN, KEK    string // KEK is a key file
	URL         string
	Certificate string // PEM
	Tokens      []string
	First       int // the number of the first runner
}

func init() {
	if os.Getenv(asRunners) == "" {
		return
	}
	in := bufio.NewReader(os.Stdin)
	var order loadOrder
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &order)
	}
	if err == nil && order.Issue > 0 {
		err = issueTokens(order)
	} else if err == nil {
		err = runRunners(order, in)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "a process of the load test:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// openLoadVault opens the vault of the platforms in this process.
func openLoadVault(ctx context.Context, dsn, kekFile string) (*vault.Vault, *sql.DB, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(4)
	store, err := sqlstore.Open(ctx, db, sqlstore.Postgres)
	if err != nil {
		return nil, db, err
	}
	kek, err := local.FromFile(kekFile)
	if err != nil {
		return nil, db, err
	}
	keys, err := keyring.New(kek, nil)
	if err != nil {
		return nil, db, err
	}
	v, err := vault.New(ctx, store, keys, &vault.Options{Logger: slog.New(slog.DiscardHandler)})
	return v, db, err
}

// issueTokens prints tokens for runners in a hundred scopes.
func issueTokens(order loadOrder) error {
	ctx := context.Background()
	v, db, err := openLoadVault(ctx, order.DSN, order.KEK)
	if err != nil {
		return err
	}
	defer db.Close()
	for i := range order.Issue {
		token, _, err := v.IssueToken(ctx, fmt.Sprintf("%s/team-%d/pool-%d", loadScope, i%10, i%100), nil)
		if err != nil {
			return err
		}
		fmt.Println(token.Reveal())
	}
	return nil
}

// runners are the runners of one process.
type runners struct {
	order loadOrder

	mu     sync.Mutex
	counts map[string]int // responses, by status code and waiting
}

// runRunners starts the runners, and prints each value that one receives. For each line
// of its input it prints the responses counted since the last one. It ends with its
// input.
func runRunners(order loadOrder, in *bufio.Reader) error {
	r := &runners{order: order, counts: map[string]int{}}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(order.Certificate)) {
		return errors.New("no certificate")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var transport *http.Transport
	starting := make(chan struct{}, 16)
	for i, token := range order.Tokens {
		if i%perConnection == 0 {
			transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		}
		client := &http.Client{Transport: &counted{transport, r}}
		starting <- struct{}{}
		go func() {
			started := sync.OnceFunc(func() { <-starting })
			defer started()
			if err := r.run(ctx, order.First+i, client, token, started); err != nil {
				fmt.Fprintln(os.Stderr, "a runner:", err)
				os.Exit(1)
			}
		}()
	}
	for {
		if _, err := in.ReadString('\n'); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		r.report()
	}
}

// run is one runner.
func (r *runners) run(ctx context.Context, number int, client *http.Client, token string, started func()) error {
	platform := &providers.Platform{
		URL: r.order.URL, Client: client, Runner: fmt.Sprint("runner-", number),
		Token: func(context.Context) (bundle.Value, error) { return bundle.NewValue(token), nil },
	}
	var c *satchel.Client
	saw := func() {
		if s, ok := c.Bundle().Get(loadSecret); ok {
			r.print("saw", number, s.Value.Reveal(), time.Now().UnixNano())
		}
	}
	c, err := satchel.New(ctx, []bundle.Provider{platform}, &satchel.Options{
		Logger: slog.New(slog.DiscardHandler), Require: []string{loadSecret},
		Observer: satchel.Observer{Changed: func(bundle.Diff) { saw() }},
	})
	if err != nil {
		return err
	}
	saw()
	started()
	return c.Run(ctx)
}

// print writes a line to the test.
func (r *runners) print(words ...any) {
	line := fmt.Sprintln(words...)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = os.Stdout.WriteString(line) // if the test is gone, the input ends too
}

// report prints and resets the counts of responses.
func (r *runners) report() {
	r.mu.Lock()
	counts := maps.Clone(r.counts)
	clear(r.counts)
	r.mu.Unlock()
	text, err := json.Marshal(counts)
	if err != nil {
		panic(err) // numbers always encode
	}
	r.print("counts", string(text))
}

// counted counts responses, and sends requests over a shared connection, which
// providers.Platform does not do by default.
type counted struct {
	next http.RoundTripper
	r    *runners
}

func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	shared := *req
	shared.Close = false
	response, err := c.next.RoundTrip(&shared)
	var what string
	switch {
	case err == nil:
		what = fmt.Sprint(response.StatusCode)
	case req.Context().Err() != nil:
		what = "canceled"
	default:
		what = "no response"
	}
	if strings.HasPrefix(req.Header.Get("Prefer"), "wait") {
		what += " waiting"
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.counts[what]++
	return response, err
}
