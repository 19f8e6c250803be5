package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/outgoing"
	"github.com/satchelhq/satchel/internal/wire"
)

// Client asks a platform's admin API.
//
// No redirect is followed, so that neither credentials nor values reach
// anybody else. Each request has a connection of its own, and is sent once: a
// caller who gets no answer to a write finds out with [Client.Info] whether it
// took place.
//
// Errors hold no value, token, credential, query or part of a body but what a
// platform's own refusal says; see [Error]. A client never logs, is safe for
// concurrent use and leaves nothing running between calls. Its fields must not
// change after the first use.
type Client struct {
	// URL is the base URL of the admin API, which ends before /v1. It is where
	// the platform serves vaulthttp.Admin, not the URL that runners have:
	// with satchel-platform it is that and /admin. It has to be https, unless
	// the host is this machine (localhost, 127.0.0.0/8 or ::1), and cannot
	// have a user, a query or a fragment. Required.
	URL string
	// Authorize sets the headers that say who asks, such as Authorization. It
	// is called at each request, possibly by several goroutines at once, and
	// changes nothing but headers; the request has no body yet. Its error is
	// passed on, and must not hold the credentials. Required.
	Authorize func(*http.Request) error
	// HTTPClient sends the requests. Its Timeout and CheckRedirect are not
	// used. Default: one of its own, without cookies, with the system's
	// certificate authorities and the proxy of the environment.
	HTTPClient *http.Client
	// Timeout bounds a request until the end of its answer.
	// Default: 30 seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 30 * time.Second
	// maxAnswer is the size of the largest answer that is read, in bytes. The
	// lists of a scope may be long.
	maxAnswer = 16 << 20
)

// platform is who is asked.
var platform = outgoing.Peer{Name: "the platform", Sends: "credentials and values", Example: "https://satchel.example.com/admin", URL: "admin.Client.URL", Client: "admin.Client.HTTPClient", Timeout: "admin.Client.Timeout"}

// request is what is asked of the platform.
type request struct {
	// doing begins the error, such as "putting secret A".
	doing  string
	method string
	path   string // below the base URL
	query  url.Values
	header http.Header
	body   any // encoded as JSON, or nil for none
	// secret is what no error may show though the platform has it: the value
	// that is sent.
	secret string
	// sound reports whether the answer, decoded, is about what was asked.
	sound func() bool
}

// do asks r and decodes the answer into answer, a pointer, for r.sound to look
// at. nil is for an answer without a body.
func (c *Client) do(ctx context.Context, r request, answer any) error {
	if err := c.exchange(ctx, &r, answer); err != nil {
		return fmt.Errorf("%s: %w", r.doing, err)
	}
	return nil
}

func (c *Client) exchange(ctx context.Context, r *request, answer any) error {
	base, fault := platform.BaseURL(c.URL)
	if fault != nil {
		return fmt.Errorf("URL of the platform: %w", fault)
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	at := base.JoinPath(r.path)
	shown := at.String() // without the query
	at.RawQuery = r.query.Encode()

	sent, err := c.request(bounded, r, at)
	if err != nil {
		return err
	}
	response, err := outgoing.Client(c.HTTPClient).Do(sent)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s %s: %w", r.method, shown, ctx.Err())
		}
		return fmt.Errorf("%s %s: %w", r.method, shown, platform.Explain(err))
	}
	defer response.Body.Close()
	failed := &Error{Method: r.method, URL: shown, StatusCode: response.StatusCode}
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated:
		if answer == nil {
			return failed.unusable("the response is not empty")
		}
	case http.StatusNoContent:
		if answer == nil {
			return nil
		}
	default:
		failed.read(response, append(credentials(sent), r.secret))
		return failed
	}
	if fault := decode(response, answer); fault != "" {
		if ctx.Err() != nil {
			return fmt.Errorf("%s %s: %w", r.method, shown, ctx.Err())
		}
		return failed.unusable(fault)
	}
	if !r.sound() {
		return failed.unusable("the response does not match the request")
	}
	return nil
}

// request returns what to send.
func (c *Client) request(ctx context.Context, r *request, at *url.URL) (*http.Request, error) {
	if c.Authorize == nil {
		return nil, &bundle.Fault{Problem: "the {admin.Client.Authorize} function of the client is not set", Setting: "admin.Client.Authorize", Fix: "set one that adds the Authorization header"}
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, at.String(), nil)
	if err != nil {
		return nil, &bundle.Fault{Problem: "invalid request", Setting: "admin.Client.URL", Fix: "check the URL of the platform"}
	}
	if err := c.Authorize(sent); err != nil {
		return nil, fmt.Errorf("authorizing the request: %w", err)
	}
	if sent.URL.String() != at.String() || sent.Method != r.method || sent.Body != nil {
		return nil, &bundle.Fault{Problem: "authorizing the request: the {admin.Client.Authorize} function changed more than headers", Setting: "admin.Client.Authorize", Fix: "change it to set headers only"}
	}
	// Package net/http would log what arrives behind an answer on a connection
	// that it keeps, and that may be a token.
	sent.Close = true
	for name, values := range r.header {
		sent.Header[name] = values
	}
	sent.Header.Set("Accept", "application/json, "+wire.ProblemType)
	if r.method == http.MethodGet {
		return sent, nil
	}
	sent.Header.Set(wire.AdminHeader, "1")
	if r.body == nil && r.method == http.MethodDelete {
		return sent, nil
	}
	data := []byte("{}")
	if r.body != nil {
		if data, err = json.Marshal(r.body); err != nil {
			return nil, errors.New("cannot encode the request as JSON; check its times")
		}
	}
	sent.Header.Set("Content-Type", "application/json")
	sent.ContentLength = int64(len(data))
	sent.Body = io.NopCloser(bytes.NewReader(data))
	return sent, nil
}

// credentials returns what Authorize may have set.
func credentials(r *http.Request) []string {
	var out []string
	for name, values := range r.Header {
		switch name {
		case "Accept", "Content-Type", wire.AdminHeader, "If-Match", "If-None-Match":
		default:
			out = append(out, values...)
		}
	}
	return out
}

// decode fills answer from a response. It returns what is wrong with that,
// without a word of it.
func decode(response *http.Response, answer any) (fault string) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return "the response is not JSON"
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	defer clear(data)
	switch {
	case len(data) > maxAnswer:
		return fmt.Sprintf("the response has more than %d bytes", maxAnswer)
	case err != nil:
		return "the response was cut off"
	case !utf8.Valid(data) || json.Unmarshal(data, answer) != nil:
		return "the response has unexpected JSON"
	}
	plain(answer)
	return ""
}
