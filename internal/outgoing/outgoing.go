// Package outgoing is shared by clients whose requests carry secrets. It validates
// URLs, configures clients that follow no redirects, and explains errors.
package outgoing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
)

// Peer describes a server in the words of errors.
type Peer struct {
	Name    string // such as "the platform"
	Sends   string // the secrets that it receives, such as "the token"
	Example string // an example of a base URL
	// URL, Client and Timeout are the names of the caller's settings, for the
	// Setting of a [bundle.Fault].
	URL, Client, Timeout string
}

// BaseURL parses and validates a base URL: https, or http for loopback, without
// user, query, fragment or runner token. If it is invalid, u is nil and the fault
// quotes at most its host; otherwise fault is nil.
func (p Peer) BaseURL(base string) (u *url.URL, fault *bundle.Fault) {
	bad := func(problem, fix string) (*url.URL, *bundle.Fault) {
		return nil, &bundle.Fault{Problem: problem, Setting: p.URL, Fix: fix}
	}
	example := "write it like " + p.Example
	if base == "" {
		return bad("it is empty", example)
	}
	u, err := url.Parse(base)
	if err != nil {
		return bad("it is not a valid URL", example)
	}
	switch {
	case strings.Contains(base, wire.TokenPrefix) || strings.Contains(u.Path, wire.TokenPrefix) || wire.HoldsToken(base) || wire.HoldsToken(u.Path):
		return bad("it contains a runner token or a part of one", "remove it and replace the token, because URLs are logged")
	case u.User != nil:
		return bad("it has a user or a password", "remove everything from // to @")
	case u.RawQuery != "" || u.ForceQuery:
		return bad("it has a query", "remove the ? and everything after it")
	case strings.Contains(base, "#"):
		return bad("it has a fragment", "remove the # and everything after it")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("it does not start with https://", example)
	case u.Hostname() == "" || u.Opaque != "":
		return bad("it has no host", example)
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return bad("http would send "+p.Sends+" to "+u.Host+" in the clear", "use https; http is for this machine only")
	}
	if u.Path == "" {
		u.Path = "/" // otherwise JoinPath returns a relative path
	}
	return u, nil
}

// Loopback reports whether host is "localhost" or a loopback address. It does not
// resolve names.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Client returns a copy of given that follows no redirects and has no Timeout; use
// contexts. For nil it returns a client with the system's certificate authorities,
// TLS 1.2 or later and the environment's proxy.
func Client(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	} else {
		client.Transport = ownTransport()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 0
	return &client
}

// ownTransport has no timeout for response headers, which a platform may delay. All
// callers share it, because requests leave no idle connections.
var ownTransport = sync.OnceValue(func() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
})

// ErrUntrusted is wrapped by the fault of [Peer.Explain] if the server was reached
// but TLS failed.
var ErrUntrusted = errors.New("untrusted server")

// Explain describes the cause of a failed request in fixed words, with a fix. It does
// not use the text of cause, which may quote the server or a proxy's URL with its
// password.
func (p Peer) Explain(cause error) *bundle.Fault {
	if fault := p.explainTLS(cause); fault != nil {
		fault.Err = ErrUntrusted
		return fault
	}
	op, isOp := errors.AsType[*net.OpError](cause)
	errno, isErrno := errors.AsType[syscall.Errno](cause)
	_, isDNS := errors.AsType[*net.DNSError](cause)
	network, isNetwork := errors.AsType[net.Error](cause)
	const checkNetwork = "check the URL, the network, and HTTPS_PROXY and NO_PROXY if there is a proxy"
	unreached := func(problem string) *bundle.Fault {
		return &bundle.Fault{Problem: problem, Setting: p.URL, Fix: checkNetwork}
	}
	switch {
	case isOp && op.Op == "proxyconnect":
		return &bundle.Fault{Problem: "the proxy cannot be reached", Fix: "check HTTPS_PROXY and NO_PROXY"}
	case isDNS:
		return unreached("the host's name cannot be resolved")
	case isErrno:
		return unreached(errno.Error())
	case errors.Is(cause, context.DeadlineExceeded), isNetwork && network.Timeout():
		return &bundle.Fault{Problem: "no response in time", Setting: p.Timeout, Fix: checkNetwork, Or: "raise {" + p.Timeout + "}"}
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return unreached("the connection was closed without a response")
	}
	return unreached("invalid HTTP response")
}

// explainTLS is Explain for TLS failures. It returns nil for any other cause.
func (p Peer) explainTLS(cause error) *bundle.Fault {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		roots := p.Client + ".RootCAs"
		return &bundle.Fault{
			Problem: "the server's certificate is from an authority that this system does not trust", Setting: roots,
			Fix: "add the authority's certificate to the system's", Or: "to {" + roots + "}",
		}
	}
	if _, ok := errors.AsType[x509.HostnameError](cause); ok {
		return &bundle.Fault{Problem: "the server's certificate is for another host", Setting: p.URL, Fix: "check the URL of " + p.Name}
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](cause); ok && invalid.Reason == x509.Expired {
		return &bundle.Fault{
			Problem: "the server's certificate has expired or is not valid yet",
			Fix:     "check the clock of this machine; if it is right, renew the certificate of " + p.Name,
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return &bundle.Fault{Problem: "the server's certificate cannot be trusted", Fix: "check the certificate of " + p.Name + " and this system's authorities"}
	}
	const checkScheme = "check the scheme and the port of the URL"
	op, isOp := errors.AsType[*net.OpError](cause)
	_, isRecord := errors.AsType[tls.RecordHeaderError](cause)
	switch {
	case errors.Is(cause, http.ErrSchemeMismatch):
		return &bundle.Fault{Problem: "the server speaks plain HTTP on this port", Setting: p.URL, Fix: checkScheme}
	case isRecord:
		return &bundle.Fault{Problem: "the server does not speak TLS on this port", Setting: p.URL, Fix: checkScheme}
	case isOp && (op.Op == "remote error" || op.Op == "local error"):
		// An alert's text is one of a fixed set (RFC 8446, section 6).
		return &bundle.Fault{Problem: op.Err.Error(), Fix: "check which TLS versions " + p.Name + " supports; 1.2 is the minimum"}
	}
	return nil
}
