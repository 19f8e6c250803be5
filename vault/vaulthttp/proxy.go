package vaulthttp

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// TrustedProxies returns a function for Options.RemoteAddr and
// AdminOptions.RemoteAddr. It returns the address of the client behind proxies
// whose addresses are in prefixes, from the header X-Forwarded-For.
//
// The header is read from its end. The last entry comes from the peer of the
// connection and counts if the peer is trusted. The entry before it counts if the
// address in the last entry is trusted too, and so on. Entries before the first
// untrusted address may be forged by the client and are ignored. Without prefixes
// or without the header, the result is the address of the connection, without the
// port; it is empty for a Unix socket.
//
// Every trusted proxy must append the address of its client to the header, or
// overwrite the header. The result is text from the header and need not be an IP
// address. An IPv4 address matches only IPv4 prefixes, however it is written; an
// address with a port or with an IPv6 zone matches none. The function is safe for
// concurrent use.
func TrustedProxies(prefixes ...netip.Prefix) func(*http.Request) string {
	prefixes = slices.Clone(prefixes)
	trusted := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return err == nil && slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
	}
	return func(r *http.Request) string {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops) {
			hop = strings.TrimSpace(hop)
			if hop == "" || !trusted(host) {
				break
			}
			host = hop
		}
		return host
	}
}
