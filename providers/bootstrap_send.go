package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/bundle"
)

const maxRedirects = 3

// client returns the client to send with. It does not follow redirects; send
// does.
func (b *Bootstrap) client() *http.Client {
	client := http.Client{}
	if b.Client != nil {
		client = *b.Client
	} else {
		b.makeTransport.Do(func() { b.transport = newTransport() })
		client.Transport = b.transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 0 // the context has it, and knows about waiting
	return &client
}

// newTransport has no limit on the time until the header of an answer: the
// platform may hold it back.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// send makes a GET of endpoint and follows redirects that stay on its origin.
// The caller closes the body. A response besides an error is closed.
func (b *Bootstrap) send(ctx context.Context, endpoint *url.URL, header http.Header) (*http.Response, error) {
	client := b.client()
	at := endpoint
	for redirects := 0; ; redirects++ {
		request := (&http.Request{
			Method: http.MethodGet, URL: at, Host: at.Host, Header: header.Clone(),
			// Package net/http would log what arrives behind an answer on a
			// connection that it keeps, and that may be secrets.
			Close: true,
		}).WithContext(ctx)
		response, err := client.Do(request)
		if err != nil {
			return nil, unanswered(endpoint, err)
		}
		switch response.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return response, nil
		}
		_ = response.Body.Close()

		bad := newStatusError(endpoint, response)
		target, err := response.Location()
		switch {
		case err != nil:
			return response, bad.because(reasonNoTarget, "check the URL of the platform")
		case target.User != nil || !sameOrigin(endpoint, target):
			return response, bad.because(reasonOtherOrigin, "the token is not sent to another origin: if the platform has moved, set its new URL")
		case redirects == maxRedirects:
			return response, bad.because(reasonManyRedirects, "check the URL of the platform")
		}
		at = target
	}
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

// unanswered returns the error for a request without an answer. It says in
// words of its own what the cause means: the text of the cause may quote what
// the server sent, or a proxy's URL with its password.
func unanswered(endpoint *url.URL, cause error) error {
	m := &mendable{}
	what := ""
	what, m.fix, m.tls = explain(cause)
	m.err = fmt.Errorf("%s %s: %s", http.MethodGet, endpoint, what)
	return &bundle.FetchError{Kind: bundle.FetchUnavailable, Err: m}
}

// explain says what a failed request means and what to do. untrusted is for a
// server that was reached and whose TLS was not accepted.
func explain(cause error) (what, fix string, untrusted bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		return "the server's certificate is from an authority that this system does not trust",
			"add the authority's certificate to the system's, or to the RootCAs of Client", true
	}
	if _, ok := errors.AsType[x509.HostnameError](cause); ok {
		return "the server's certificate is for another host", "check the URL of the platform", true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](cause); ok && invalid.Reason == x509.Expired {
		return "the server's certificate has expired or does not count yet",
			"check the clock of this machine; if it is right, renew the platform's certificate", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return "the server's certificate cannot be trusted", "check the platform's certificate and this system's authorities", true
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
		return op.Err.Error(), "check which versions of TLS the platform speaks; 1.2 is the oldest that is used", true
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
