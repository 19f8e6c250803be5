package vaulthttp

import (
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
// or without the header, the result is the address of the connection; it is empty for
// a Unix socket.
//
// Every trusted proxy must append the address of its client to the header, or
// overwrite the header. An entry may have a port, brackets, an IPv6 zone or quotes,
// which are removed. An entry that is not an IP address, such as an empty one,
// "unknown" or "_hidden", ends the reading: the result is then the address of the
// trusted proxy that sent the entry. The result is thus always an IP address in its
// usual form, or empty. An IPv4 address matches only IPv4 prefixes, however it is
// written; an address with a zone matches none. The header Forwarded is not read. The
// function is safe for concurrent use.
func TrustedProxies(prefixes ...netip.Prefix) func(*http.Request) string {
	prefixes = slices.Clone(prefixes)
	trusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	return func(r *http.Request) string {
		client, ok := parseAddr(r.RemoteAddr)
		if !ok {
			return ""
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops) {
			if !trusted(client) {
				break
			}
			before, ok := parseAddr(hop)
			if !ok {
				break
			}
			client = before
		}
		return client.WithZone("").String()
	}
}

// parseAddr returns the IP address in a text that may also have a port, brackets and
// quotes. It keeps the zone, and unwraps an IPv4 address in IPv6.
func parseAddr(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		text = strings.TrimSuffix(inner, `"`)
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap(), true
	}
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr().Unmap(), true
	}
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	ip, err := netip.ParseAddr(inner)
	if !opened || !closed || err != nil || !ip.Is6() {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}
