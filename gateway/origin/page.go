// Package origin judges which page of a browser is behind a request, and what
// may be done in its name. It owns the list of allowed origins, and the rule on
// ambient credentials: what browsers and fronts add to a request whoever made
// it counts only where its page is one of ours.
//
// It promises that a page cannot choose how it is judged: what pages can set or
// leave out is never believed to their advantage, beyond what a client that is
// no browser could send as well. It knows nothing of tokens and sessions.
package origin

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// Front is what is known of how a request came here.
type Front struct {
	// Host is the authority that the client used: what a trusted proxy says
	// of it, or else the Host header.
	Host string
	// Scheme is "http" or "https" where that is known: of TLS that ends here,
	// or from a trusted proxy. "" if it is not.
	Scheme string
	// Trusted: the peer is a proxy that may speak for clients.
	Trusted bool
}

// Source is where the page behind a request comes from.
type Source uint8

const (
	// None: no browser says anything of a page. Programs are like that.
	None    Source = iota
	User           // typed in, a bookmark, or a part of the browser
	Own            // the page is of the origin that the request went to
	Site           // of the same site: another name or port of one owner
	Listed         // of an allowed origin whose owner is named
	Unnamed        // of an origin that is allowed by a pattern which names nobody, see [Open]
	Other          // of any other site
)

// Page is what was found out of the page behind a request.
type Page struct {
	Source Source
	// Allowed: the page may connect. Only an Origin keeps one from it: without
	// it a page reads nothing of the answer (PROTOCOL 12.3).
	Allowed bool
	// CORS: the page is of another origin, and may read the answer.
	CORS bool
	// By is what the judgement is by, for people: `Origin "https://a.example"`.
	By string
	// Rebindable: the page is of a host name that anybody might own and have
	// lead here, so that it passes for our own (DNS rebinding).
	Rebindable bool
}

// Headers of Fetch Metadata (https://www.w3.org/TR/fetch-metadata/).
const (
	headerSite   = "Sec-Fetch-Site"
	siteOwn      = "same-origin"
	siteSame     = "same-site"
	siteNone     = "none"
	siteOther    = "cross-site"
	maxToldValue = 100 // bytes of a header in By
)

// Judge finds out which page is behind a request: by Sec-Fetch-Site, which
// pages can neither set nor leave out, by Origin, and where neither is there by
// Referer. For the goroutine that owns h.
//
// Browsers of before 2023, and all browsers towards plain http, send no
// Sec-Fetch-Site; and any page may forbid its Referer, and choose what it
// accepts. So a browser that says nothing of where it comes from comes from
// another site.
func (l *List) Judge(h *fasthttp.RequestHeader, f Front) Page {
	origin, site := string(h.Peek(fasthttp.HeaderOrigin)), fetchSite(h)
	p := Page{Allowed: true}
	switch {
	case origin != "":
		p.byOrigin(l, origin, site, f)
	case site != "":
		p.Source, p.By = sourceOf(site), headerSite+" "+site
	default:
		p.byReferer(l, h, f)
	}
	if p.Source != Listed && p.Source != Unnamed && f.Scheme != "https" && ownable(f.Host) {
		p.Rebindable = origin != "" || site != "" || p.By != "" || FromBrowser(h)
	}
	return p
}

func (p *Page) byOrigin(l *List, origin, site string, f Front) {
	p.By = "Origin " + told(origin)
	allowed, named := false, false
	if Printable(origin) {
		allowed, named = l.Check(origin)
	}
	p.CORS = allowed
	switch {
	case named:
		p.Source = Listed
	// The browser knows what it asked for; Host may be the name that a front
	// has for us.
	case site == siteOwn, site != siteSame && site != siteOther && isOriginOf(origin, f.Host, f.Scheme):
		p.Source = Own
	case allowed:
		p.Source = Unnamed
	default:
		p.Source, p.Allowed = Other, false
	}
}

