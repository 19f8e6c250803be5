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

// Client sends requests to a platform's admin API.
//
// Redirects are not followed, so credentials and values reach no other server. Each
// request is sent once, on its own connection. If a write gets no response, use
// [Client.Info] to find out whether it took effect.
//
// Methods return an [*Error] for an unexpected response, a [*bundle.Fault] for an
// invalid field of the client or an unreachable platform, and the context's error
// if the context ended, each wrapped with the operation. Invalid arguments are
// rejected without a request. Errors contain no value, token, credential, query or
// part of a body, except the words of a platform's problem document; see [Error].
//
// A client never logs, is safe for concurrent use and leaves nothing running
// between calls. Its fields must not change after the first use.
type Client struct {
	// URL is the base URL of the admin API, without /v1. The platform serves
	// vaulthttp.Admin there; with satchel-platform it is the runners' URL plus
	// /admin. It must be https unless the host is loopback (localhost,
	// 127.0.0.0/8 or ::1), and must not have a user, query or fragment.
	// Required.
	URL string
	// Authorize sets the headers that authenticate the caller, such as
	// Authorization. It is called for each request, possibly concurrently, and
	// must change headers only; the request has no body yet. Its error is
	// wrapped and must not contain the credentials. Required.
	Authorize func(*http.Request) error
	// HTTPClient sends the requests. Its Timeout and CheckRedirect are ignored.
	// Default: a client without cookies, with the system's certificate
	// authorities and the environment's proxy.
	HTTPClient *http.Client
	// Timeout bounds a request until the end of its response. Default: 30
	// seconds.
	Timeout time.Duration
}

const (
	defaultTimeout = 30 * time.Second
	// maxAnswer is the maximum size of a response, in bytes. The lists of a
	// scope may be long.
	maxAnswer = 16 << 20
)

// platform describes the server in errors.
var platform = outgoing.Peer{Name: "the platform", Sends: "credentials and values", Example: "https://satchel.example.com/admin", URL: "admin.Client.URL", Client: "admin.Client.HTTPClient", Timeout: "admin.Client.Timeout"}

// request is a request to the platform.
type request struct {
	// doing starts errors, such as "putting secret A".
	doing  string
	method string
	path   string // below the base URL
	query  url.Values
	header http.Header
	body   any // encoded as JSON, or nil for none
	// secret is the value that is sent, which no error may show.
	secret string
	// sound reports whether the decoded response matches the request.
	sound func() bool
}

// do sends r and decodes the response into answer, a pointer that r.sound then
// checks. A nil answer expects a response without a body.
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

// request returns the HTTP request of r.
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
	// Package net/http logs unsolicited data on idle connections, which may
	// contain a token.
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

// credentials returns the values of headers that Authorize may have set.
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

// decode fills answer from a response. fault describes an invalid response without
// quoting it.
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
