//go:build linux

package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/golang-jwt/jwt/v5"
)

// Target is the server under measurement: where its streams and its API are,
// and what they ask for.
type Target struct {
	StreamURL string // http://host:port/connection/uni_sse
	APIURL    string // http://host:port/api
	APIKey    string
	Secret    string // HS256 secret for the streams' tokens; empty = anonymous
	Channel   string
	PIDs      []int       // processes whose CPU and memory count; empty = unknown
	Speaks    dialect     // nil = uniSSE
	Secure    *tls.Config // whom to trust where streams are behind TLS, whatever their URL says; nil = they are not
}

// Dialect returns how the server is spoken to.
func (t *Target) Dialect() dialect {
	if t.Speaks == nil {
		return uniSSE{}
	}
	return t.Speaks
}

// Resolve returns the address of an http URL, and refuses one that is not on
// loopback unless allowRemote: a load generator pointed at somebody else's
// server is an attack.
func Resolve(ctx context.Context, raw string, allowRemote bool) (netip.AddrPort, *url.URL, error) {
	var none netip.AddrPort
	u, err := url.Parse(raw)
	if err != nil {
		return none, nil, fmt.Errorf("bench: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return none, nil, fmt.Errorf("bench: expected a URL such as http://127.0.0.1:8000/path (TLS is not spoken), got %q", raw)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return none, nil, fmt.Errorf("bench: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return none, nil, fmt.Errorf("bench: the port of %q: %w", raw, err)
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() && !allowRemote {
			return none, nil, fmt.Errorf("bench: %s has the address %v, which is not loopback; give -allow-remote if that server is yours to load", u.Hostname(), ip.Unmap())
		}
	}
	ip := ips[0]
	for _, other := range ips {
		// Why: source addresses can be spread over 127.0.0.0/8 only.
		if other.Unmap().Is4() {
			ip = other
			break
		}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), u, nil
}

// StreamRequest returns the request of the n-th stream, which has no token or
// is user n.
func (t *Target) StreamRequest(u *url.URL, n int) ([]byte, error) {
	token, err := t.Token(n)
	if err != nil {
		return nil, err
	}
	return t.Request(u, token, "")
}

// Token returns the token of the n-th stream, the same every time; empty where
// streams are anonymous.
func (t *Target) Token(n int) (string, error) {
	if t.Secret == "" {
		return "", nil
	}
	return SignToken(jwt.SigningMethodHS256, []byte(t.Secret), jwt.MapClaims{"sub": UserName(n)})
}

// Request returns the request of a stream on the target's channel. Token and
// last event id may be empty.
func (t *Target) Request(u *url.URL, token, lastID string) ([]byte, error) {
	return t.Dialect().Subscribe(u, []string{t.Channel}, token, lastID)
}

// NeedsAPI says what is missing for publishing.
func (t *Target) NeedsAPI() error {
	if t.APIURL == "" {
		return errors.New("bench: this mode publishes; give -api URL and -key KEY with -url")
	}
	return nil
}
