package providers

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

// peer is who a provider asks, in the words of its errors.
type peer struct {
	name    string // such as "the platform"
	answer  string // what it gives, such as "a platform's answer"
	sends   string // what it is shown, such as "the token"
	example string // a base URL
}

// outgoing returns what there is to say of a peer in every package.
func (p peer) outgoing() outgoing.Peer {
	return outgoing.Peer{Name: p.name, Sends: p.sends, Example: p.example, Client: "Client"}
}

// baseURL reads the base URL of a peer.
func (p peer) baseURL(base string) (*url.URL, error) {
	u, what, fix := p.outgoing().BaseURL(base)
	if u == nil {
		return nil, permanent(&mendable{err: fmt.Errorf("URL of %s: %s", p.name, what), fix: fix})
	}
	return u, nil
}

// origin returns the scheme and the host of u.
func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

// limit returns how long a request may take, given what the caller set.
func limit(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return defaultTimeout
	}
	return timeout
}

// call is a request to a peer.
type call struct {
	to     peer
	method string
	url    *url.URL // shown in errors: without user, query and fragment
	header http.Header
	body   string
}

// send makes the call and follows redirects that stay on its origin and keep
// its method. The caller closes the body. A response besides an error is
// closed.
func (c *call) send(ctx context.Context, given *http.Client) (*http.Response, error) {
	client := outgoing.Client(given)
	at := c.url
	for redirects := 0; ; redirects++ {
		response, err := client.Do(c.request(ctx, at))
		if err != nil {
			return nil, c.unanswered(err)
		}
		keepsMethod := c.method == http.MethodGet
		switch response.StatusCode {
		case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			keepsMethod = true
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		default:
			return response, nil
		}
		_ = response.Body.Close()

		bad := c.statusError(response)
		target, err := response.Location()
		switch {
		case err != nil:
			return response, bad.because(reasonNoTarget, "check the URL of "+c.to.name)
		case target.User != nil || !sameOrigin(c.url, target):
			return response, bad.because(reasonOtherOrigin, fmt.Sprintf("%s is not sent to another origin: if %s has moved, set its new URL", c.to.sends, c.to.name))
		case !keepsMethod:
			return response, bad.because(reasonOtherMethod, "check the URL of "+c.to.name)
		case redirects == maxRedirects:
			return response, bad.because(reasonManyRedirects, "check the URL of "+c.to.name)
		}
		at = target
	}
}

func (c *call) request(ctx context.Context, at *url.URL) *http.Request {
	request := &http.Request{
		Method: c.method, URL: at, Host: at.Host, Header: c.header.Clone(),
		// Package net/http would log what arrives behind an answer on a
		// connection that it keeps, and that may be secrets.
		Close: true,
	}
	if c.body != "" {
		request.ContentLength = int64(len(c.body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request.WithContext(ctx)
}

// readJSON returns the body of a response, which has to be JSON and to have at
// most limit bytes. what names it, such as "a bundle".
func (c *call) readJSON(response *http.Response, limit int, what string) ([]byte, error) {
	bad := c.statusError(response)
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, bad.because(reasonNotJSON, fmt.Sprintf("this is not %s: check the URL, and what stands between this machine and %s", c.to.answer, c.to.name))
	}
	// The body comes decompressed, so this bounds what that yields.
	data, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	switch {
	case len(data) > limit:
		return nil, bad.because(reasonTooLarge, fmt.Sprintf("%s has at most %d bytes: check the URL", what, limit))
	case err != nil && response.Request.Context().Err() != nil:
		return nil, bad.because(reasonTooSlow, "check the network, or raise Timeout")
	case err != nil:
		return nil, bad.because(reasonCut, "check the network, and the proxy if there is one")
	}
	return data, nil
}

// readRefusal fills into with the JSON of an answer that is not the one that
// was wanted, and reports whether it is such.
func readRefusal(response *http.Response, into any) bool {
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
func (c *call) unanswered(cause error) error {
	m := &mendable{}
	what := ""
	what, m.fix, m.tls = c.to.outgoing().Explain(cause)
	m.err = fmt.Errorf("%s %s: %s", c.method, c.url, what)
	return unavailable(m)
}
