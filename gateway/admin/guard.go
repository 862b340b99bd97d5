package admin

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/gateway/origin"
)

// keyHeader carries Options.Key: the page has it from the fragment of its link, which no browser sends on its own.
const keyHeader = "X-Sluice-Key"

// mayHave reports why a request may not see the development secrets, or nil if it may.
//
// They are for this machine, which the peer of the socket says, not a header that anybody can write: a loopback address,
// and nothing that a proxy leaves behind, since a proxy on this machine is a loopback peer for all of its clients. Who
// has the key of the link is let in from anywhere.
//
// Two attacks remain. DNS rebinding: a foreign name that resolves to this machine reaches us with that name in Host, so
// Host must be localhost, 127.0.0.0/8 or [::1]; the key is not to be guessed. Cross-site reading: a page of another
// origin, other ports of localhost included, sends its own Origin, and browsers say the relation in Sec-Fetch-Site (W3C
// Fetch Metadata); where one of them is there, it must be this origin. Requests of curl carry neither and pass.
func (l *Live) mayHave(ctx *fasthttp.RequestCtx) error {
	h := &ctx.Request.Header
	host := string(h.Host())
	if !l.hasKey(h.Peek(keyHeader)) {
		if err := l.onThisMachine(ctx); err != nil {
			return fmt.Errorf("%w; open http://localhost on the machine itself, or the link with a key that the start printed", err)
		}
		if !isLoopbackHost(host) {
			return fmt.Errorf("the development session is given to this machine only: expected Host localhost, 127.x.x.x or [::1], "+
				"got %q; open the page as http://localhost", host)
		}
	}
	if site := h.Peek("Sec-Fetch-Site"); len(site) > 0 && string(site) != "same-origin" {
		return fmt.Errorf("the development session is given to its own page only: expected Sec-Fetch-Site same-origin, got %q", site)
	}
	// The scheme may be either one: TLS can end in front of us.
	if page := string(h.Peek(fasthttp.HeaderOrigin)); page != "" && !origin.IsOf(page, host, "") {
		return fmt.Errorf("the development session is given to its own page only: expected the Origin of %q, got %q", host, page)
	}
	return nil
}

// hasKey reports whether a header value is the key of the link.
func (l *Live) hasKey(value []byte) bool {
	return l.opts.Key != "" && subtle.ConstantTimeCompare(value, []byte(l.opts.Key)) == 1
}

// onThisMachine reports why the client is not known to be on this machine, or nil if it is.
func (l *Live) onThisMachine(ctx *fasthttp.RequestCtx) error {
	const only = "the development session is given to this machine only: "
	if l.opts.Proxied {
		return errors.New(only + "expected a direct connection, and http_server.proxy_protocol says that all come through a proxy")
	}
	// Of the socket, not of a header: TCPAddr is what the kernel says.
	peer, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok || !peer.IP.IsLoopback() {
		return fmt.Errorf(only+"expected a loopback peer, got %s", ctx.RemoteAddr())
	}
	for name := range ctx.Request.Header.All() {
		if leftByProxy(string(name)) {
			return fmt.Errorf(only+"expected a direct connection, got one through a proxy (header %s)", name)
		}
	}
	if !ctx.Request.Header.IsHTTP11() {
		// What nginx speaks to its upstreams unless told, and no browser.
		return errors.New(only + "expected HTTP/1.1, got HTTP/1.0, as from a proxy")
	}
	return nil
}

// leftByProxy reports whether a header is one that proxies add to the requests of their clients.
func leftByProxy(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"x-forwarded-", "x-original-", "x-envoy-", "x-amzn-", "cf-", "fastly-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "fly-client-ip",
		"proxy-connection", "cdn-loop":
		return true
	}
	return false
}

// isLoopbackHost reports whether a Host header value (name or address, with or without port) means this machine.
func isLoopbackHost(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || u.User != nil {
		return false
	}
	name := u.Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

// etagMatches reports whether an If-None-Match value lists etag, compared weakly (RFC 9110 section 13.1.2).
func etagMatches(header []byte, etag string) bool {
	for item := range bytes.SplitSeq(header, []byte(",")) {
		item = bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))
		if string(item) == etag || string(item) == "*" {
			return true
		}
	}
	return false
}
