package outgoing

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var peer = Peer{Name: "the platform", Sends: "the token", Example: "https://satchel.example.com", URL: "providers.Platform.URL", Client: "providers.Platform.Client", Timeout: "providers.Platform.Timeout"}

func TestPeer_BaseURL(t *testing.T) {
	for base, says := range map[string]string{
		"":                                      "it is empty; write it like https://satchel.example.com",
		"https://satchel.example.com:x":         "it is not a valid URL; write it like",
		"satchel.example.com":                   "it does not start with https://",
		"https://":                              "it has no host",
		"https:opaque":                          "it has no host",
		"https://u:c4n4ry@host":                 "it has a user or a password; remove everything from // to @",
		"https://host?c4n4ry":                   "it has a query",
		"https://host?":                         "it has a query",
		"https://host/#c4n4ry":                  "it has a fragment",
		"https://host/rnt_c4n4ry":               "it contains a runner token or a part of one",
		"https://host/sat_c4n4ryc4n4ryc4n4ryc4": "it contains a runner token or a part of one",
		"https://host/%72nt_c4n4ry":             "it contains a runner token or a part of one",
		"http://satchel.example.com":            "http would send the token to satchel.example.com in the clear; use https",
	} {
		u, fault := peer.BaseURL(base)
		require.Nil(t, u, base)
		require.ErrorContains(t, fault, says)
		require.NotContains(t, fault.Error(), "c4n4ry", "possible secrets are not quoted")
		require.Equal(t, "providers.Platform.URL", fault.Setting)
	}
	for _, base := range []string{"https://satchel.example.com/api", "http://localhost:1", "http://LOCALHOST", "http://127.9.9.9", "http://[::1]:8443"} {
		u, fault := peer.BaseURL(base)
		require.Nil(t, fault, base)
		require.NotNil(t, u, base)
	}
	u, _ := peer.BaseURL("https://satchel.example.com")
	require.Equal(t, "https://satchel.example.com/v1", u.JoinPath("v1").String())
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false, "": false,
	} {
		require.Equal(t, want, Loopback(host), host)
	}
}

func TestClient(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("https://elsewhere.example.com", http.StatusFound))
	defer server.Close()
	given := server.Client()
	given.Timeout = 1 // would fail every request
	response, err := Client(given).Get(server.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusFound, response.StatusCode)
	require.Nil(t, given.CheckRedirect)
	require.EqualValues(t, 1, given.Timeout)
}

func TestPeer_Explain(t *testing.T) {
	t.Run("quotes nothing of the cause", func(t *testing.T) {
		unknown := &net.DNSError{Err: "no such host", Name: "c4n4ry.example.com", IsNotFound: true}
		for says, cause := range map[string]error{
			"the host's name cannot be resolved; check the URL":                                                                   &net.OpError{Op: "dial", Err: unknown},
			"the proxy cannot be reached; check HTTPS_PROXY":                                                                      &net.OpError{Op: "proxyconnect", Err: unknown},
			"no response in time; check the URL, the network, and HTTPS_PROXY and NO_PROXY if there is a proxy, or raise Timeout": context.DeadlineExceeded,
			"invalid HTTP response; check the URL":                                                                                errors.New("malformed HTTP response c4n4ry"),
			"the server speaks plain HTTP on this port; check the schem":                                                          http.ErrSchemeMismatch,
		} {
			text := peer.Explain(&url.Error{Op: "Get", URL: "https://c4n4ry.example.com", Err: cause}).Error()
			require.True(t, strings.HasPrefix(text, says), text)
			require.NotContains(t, text, "c4n4ry")
		}
	})

	t.Run("names the setting", func(t *testing.T) {
		for name, row := range map[string]struct {
			cause     error
			setting   string
			untrusted bool
		}{
			"an authority":  {x509.UnknownAuthorityError{}, "providers.Platform.Client.RootCAs", true},
			"another host":  {x509.HostnameError{Certificate: &x509.Certificate{}}, "providers.Platform.URL", true},
			"an old one":    {x509.CertificateInvalidError{Reason: x509.Expired}, "", true},
			"plain HTTP":    {http.ErrSchemeMismatch, "providers.Platform.URL", true},
			"no time":       {context.DeadlineExceeded, "providers.Platform.Timeout", false},
			"another error": {errors.New("c4n4ry"), "providers.Platform.URL", false},
		} {
			fault := peer.Explain(&url.Error{Op: "Get", URL: "https://c4n4ry.example.com", Err: row.cause})
			require.Equal(t, row.setting, fault.Setting, name)
			require.Equal(t, row.untrusted, errors.Is(fault, ErrUntrusted), name)
			require.NotEmpty(t, fault.Fix, name)
			without := fault.Text(func(string) string { return "" })
			require.NotContains(t, without, "RootCAs", "a program without the setting does not name it")
			require.NotContains(t, without, "Timeout", "a program without the setting does not name it")
		}
	})
}
