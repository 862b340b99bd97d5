package admin

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// sameMachine reports why a request may not see the development secrets, or nil if it may.
//
// Two attacks are shut out. DNS rebinding: a foreign name that resolves to this machine reaches us with that name in
// Host, so Host must be localhost, 127.0.0.0/8 or [::1]. Cross-site reading: a page of another origin, other ports of
// localhost included, sends its own Origin, and browsers say the relation in Sec-Fetch-Site (W3C Fetch Metadata); where
// one of them is there, it must be this origin. Requests of curl carry neither and pass.
func sameMachine(h *fasthttp.RequestHeader) error {
	host := string(h.Host())
	if !isLoopbackHost(host) {
		return fmt.Errorf("the development session is given to this machine only: expected Host localhost, 127.x.x.x or [::1], "+
			"got %q; open the page as http://localhost", host)
	}
	if site := h.Peek("Sec-Fetch-Site"); len(site) > 0 && string(site) != "same-origin" {
		return fmt.Errorf("the development session is given to its own page only: expected Sec-Fetch-Site same-origin, got %q", site)
	}
	if origin := string(h.Peek(fasthttp.HeaderOrigin)); origin != "" && !isOriginOf(origin, host) {
		return fmt.Errorf("the development session is given to its own page only: expected the Origin of %q, got %q", host, origin)
	}
	return nil
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

// isOriginOf reports whether an Origin header value names host. The scheme may be either one, since TLS can end in
// front of us.
func isOriginOf(origin, host string) bool {
	scheme, rest, ok := strings.Cut(origin, "://")
	return ok && (scheme == "http" || scheme == "https") && strings.EqualFold(rest, host)
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
