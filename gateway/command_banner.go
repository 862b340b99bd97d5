package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// banner tells a person who started in development how to begin. own returns the
// addresses of this machine.
func (g *Gateway) banner(w io.Writer, own func() ([]net.Addr, error)) error {
	token, user, err := g.devToken()
	if err != nil {
		return err
	}
	connect, err := json.Marshal(map[string]any{"subs": map[string]any{devChannels[0]: struct{}{}}})
	if err != nil {
		return err
	}
	at := g.reach(own)
	var text strings.Builder
	fmt.Fprintf(&text, `
  Sluice %s, development mode: %s, new secrets at every start

  Live page   %s
`, Version, at.who, at.page)
	for _, link := range at.elsewhere {
		fmt.Fprintf(&text, "  elsewhere   %s\n", link)
	}
	fmt.Fprintf(&text, `
  Subscribe   curl -N -G '%s%s' --data-urlencode 'cf_connect=%s'

  Publish     curl '%s%s/publish' -H 'X-API-Key: %s' \
                -d '{"channel":"%s","data":{"text":"hello"}}'

  Token       %s
              (user %q; goes into cf_connect as "token")

`, at.base, root(g.cfg.UniSSE.HandlerPrefix), connect, at.api, g.cfg.HTTPAPI.HandlerPrefix,
		g.cfg.HTTPAPI.Key, devChannels[0], token, user)
	_, err = io.WriteString(w, text.String())
	return err
}

// reach is from where a development server can be reached, in the words and links
// of its banner.
type reach struct {
	who       string   // can reach it
	base, api string   // URLs of the two listeners, without a path
	page      string   // the link of the live page that works on this machine
	elsewhere []string // those that work on other machines, with the key
}

// reach looks at what the listeners are bound to, not at what was configured.
func (g *Gateway) reach(own func() ([]net.Addr, error)) reach {
	bound := boundTo(g.listeners[0].Addr())
	r := reach{base: urlOf(bound, g.certs.external != nil), who: "this machine only"}
	r.api = r.base
	if len(g.listeners) > 1 && !g.cfg.HTTPAPI.External {
		r.api = urlOf(boundTo(g.listeners[1].Addr()), g.certs.internal != nil)
	}
	key := "/#" + g.liveKey
	r.page = r.base + "/"
	if !bound.Addr().IsLoopback() {
		r.who = "OTHER MACHINES REACH IT, too (" + g.Addr() + ")"
	}
	if bound.Addr().IsUnspecified() {
		for _, a := range reachable(bound, own) {
			r.elsewhere = append(r.elsewhere, urlOf(netip.AddrPortFrom(a, bound.Port()), g.certs.external != nil)+key)
		}
	} else if !bound.Addr().IsLoopback() || g.cfg.HTTPServer.ProxyProtocol {
		r.page = r.base + key
	}
	return r
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
