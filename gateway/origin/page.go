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
	// TLS: it ends here, whoever the peer is.
	TLS bool
}

// Source is where the page behind a request comes from.
type Source uint8

const (
	// None: no browser says anything of a page. Programs are like that.
	None    Source = iota
	User           // typed in, a bookmark, a link in another program, or a part of the browser
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
	// Silent: it is Other only because a browser says nothing of where it comes
	// from.
	Silent bool
	// Navigation: the browser opens the answer as a page. Links and forms of any
	// program do that.
	Navigation bool
	// Rebindable: the page is, or may be, of a host name that anybody might own and
	// have lead here, so that it passes for our own (DNS rebinding).
	Rebindable bool
	// Secure: the browser used TLS, as far as it or a trusted proxy says. A page on
	// the machine of a trusted proxy can say that as well, see Rebindable.
	Secure bool
}

// Headers of Fetch Metadata (https://www.w3.org/TR/fetch-metadata/).
const (
	headerSite   = "Sec-Fetch-Site"
	headerMode   = "Sec-Fetch-Mode"
	modeNavigate = "navigate"
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
	p := Page{Allowed: true, Navigation: string(h.Peek(headerMode)) == modeNavigate}
	switch {
	case origin != "":
		if p.byOrigin(l, origin, site, f); len(h.PeekAll(fasthttp.HeaderOrigin)) > 1 { // from no browser
			p.Source, p.Allowed, p.CORS, p.By = Other, false, false, "Origin, which is there more than once,"
		}
	case site != "":
		p.Source, p.By = sourceOf(site), headerSite+" "+site
	default:
		p.byReferer(l, h, f)
	}
	// To names browsers send Sec-Fetch-Site over TLS only.
	p.Secure = f.TLS || f.Scheme == "https" || site != ""
	p.Rebindable = l.rebindable(&p, h, f)
	if p.Navigation && p.Source != Other {
		p.By = strings.TrimPrefix(p.By+", "+headerMode+" "+modeNavigate, ", ")
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
	case site == siteOwn, site != siteSame && site != siteOther && IsOf(origin, f.Host, f.Scheme):
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
			p.Source, p.Silent = Other, true
			p.By = "a browser that says nothing of where it comes from, by no Sec-Fetch-Site, Origin or Referer"
		}
		return
	}
	origin := originOf(referer)
	p.By = "Referer of " + told(origin)
	switch _, named := l.Check(origin); {
	case IsOf(origin, f.Host, f.Scheme):
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
// be used: cookies, and what the front says of the user. What the browser opens
// as a page has none: a link in a mail is like one that was typed in.
func (p *Page) Ambient() bool {
	switch p.Source {
	case None, Own, Site, Listed:
		return !p.Navigation
	default:
		return false
	}
}

// Carries reports whether a header of the request, as a client or its front
// sent it, may say who the user is.
//
// A page that is allowed with all others may have set any header itself but
// what browsers add on their own. Any other, and a link, can set none: what
// is there was added by the browser or by a front, and what does not merely
// describe the request may be a credential.
func (p *Page) Carries(name, value string) bool {
	switch {
	case p.Ambient():
		return true
	case p.Source == Unnamed && !p.Navigation:
		return !ambient(name, value)
	default:
		return descriptive[strings.ToLower(name)]
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
