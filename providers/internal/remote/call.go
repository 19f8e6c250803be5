// Package remote is shared by the providers that use HTTP: requests and
// responses, their errors with advice, check items, and bundles of minted tokens.
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
	// maxRefusal bounds the body of an unexpected response, in bytes.
	maxRefusal     = wire.MaxRefusal
	defaultTimeout = 30 * time.Second
)

// Peer describes the server of a provider in the words of its errors.
type Peer struct {
	Name    string // such as "the platform"
	Answer  string // whose responses are expected, such as "a platform's"
	Sends   string // the credentials that it receives, such as "the token"
	Example string // an example of a base URL
	// Type is the provider's type, such as "providers.Platform". It must have
	// the fields URL, Client and Timeout.
	Type string
}

// outgoing returns p for package outgoing.
func (p Peer) outgoing() outgoing.Peer {
	return outgoing.Peer{Name: p.Name, Sends: p.Sends, Example: p.Example, URL: p.Type + ".URL", Client: p.Type + ".Client", Timeout: p.Type + ".Timeout"}
}

// BaseURL parses and validates the base URL of a peer. Its error is a permanent
// [*bundle.FetchError].
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

// Limit returns timeout, or 30 seconds if it is not positive.
func Limit(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return defaultTimeout
	}
	return timeout
}

// Call is a request to a peer. It can be sent again.
type Call struct {
	To     Peer        // for the words of errors
	Method string      // such as http.MethodGet
	URL    *url.URL    // appears in errors; must have no user, query or fragment
	Header http.Header // not modified
	Body   string      // may be empty
}

// Reply is the outcome of a call.
type Reply struct {
	Bundle   *bundle.Bundle // nil if the call failed
	Response *http.Response // nil without a response; its body is closed
	At       time.Time      // when the response arrived
}

// Send sends the request with given, which may be nil, and follows at most three
// redirects that keep origin and method. The caller must close the body. A
// response that is returned with an error is already closed. Errors are a
// [*bundle.FetchError] of the kind unavailable, for a rejected redirect with a
// [*StatusError].
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
		// Package net/http logs unsolicited data on idle connections, which may
		// contain secrets.
		Close: true,
	}
	if c.Body != "" {
		request.ContentLength = int64(len(c.Body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.Body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request.WithContext(ctx)
}

// ReadJSON returns the body of a JSON response of at most limit bytes. Errors name
// its content with what, such as "a bundle". They are a [*bundle.FetchError] of
// the kind unavailable with a [*StatusError].
func (c *Call) ReadJSON(response *http.Response, limit int, what string) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, c.Unusable(response, reasonNotJSON, fmt.Sprintf("the response is not %s: check the URL and any proxy between this machine and %s", c.To.Answer, c.To.Name))
	}
	// The body is decompressed, so this limits the decompressed size.
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

// ReadRefusal decodes the JSON body of an unexpected response into into, and
// reports whether that succeeded.
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

// unanswered returns the error for a call without a response. It contains only
// the explanation of package outgoing, not the cause.
func (c *Call) unanswered(cause error) error {
	fault := c.To.outgoing().Explain(cause)
	fault.Problem = fmt.Sprintf("%s %s: %s", c.Method, c.URL, fault.Problem)
	return Unavailable(fault)
}
