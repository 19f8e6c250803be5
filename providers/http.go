package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

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

// baseURL reads the base URL of a peer. Its errors quote of it at most the
// host, and only where that is neither a token nor part of something else.
func (p peer) baseURL(base string) (*url.URL, error) {
	fail := func(what, fix string) (*url.URL, error) {
		return nil, permanent(&mendable{err: fmt.Errorf("URL of %s: %s", p.name, what), fix: fix})
	}
	example := "write it like " + p.example
	if base == "" {
		return fail("it is empty", example)
	}
	u, err := url.Parse(base)
	if err != nil {
		return fail("it cannot be read as a URL", example)
	}
	switch {
	case strings.Contains(base, wire.TokenPrefix) || strings.Contains(u.Path, wire.TokenPrefix):
		return fail("it holds a runner token, or a part of one", "remove it there and, since URLs get logged, replace the token")
	case u.User != nil:
		return fail("it has a user or a password", "remove all from // to @")
	case u.RawQuery != "" || u.ForceQuery:
		return fail("it has a query", "remove all from the ? on")
	case strings.Contains(base, "#"):
		return fail("it has a fragment", "remove all from the # on")
	case u.Scheme != "https" && u.Scheme != "http":
		return fail("it does not start with https://", example)
	case u.Hostname() == "" || u.Opaque != "":
		return fail("it has no host", example)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fail(fmt.Sprintf("http would send %s to %s in the clear", p.sends, u.Host), "use https; http is for localhost only")
	}
	if u.Path == "" {
		u.Path = "/" // JoinPath would make a relative path
	}
	return u, nil
}

// loopback reports whether host is this machine, whatever a name server says.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
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

// clientFor returns the client to send with, given the caller's, which may be
// nil. It does not follow redirects; send does.
func clientFor(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	} else {
		client.Transport = ownTransport()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 0 // the context has it, and knows about waiting
	return &client
}

// ownTransport has no limit on the time until the header of an answer: a
// platform may hold it back. All providers can share it, since no request
// leaves a connection behind.
var ownTransport = sync.OnceValue(func() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
})

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
	client := clientFor(given)
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

// unanswered returns the error for a call without an answer. It says in words
// of its own what the cause means: the text of the cause may quote what the
// server sent, or a proxy's URL with its password.
func (c *call) unanswered(cause error) error {
	m := &mendable{}
	what := ""
	what, m.fix, m.tls = c.to.explain(cause)
	m.err = fmt.Errorf("%s %s: %s", c.method, c.url, what)
	return unavailable(m)
}

// explain says what a failed request means and what to do. untrusted is for a
// server that was reached and whose TLS was not accepted.
func (p peer) explain(cause error) (what, fix string, untrusted bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		return "the server's certificate is from an authority that this system does not trust",
			"add the authority's certificate to the system's, or to the RootCAs of Client", true
	}
	if _, ok := errors.AsType[x509.HostnameError](cause); ok {
		return "the server's certificate is for another host", "check the URL of " + p.name, true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](cause); ok && invalid.Reason == x509.Expired {
		return "the server's certificate has expired or does not count yet",
			"check the clock of this machine; if it is right, have the certificate of " + p.name + " renewed", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return "the server's certificate cannot be trusted", "check the certificate of " + p.name + " and this system's authorities", true
	}
	op, isOp := errors.AsType[*net.OpError](cause)
	errno, isErrno := errors.AsType[syscall.Errno](cause)
	_, isDNS := errors.AsType[*net.DNSError](cause)
	_, isRecord := errors.AsType[tls.RecordHeaderError](cause)
	network, isNetwork := errors.AsType[net.Error](cause)
	const checkNetwork = "check the URL, the network, and HTTPS_PROXY and NO_PROXY if there is a proxy"
	switch {
	case errors.Is(cause, http.ErrSchemeMismatch):
		return "the server speaks plain HTTP there", "check the scheme and the port of the URL", true
	case isRecord:
		return "the server does not speak TLS there", "check the scheme and the port of the URL", true
	case isOp && (op.Op == "remote error" || op.Op == "local error"):
		// An alert's text is one of a fixed set (RFC 8446, section 6).
		return op.Err.Error(), "check which versions of TLS " + p.name + " speaks; 1.2 is the oldest that is used", true
	case isDNS:
		return "the host's name cannot be resolved", checkNetwork, false
	case isOp && op.Op == "proxyconnect":
		return "the proxy cannot be reached", "check HTTPS_PROXY and NO_PROXY", false
	case isErrno:
		return errno.Error(), checkNetwork, false
	case errors.Is(cause, context.DeadlineExceeded), isNetwork && network.Timeout():
		return "no answer in time", checkNetwork + "; or raise Timeout", false
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer", checkNetwork, false
	}
	return "no proper HTTP answer came", checkNetwork, false
}
