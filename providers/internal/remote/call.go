// Package remote has what the providers that speak HTTP share: a call and its
// answer, the errors of both with their advice, the items of a check, and the
// bundle of a token that was minted.
package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/outgoing"
	"github.com/satchelhq/satchel/internal/wire"
)

const (
	maxRedirects = 3
	// maxRefusal bounds what is read of an answer that is not the one that was
	// wanted, in bytes.
	maxRefusal     = wire.MaxRefusal
	defaultTimeout = 30 * time.Second
)

// Peer is who a provider asks, in the words of its errors.
type Peer struct {
	Name    string // such as "the platform"
	Answer  string // what it gives, such as "a platform's answer"
	Sends   string // what it is shown, such as "the token"
	Example string // a base URL
	// Type is that of the provider, such as "providers.Platform". It has the
	// fields URL, Client and Timeout.
	Type string
}

// outgoing returns what there is to say of a peer in every package.
func (p Peer) outgoing() outgoing.Peer {
	return outgoing.Peer{Name: p.Name, Sends: p.Sends, Example: p.Example, URL: p.Type + ".URL", Client: p.Type + ".Client", Timeout: p.Type + ".Timeout"}
}

// BaseURL reads the base URL of a peer.
func (p Peer) BaseURL(base string) (*url.URL, error) {
	u, fault := p.outgoing().BaseURL(base)
	if fault != nil {
		fault.Problem = "URL of " + p.Name + ": " + fault.Problem
		return nil, Permanent(fault)
	}
	return u, nil
}

// Origin returns the scheme and the host of u.
func Origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// Limit returns how long a request may take, given what the caller set.
func Limit(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return defaultTimeout
	}
	return timeout
}

// Call is a request to a peer.
type Call struct {
	To     Peer
	Method string
	URL    *url.URL // shown in errors: without user, query and fragment
	Header http.Header
	Body   string
}

// Reply is what came of a call. Without an answer, Response is nil; its body is
// closed.
type Reply struct {
	Bundle   *bundle.Bundle
	Response *http.Response
	At       time.Time // when the response came
}

// Send makes the call and follows redirects that stay on its origin and keep
// its method. The caller closes the body. A response besides an error is
// closed.
func (c *Call) Send(ctx context.Context, given *http.Client) (*http.Response, error) {
	client := outgoing.Client(given)
	at := c.URL
	for redirects := 0; ; redirects++ {
		response, err := client.Do(c.request(ctx, at))
		if err != nil {
			return nil, c.unanswered(err)
		}
		keepsMethod := c.Method == http.MethodGet
		switch response.StatusCode {
		case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			keepsMethod = true
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		default:
			return response, nil
		}
		_ = response.Body.Close()

		bad := func(reason, fix string) (*http.Response, error) { return response, c.Unusable(response, reason, fix) }
		target, err := response.Location()
		switch {
		case err != nil:
			return bad(reasonNoTarget, "check the URL of "+c.To.Name)
		case target.User != nil || !sameOrigin(c.URL, target):
			return bad(reasonOtherOrigin, fmt.Sprintf("%s is not sent to another origin: if %s has moved, set its new URL", c.To.Sends, c.To.Name))
		case !keepsMethod:
			return bad(reasonOtherMethod, "check the URL of "+c.To.Name)
		case redirects == maxRedirects:
			return bad(reasonManyRedirects, "check the URL of "+c.To.Name)
		}
		at = target
	}
}

func (c *Call) request(ctx context.Context, at *url.URL) *http.Request {
	request := &http.Request{
		Method: c.Method, URL: at, Host: at.Host, Header: c.Header.Clone(),
		// Package net/http would log what arrives behind an answer on a
		// connection that it keeps, and that may be secrets.
		Close: true,
	}
	if c.Body != "" {
		request.ContentLength = int64(len(c.Body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.Body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request.WithContext(ctx)
}

// ReadJSON returns the body of a response, which has to be JSON and to have at
// most limit bytes. what names it, such as "a bundle".
func (c *Call) ReadJSON(response *http.Response, limit int, what string) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, c.Unusable(response, reasonNotJSON, fmt.Sprintf("the response is not %s: check the URL and any proxy between this machine and %s", c.To.Answer, c.To.Name))
	}
	// The body comes decompressed, so this bounds what that yields.
	data, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	switch {
	case len(data) > limit:
		return nil, c.Unusable(response, reasonTooLarge, fmt.Sprintf("%s has at most %d bytes: check the URL", what, limit))
	case err != nil && response.Request.Context().Err() != nil:
		timeout := c.To.Type + ".Timeout"
		return nil, c.unusable(response, reasonTooSlow, &bundle.Fault{Fix: "check the network", Or: "raise {" + timeout + "}", Setting: timeout})
	case err != nil:
		return nil, c.Unusable(response, reasonCut, "check the network and any proxy")
	}
	return data, nil
}

// ReadRefusal fills into with the JSON of an answer that is not the one that
// was wanted, and reports whether it is such.
func ReadRefusal(response *http.Response, into any) bool {
	data, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal+1))
	return err == nil && len(data) <= maxRefusal && json.Unmarshal(data, into) == nil
}

// sameOrigin compares scheme, host and port (RFC 6454).
func sameOrigin(x, y *url.URL) bool {
	return x.Scheme == y.Scheme && strings.EqualFold(x.Hostname(), y.Hostname()) && port(x) == port(y)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// unanswered returns the error for a call without an answer. Of the cause it has
// what outgoing says of it, and no more.
func (c *Call) unanswered(cause error) error {
	fault := c.To.outgoing().Explain(cause)
	fault.Problem = fmt.Sprintf("%s %s: %s", c.Method, c.URL, fault.Problem)
	return Unavailable(fault)
}
