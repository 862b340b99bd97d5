package origin

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// This file is about DNS rebinding: a page of a host name whose owner makes the
// name lead here is of our own origin. Over plain http nothing that browsers say
// tells it from ours but that name.

// rebindable reports whether a request comes, or may come, from such a page. The
// names that client.allowed_origins has are ours.
//
// What a page of our own origin sends with Origin or Referer names its host, and
// it can choose neither. It can leave the Referer out, browsers leave Origin out
// of GET, and some let it choose the User-Agent, and all that a proxy might say.
// So a request that says nothing of a page may be of one all the same.
func (l *List) rebindable(p *Page, h *fasthttp.RequestHeader, f Front) bool {
	switch {
	case f.TLS || p.Source == Listed || p.Source == Unnamed:
		return false
	case p.By != "" && !p.Silent:
		return f.Scheme != "https" && l.foreignHost(f.Host)
	case !mayBePage(h):
		return false
	}
	return l.foreignHost(f.Host) || l.foreignHost(string(h.Host()))
}

// mayBePage reports whether a browser may have sent a request without Origin,
// Referer and Sec-Fetch-Site for a page of the origin that it went to. All
// browsers say which encodings and languages they take, which no page can leave
// out; curl says neither. With POST all since 2020 send Origin.
func mayBePage(h *fasthttp.RequestHeader) bool {
	switch browser := FromBrowser(h); {
	case browser && !h.IsPost():
		return true
	case !browser && h.IsPost():
		return false
	}
	return len(h.PeekAll(fasthttp.HeaderAcceptEncoding)) > 0 || len(h.PeekAll(fasthttp.HeaderAcceptLanguage)) > 0
}

// foreignHost reports whether a host may be of somebody else: a name that can be
// owned, and that no entry of the list names.
func (l *List) foreignHost(host string) bool {
	if !ownable(host) {
		return false
	}
	for _, scheme := range [...]string{"http://", "https://"} {
		if _, named := l.Check(scheme + host); named {
			return false
		}
	}
	return true
}

// ownable reports whether a host, with or without a port, is a name that
// somebody else may own: no address, and none that the public DNS never has.
func ownable(host string) bool {
	if strings.HasPrefix(host, "[") {
		return false
	}
	name, _, _ := strings.Cut(host, ":")
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	last := strings.LastIndexByte(name, '.')
	if last >= 0 && isNumber(name[last+1:]) {
		return false // an address
	}
	return last >= 0 && !private[name[last+1:]] && !strings.HasSuffix(name, ".home.arpa")
}

// private are top-level names that nobody can register.
var private = map[string]bool{
	"localhost": true, "local": true, "internal": true, "test": true, "invalid": true, "example": true,
	"lan": true, "home": true, "corp": true, "intranet": true, "svc": true,
}
