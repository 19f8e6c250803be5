package vaulthttp_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault/vaulthttp"
)

func TestTrustedProxies(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::ffff:203.0.113.0/120")}
	believed, none := vaulthttp.TrustedProxies(prefixes...), vaulthttp.TrustedProxies()
	prefixes[0] = netip.MustParsePrefix("192.0.2.0/24") // the function keeps a copy
	for _, test := range []struct {
		from      string
		forwarded []string
		want      string
	}{
		{"192.0.2.7:1234", nil, "192.0.2.7"},
		{"192.0.2.7:1234", []string{"198.51.100.1"}, "192.0.2.7"},
		{"10.1.1.1:1234", nil, "10.1.1.1"},
		{"10.1.1.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[::1]:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[::ffff:10.1.1.1]:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.1.1.1:1234", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"10.1.1.1:1234", []string{"203.0.113.9", "198.51.100.1, 10.2.2.2"}, "198.51.100.1"},
		{"10.1.1.1:1234", []string{"198.51.100.1, "}, "10.1.1.1"},
		{"10.1.1.1:1234", []string{"10.3.3.3,10.2.2.2"}, "10.3.3.3"},
		{"10.1.1.1:1234", []string{"198.51.100.1, unknown"}, "unknown"},
		{"10.1.1.1:1234", []string{"198.51.100.1, 10.2.2.2:80"}, "10.2.2.2:80"},
		{"10.1.1.1:1234", []string{"198.51.100.1, ::ffff:10.2.2.2"}, "198.51.100.1"},
		{"10.1.1.1:1234", []string{"198.51.100.1, 10.2.2.2", "10.1.1.1"}, "198.51.100.1"},
		{"10.1.1.1:1234", []string{"198.51.100.1,,10.2.2.2"}, "10.2.2.2"},
		{"203.0.113.1:1234", []string{"198.51.100.1"}, "203.0.113.1"},
		{"[fe80::1]:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[fe80::1%eth0]:1234", []string{"198.51.100.1"}, "fe80::1%eth0"},
		{"@", []string{"198.51.100.1"}, ""},
	} {
		r := &http.Request{RemoteAddr: test.from, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		about := test.from + " " + strings.Join(test.forwarded, " | ")
		require.Equal(t, test.want, believed(r), about)
		require.Equal(t, believed(&http.Request{RemoteAddr: test.from}), none(r), "without prefixes the header is ignored: %s", about)
	}
}
