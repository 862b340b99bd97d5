package client

import (
	"net/netip"

	"sluice/gateway/problem"
)

// CheckProxies returns what is wrong with trusted proxies, by their key below
// http_server.
func CheckProxies(trusted []string) problem.List {
	const key = "trusted_proxies"
	var l problem.List
	for _, text := range trusted {
		if text == UnixPeers {
			continue
		}
		if _, err := parseNetwork(text); err != nil {
			l.Fail(key, `%q is neither an address nor a network: allowed such as "10.0.0.7", "10.0.0.0/8" or "fd00::/8", and "unix" for whoever connects to a Unix socket`, text)
		}
	}
	if wide := Everybody(trusted); wide != "" {
		l.Note(key, problem.Open, "%q is no network of yours: whoever connects from there says which address it has, and limits by address are worthless; name your proxies only", wide)
	}
	return l
}

// Everybody returns the first of these networks that is so wide that strangers are
// in it: wider than any that somebody owns, unless it is one of private addresses
// (RFC 1918, RFC 4193). "" = none is.
func Everybody(networks []string) string {
	for _, text := range networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		bits, addr := p.Bits(), p.Masked().Addr()
		if addr.Is4In6() && bits >= 96 { // ::ffff:0.0.0.0/96 is all of IPv4
			bits, addr = bits-96, addr.Unmap()
		}
		widest := 8
		if addr.Is6() {
			widest = 16
		}
		private := bits >= 7 && addr.Is6() && addr.IsPrivate()
		if bits < widest && !private {
			return text
		}
	}
	return ""
}
