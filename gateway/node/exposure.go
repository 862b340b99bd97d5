package node

import (
	"net"
	"net/netip"
	"slices"

	"sluice/gateway/console"
)

// Who reaches the API can publish to everybody, and metrics and profiles tell
// of the inside. So a start on a public address says which of them are there.

// guarded is an endpoint that is not for everybody.
type guarded struct {
	name, advice string
	enabled      bool
	external     bool // served on the public listener even if there is an internal one
}

func (node *Node) guarded() []guarded {
	const inside = "set http_server.internal_address or internal_port, or keep strangers out by a firewall"
	unset := func(key string, given bool) string {
		if !given {
			return ""
		}
		return "unset " + key + " and "
	}
	c := node.cfg
	return []guarded{
		{"http_api", unset("http_api.external", c.HTTPAPI.External) + inside, !c.HTTPAPI.Disabled, c.HTTPAPI.External},
		{"prometheus", inside, c.Prometheus.Enabled, false},
		{"debug", inside, c.Debug.Enabled, false},
		{"admin", unset("admin.external", c.Admin.External) + inside, c.Admin.Enabled, c.Admin.External},
	}
}

// exposed returns the endpoints that are not for everybody on a listener which is reachable
// at a public address. internal says which listener it is, and separate that there are two.
func (node *Node) exposed(at net.Addr, internal, separate bool, own func() ([]net.Addr, error)) (all []console.Exposed) {
	public := publicAddrs(at, own)
	if len(public) == 0 {
		return nil
	}
	for _, e := range node.guarded() {
		if e.enabled && (internal || !separate || e.external) {
			all = append(all, console.Exposed{Endpoint: e.name, Listener: at.String(), Addresses: public, Advice: e.advice})
		}
	}
	return all
}

// warnExposed warns of them.
func (node *Node) warnExposed(at net.Addr, internal, separate bool, own func() ([]net.Addr, error)) {
	for _, e := range node.exposed(at, internal, separate, own) {
		node.log.Warn("an endpoint that is not for everybody is reachable at a public address",
			"endpoint", e.Endpoint, "listener", e.Listener, "addresses", e.Addresses, "advice", e.Advice)
	}
}

// publicAddrs returns the public addresses at which a listener is reachable as
// far as this machine knows: its own, or, if it listens everywhere, those that
// own tells of.
func publicAddrs(at net.Addr, own func() ([]net.Addr, error)) (public []string) {
	bound, err := netip.ParseAddrPort(at.String())
	if err != nil {
		return nil // a Unix socket
	}
	addrs := []netip.Addr{bound.Addr()}
	if bound.Addr().IsUnspecified() {
		list, err := own()
		if err != nil {
			return nil
		}
		addrs = nil
		for _, a := range list {
			// 0.0.0.0 takes IPv4 only, [::] both.
			if p, err := netip.ParsePrefix(a.String()); err == nil && (bound.Addr().Is6() || p.Addr().Unmap().Is4()) {
				addrs = append(addrs, p.Addr())
			}
		}
	}
	for _, a := range addrs {
		if isPublic(a) {
			public = append(public, a.String())
		}
	}
	slices.Sort(public)
	return slices.Compact(public)
}

// sharedSpace is for carriers and overlay networks (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// isPublic reports whether an address can be reached from anywhere.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a)
}
