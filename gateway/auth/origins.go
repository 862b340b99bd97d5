package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gobwas/glob"
)

// maxOrigin is how long an Origin may be, in bytes: "https://", the 253 bytes of
// a name in the DNS and a port make 267. It bounds the time of a match, which
// grows with the length to the power of the number of {} groups that hold a
// '*': some microseconds with one, 10 ms with two. The patterns are the
// operator's, the length would be anybody's.
const maxOrigin = 280

// Origins are the allowed origins of browsers. It is immutable; all methods may
// be called from any goroutine.
type Origins struct {
	// Immutable after NewOrigins.
	all      bool
	patterns []*glob.Pattern
}

// NewOrigins compiles patterns, the list client.allowed_origins (PROTOCOL 1.7).
// They are used as written, so one with capitals matches nothing. No pattern
// means that no origin is allowed; exactly ["*"] allows every one. The error
// joins everything that is wrong.
func NewOrigins(patterns []string) (*Origins, error) {
	o := &Origins{all: len(patterns) == 1 && patterns[0] == "*"}
	var errs []error
	for _, text := range patterns {
		// Why no separators: '*' has to match '.', '/' and ':' too.
		p, err := glob.Compile(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("auth: client.allowed_origins has %q: a glob expected: %w", text, err))
		}
		o.patterns = append(o.patterns, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return o, nil
}

// AllowsAll reports whether every origin is allowed, which deserves a warning
// at start.
func (o *Origins) AllowsAll() bool { return o.all }

// Check reports whether the value of an Origin header is allowed.
func (o *Origins) Check(origin string) bool {
	if o.all {
		return true
	}
	if len(origin) > maxOrigin {
		return false
	}
	origin = strings.ToLower(origin)
	for _, p := range o.patterns {
		if p.Match(origin) {
			return true
		}
	}
	return false
}

// SameOrigin reports whether an Origin names the host that the request went to,
// the value of its Host header (PROTOCOL 12.3). The scheme is not compared: in
// front of a gateway TLS may end elsewhere. A default port of the Origin's
// scheme may be written or left out on either side.
func SameOrigin(origin, host string) bool {
	if len(origin) > maxOrigin {
		return false
	}
	scheme, authority, ok := strings.Cut(origin, "://")
	port := ""
	switch {
	case !ok:
		return false
	case strings.EqualFold(scheme, "https"):
		port = ":443"
	case strings.EqualFold(scheme, "http"):
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
