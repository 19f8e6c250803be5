package vaulthttp

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// TrustedProxies returns a function for Options.RemoteAddr and
// AdminOptions.RemoteAddr: the address of the client behind proxies whose
// addresses are in prefixes, by X-Forwarded-For.
//
// The header is read from its end. The last entry is from the proxy at the
// other end of the connection, and counts if that is trusted; the entry before
// it counts if the address in the last one is trusted too, and so on. Entries in
// front of the first address that is not trusted are the client's own and count
// for nothing. Without prefixes, and without the header, the address is that of
// the connection, without the port; a Unix socket has none.
//
// Every trusted proxy must append the address of its client to the header, or
// set it. The address is the header's text: it need not be an IP address. An
// IPv4 address is in prefixes of IPv4 only, however it is written; one with a port
// or with an IPv6 zone is in none.
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
