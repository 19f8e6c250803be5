package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
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

// baseURL reads the base URL of a platform. Its errors quote of it at most the
// host.
func baseURL(base string) (*url.URL, error) {
	fail := func(what, fix string) (*url.URL, error) {
		return nil, fmt.Errorf("URL of the platform: %s; %s", what, fix)
	}
	const example = "write it like https://satchel.example.com/api"
	u, err := url.Parse(base)
	switch {
	case base == "":
		return fail("it is empty", example)
	case err != nil:
		return fail("it cannot be read as a URL", example)
	case strings.Contains(base, wire.TokenPrefix) || strings.Contains(u.Path, wire.TokenPrefix):
		return fail("it holds a runner token, or a part of one", "remove it there and, since URLs get logged, replace the token")
	case u.User != nil:
		return fail("it has a user or a password", "remove all from // to @, and let Authorize send them")
	case u.RawQuery != "" || u.ForceQuery:
		return fail("it has a query", "remove all from the ? on")
	case strings.Contains(base, "#"):
		return fail("it has a fragment", "remove all from the # on")
	case u.Scheme != "https" && u.Scheme != "http":
		return fail("it does not start with https://", example)
	case u.Hostname() == "" || u.Opaque != "":
		return fail("it has no host", example)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fail("http would send credentials and values to "+u.Host+" in the clear", "use https; http is for localhost only")
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

// clientFor returns the client to send with, given the caller's, which may be
// nil.
func clientFor(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	} else {
		client.Transport = ownTransport()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 0 // the context has it
	return &client
}

var ownTransport = sync.OnceValue(func() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
})

// explain says in words of its own what a failed request means and what to do:
// the text of the cause may quote what the server sent, or a proxy's URL with
// its password.
func explain(cause error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		return "the server's certificate is from an authority that this system does not trust; add the authority's certificate to the system's, or to the RootCAs of HTTPClient"
	}
	if _, ok := errors.AsType[x509.HostnameError](cause); ok {
		return "the server's certificate is for another host; check the URL of the platform"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](cause); ok {
		return "the server's certificate cannot be trusted; check it, and the clock of this machine"
	}
	op, isOp := errors.AsType[*net.OpError](cause)
	errno, isErrno := errors.AsType[syscall.Errno](cause)
	_, isDNS := errors.AsType[*net.DNSError](cause)
	_, isRecord := errors.AsType[tls.RecordHeaderError](cause)
	network, isNetwork := errors.AsType[net.Error](cause)
	const checkNetwork = "; check the URL, the network, and HTTPS_PROXY and NO_PROXY if there is a proxy"
	switch {
	case errors.Is(cause, http.ErrSchemeMismatch), isRecord:
		return "the server does not speak TLS there; check the scheme and the port of the URL"
	case isDNS:
		return "the host's name cannot be resolved" + checkNetwork
	case isOp && op.Op == "proxyconnect":
		return "the proxy cannot be reached; check HTTPS_PROXY and NO_PROXY"
	case isErrno:
		return errno.Error() + checkNetwork
	case errors.Is(cause, context.DeadlineExceeded), isNetwork && network.Timeout():
		return "no answer in time" + checkNetwork + "; or raise Timeout"
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer" + checkNetwork
	}
	return "no proper HTTP answer came" + checkNetwork
}
