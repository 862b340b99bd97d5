package origin

import (
	"strings"

	"github.com/gobwas/glob"
)

// maxOrigin is how long an Origin may be, in bytes: "https://", the 253 bytes of
// a name in the DNS and a port make 267. It bounds the time of a match, which
// grows with the length to the power of the number of {} groups that hold a
// '*': some microseconds with one, 10 ms with two. The patterns are the
// operator's, the length would be anybody's.
const maxOrigin = 280

// List are the origins whose pages may connect. It is immutable; all methods may
// be called from any goroutine.
type List struct {
	// Immutable after NewList.
	all      bool
	patterns []listed
}

// listed is a pattern of the list.
type listed struct {
	*glob.Pattern
	open bool // see Open
}

// NewList compiles patterns, the list client.allowed_origins (PROTOCOL 1.7).
// They are used as written, so one with capitals matches nothing. No pattern
// means that no origin is allowed; exactly ["*"] allows every one. The error
// joins everything that is wrong, as Check says it.
func NewList(patterns []string) (*List, error) {
	if err := Check(patterns, "").Err("origin: client.allowed_origins"); err != nil {
		return nil, err
	}
	l := &List{all: everyOrigin(patterns)}
	for _, text := range patterns {
		p, err := compile(text)
		if err != nil {
			return nil, err
		}
		l.patterns = append(l.patterns, listed{p, Open(text) != ""})
	}
	return l, nil
}

// AllowsAll reports whether every origin is allowed, which deserves a warning
// at start.
func (l *List) AllowsAll() bool { return l.all }

// Check reports whether the value of an Origin header is allowed, and whether
// that is by a pattern that names whose pages it means: see [Open].
func (l *List) Check(origin string) (allowed, named bool) {
	if len(origin) > maxOrigin {
		return l.all, false
	}
	origin = strings.ToLower(origin)
	for i := range l.patterns {
		if p := &l.patterns[i]; p.Match(origin) {
			if !p.open {
				return true, true
			}
			allowed = true
		}
	}
	return allowed || l.all, false
}

// IsOf reports whether an Origin names the host that the request went to
// (PROTOCOL 12.3), as its Host header or a front says. A default port of the
// Origin's scheme may be written or left out on either side. scheme is what the
// client used as far as it is known, "" otherwise: a page of http is not one of
// https. Why not the other way round as well: behind two fronts the inner one
// tells of http where the outer one ended TLS.
func IsOf(origin, host, scheme string) bool {
	if len(origin) > maxOrigin {
		return false
	}
	own, authority, ok := strings.Cut(origin, "://")
	port := ""
	switch {
	case !ok:
		return false
	case strings.EqualFold(own, "https"):
		port = ":443"
	case strings.EqualFold(own, "http") && scheme != "https":
		port = ":80"
	default:
		return false
	}
	authority = strings.TrimSuffix(authority, port)
	return authority != "" && asciiEqualFold(authority, strings.TrimSuffix(host, port))
}

// asciiEqualFold compares without regard to the case of ASCII letters. Why not
// strings.EqualFold: it takes the Kelvin sign for a k, and a host name must not
// equal one that is spelt otherwise.
func asciiEqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
