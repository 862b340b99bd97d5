//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// target is the server under measurement: where its streams and its API are,
// and what they ask for.
type target struct {
	streamURL string // http://host:port/connection/uni_sse
	apiURL    string // http://host:port/api
	apiKey    string
	secret    string // HS256 secret for the streams' tokens; empty = anonymous
	channel   string
	pids      []int   // processes whose CPU and memory count; empty = unknown
	speaks    dialect // nil = uniSSE
}

// dialect returns how the server is spoken to.
func (t *target) dialect() dialect {
	if t.speaks == nil {
		return uniSSE{}
	}
	return t.speaks
}

// targetFlags are the flags that name a running server.
type targetFlags struct {
	url, api, key, pids, secret string
	channel                     string
	anonymous, allowRemote      bool
	server                      string
}

func (f *targetFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.url, "url", "", "stream URL of a running server (default: build and start our own)")
	fs.StringVar(&f.api, "api", "", "API URL of the running server, such as http://127.0.0.1:8000/api")
	fs.StringVar(&f.key, "key", "", "API key of the running server")
	fs.StringVar(&f.pids, "P", "", "process id, or comma-separated ids, of the running server (without: no CPU or memory figures)")
	fs.StringVar(&f.secret, "token-secret", "", "HS256 secret of the running server, for the streams' tokens")
	fs.StringVar(&f.channel, "channel", "bench", "channel that streams subscribe to")
	fs.BoolVar(&f.anonymous, "anonymous", false, "streams carry no token")
	fs.BoolVar(&f.allowRemote, "allow-remote", false, "measure a server that is not on a loopback address")
	fs.StringVar(&f.server, "server", "", "start this binary instead of building the repository's")
}

// external returns the running server the flags name, or nil where none is.
func (f *targetFlags) external() (*target, error) {
	if f.url == "" {
		if f.api != "" || f.key != "" || f.pids != "" || f.secret != "" {
			return nil, errors.New("bench: -api, -key, -P and -token-secret describe a running server; give its -url too")
		}
		return nil, nil
	}
	if f.secret == "" && !f.anonymous {
		return nil, errors.New("bench: with -url give -token-secret SECRET, or -anonymous for streams without a token")
	}
	t := &target{streamURL: f.url, apiURL: strings.TrimSuffix(f.api, "/"), apiKey: f.key, channel: f.channel}
	if !f.anonymous {
		t.secret = f.secret
	}
	for s := range strings.SplitSeq(f.pids, ",") {
		if s == "" {
			continue
		}
		pid, err := strconv.Atoi(s)
		if err != nil || pid <= 0 || pid > maxPID {
			return nil, fmt.Errorf("bench: -P should hold process ids, not %q", s)
		}
		t.pids = append(t.pids, pid)
	}
	return t, nil
}

// resolve returns the address of an http URL, and refuses one that is not on
// loopback unless allowRemote: a load generator pointed at somebody else's
// server is an attack.
func resolve(ctx context.Context, raw string, allowRemote bool) (netip.AddrPort, *url.URL, error) {
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

// streamRequest returns the request of the n-th stream, which has no token or
// is user n.
func (t *target) streamRequest(u *url.URL, n int) ([]byte, error) {
	token, err := t.token(n)
	if err != nil {
		return nil, err
	}
	return t.request(u, token, "")
}

// token returns the token of the n-th stream, the same every time; empty where
// streams are anonymous.
func (t *target) token(n int) (string, error) {
	if t.secret == "" {
		return "", nil
	}
	return signToken(jwt.SigningMethodHS256, []byte(t.secret), jwt.MapClaims{"sub": userName(n)})
}

// request returns the request of a stream on the target's channel. Token and
// last event id may be empty.
func (t *target) request(u *url.URL, token, lastID string) ([]byte, error) {
	return t.dialect().subscribe(u, []string{t.channel}, token, lastID)
}

// needsAPI says what is missing for publishing.
func (t *target) needsAPI() error {
	if t.apiURL == "" {
		return errors.New("bench: this mode publishes; give -api URL and -key KEY with -url")
	}
	return nil
}