func (p *Page) byReferer(l *List, h *fasthttp.RequestHeader, f Front) {
	referer := string(h.Peek(fasthttp.HeaderReferer))
	if referer == "" {
		if FromBrowser(h) {
			p.Source, p.By = Other, "a browser that says nothing of where it comes from, by no Sec-Fetch-Site, Origin or Referer"
		}
		return
	}
	origin := originOf(referer)
	p.By = "Referer of " + told(origin)
	switch _, named := l.Check(origin); {
	case isOriginOf(origin, f.Host, f.Scheme):
		p.Source = Own
	case named:
		p.Source = Listed
	default:
		p.Source = Other
	}
}

// fetchSite returns the value of Sec-Fetch-Site; what no browser sends is
// another site.
func fetchSite(h *fasthttp.RequestHeader) string {
	site := h.Peek(headerSite)
	if len(site) == 0 {
		return ""
	}
	if len(h.PeekAll(headerSite)) == 1 {
		for _, known := range [...]string{siteOwn, siteSame, siteNone} {
			if string(site) == known {
				return known
			}
		}
	}
	return siteOther
}

// CrossSite reports whether the browser says that the page is of another origin,
// which it is then however the request came here.
func CrossSite(h *fasthttp.RequestHeader) bool {
	site := fetchSite(h)
	return site == siteOther || site == siteSame
}

func sourceOf(site string) Source {
	switch site {
	case siteOwn:
		return Own
	case siteSame:
		return Site
	case siteNone:
		return User
	}
	return Other
}

// originOf returns the origin of a URL.
func originOf(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest
}

// FromBrowser reports whether the client calls itself as all browsers do.
func FromBrowser(h *fasthttp.RequestHeader) bool {
	return bytes.HasPrefix(h.UserAgent(), []byte("Mozilla/"))
}

// Ambient reports whether credentials that the page did not bring itself may
// be used: cookies, and what the front says of the user.
func (p *Page) Ambient() bool { return p.Source != Unnamed && p.Source != Other }

// Carries reports whether a header of the request, as a client or its front
// sent it, may say who the user is.
//
// A page that is allowed with all others may have set any header itself but
// what browsers add on their own. A page that is not allowed can set none: what
// is there was added by the browser or by a front, and what does not merely
// describe the request may be a credential.
func (p *Page) Carries(name, value string) bool {
	switch p.Source {
	case Unnamed:
		return !ambient(name, value)
	case Other:
		return descriptive[strings.ToLower(name)]
	default:
		return true
	}
}

// ambient reports whether browsers add a header on their own as a credential:
// cookies, and Authorization of the schemes that they ask the user for.
func ambient(name, value string) bool {
	switch strings.ToLower(name) {
	case "cookie", "proxy-authorization":
		return true
	case "authorization":
		scheme, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch strings.ToLower(scheme) {
		case "basic", "digest", "negotiate", "ntlm":
			return true
		}
	}
	return false
}

// descriptive are headers that say something of the request, but not who the
// user is: names in lower case.
var descriptive = func() map[string]bool {
	names := make(map[string]bool)
	for _, name := range strings.Fields(`accept accept-charset accept-encoding accept-language cache-control
		cf-connecting-ip cf-ipcountry cf-ray cf-visitor content-length content-type dnt fly-client-ip forwarded from host
		last-event-id origin pragma priority referer save-data sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform
		sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user traceparent tracestate true-client-ip
		upgrade-insecure-requests user-agent via x-client-ip x-country-code x-forwarded-for x-forwarded-host
		x-forwarded-port x-forwarded-proto x-forwarded-server x-real-ip x-request-id x-requested-with`) {
		names[name] = true
	}
	return names
}()

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

// told quotes what a client sent, for people.
func told(value string) string {
	if !Printable(value) || len(value) > maxToldValue {
		return "that is not shown"
	}
	return `"` + value + `"`
}

// Printable reports whether a header value may be echoed: visible ASCII and
// blanks only, of a sane length.
func Printable(s string) bool {
	if len(s) > 4096 {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
