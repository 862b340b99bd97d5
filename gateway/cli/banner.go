package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sluice/gateway/config"
	"sluice/gateway/node"
)

// banner tells a person who started in development how to begin, and what edge.profile
// did, nil without one. own returns the addresses of this machine.
func banner(w io.Writer, n *node.Node, cfg *config.Config, profile *config.AppliedProfile, own func() ([]net.Addr, error)) error {
	token, user, err := n.DevToken()
	if err != nil {
		return err
	}
	connect, err := json.Marshal(map[string]any{"subs": map[string]any{node.DevChannels[0]: struct{}{}}})
	if err != nil {
		return err
	}
	at := reachOf(n, cfg, own)
	var text strings.Builder
	fmt.Fprintf(&text, `
  Sluice %s, development mode: %s, new secrets at every start

  Live page   %s
`, node.Version, at.who, at.page)
	for _, link := range at.elsewhere {
		fmt.Fprintf(&text, "  elsewhere   %s\n", link)
	}
	if profile != nil {
		fmt.Fprintf(&text, "  Profile     %s\n", profile)
	}
	if b := &cfg.Broadcast; b.Enabled {
		fmt.Fprintf(&text, "  Broadcast   %s%s/{channel}: to everybody, of namespaces with broadcast\n", at.base.url, b.HandlerPrefix)
	}
	fmt.Fprintf(&text, `
  Subscribe   curl -N -G %s'%s%s' --data-urlencode 'cf_connect=%s'

  Publish     curl %s'%s%s/publish' -H 'X-API-Key: %s' \
                -d '{"channel":"%s","data":{"text":"hello"}}'

  Token       %s
              (user %q; goes into cf_connect as "token")

`, at.base.flag, at.base.url, node.Root(cfg.UniSSE.HandlerPrefix), connect, at.api.flag, at.api.url, cfg.HTTPAPI.HandlerPrefix,
		cfg.HTTPAPI.Key, node.DevChannels[0], token, user)
	_, err = io.WriteString(w, text.String())
	return err
}

// reach is from where a development server can be reached, in the words and links
// of its banner.
type reach struct {
	who       string   // can reach it
	base, api place    // of the two listeners
	page      string   // the link of the live page that works on this machine, or why there is none
	elsewhere []string // those that work on other machines, with the key
}

// reachOf looks at what the listeners are bound to, not at what was configured.
func reachOf(n *node.Node, cfg *config.Config, own func() ([]net.Addr, error)) reach {
	on := n.Listening()
	r := reach{base: placeOf(on[0]), who: "this machine only"}
	r.api = r.base
	if len(on) > 1 && !cfg.HTTPAPI.External {
		r.api = placeOf(on[1])
	}
	key := "/#" + n.LiveKey()
	if r.base.flag != "" {
		r.page = "at the address of a proxy to " + n.Addr() + ", with " + key + " behind it"
		return r
	}
	bound := boundTo(on[0].Addr)
	r.page = r.base.url + "/"
	if !bound.Addr().IsLoopback() {
		r.who = "OTHER MACHINES REACH IT, too (" + n.Addr() + ")"
	}
	if bound.Addr().IsUnspecified() {
		for _, a := range reachable(bound, own) {
			r.elsewhere = append(r.elsewhere, urlOf(netip.AddrPortFrom(a, bound.Port()), on[0].TLS)+key)
		}
	} else if !bound.Addr().IsLoopback() || cfg.HTTPServer.ProxyProtocol {
		r.page = r.base.url + key
	}
	return r
}

// place is how a listener is reached.
type place struct {
	url  string // without a path
	flag string // that curl needs before it, with a blank behind; "" if none
}

// placeOf returns it. A Unix socket has no host: any name does.
func placeOf(l node.Listening) place {
	if l.Addr.Network() != "unix" {
		return place{url: urlOf(boundTo(l.Addr), l.TLS)}
	}
	p := place{url: "http://localhost", flag: "--unix-socket '" + l.Addr.String() + "' "}
	if l.TLS {
		p.url = "https://localhost"
	}
	return p
}

// boundTo returns where a TCP listener is bound.
func boundTo(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// urlOf returns the URL of a listener at an address, without a path; one that
// listens everywhere is at localhost.
func urlOf(at netip.AddrPort, tls bool) string {
	scheme, host := "http://", at.Addr().String()
	if tls {
		scheme = "https://"
	}
	if at.Addr().IsUnspecified() || host == "127.0.0.1" {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}

// mostLinks bounds the links of a machine with many addresses.
const mostLinks = 2

// reachable returns addresses at which other machines find a listener that is
// bound to all of them.
func reachable(bound netip.AddrPort, own func() ([]net.Addr, error)) (found []netip.Addr) {
	list, err := own()
	if err != nil {
		return nil
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() || bound.Addr().Is4() && !p.Addr().Unmap().Is4() {
			continue
		}
		if found = append(found, p.Addr()); len(found) == mostLinks {
			break
		}
	}
	return found
}
