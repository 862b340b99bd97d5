package admin

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSessionIsForThisMachineOnly(t *testing.T) {
	minted := 0
	opts := options()
	opts.Token = func() (string, string, error) { minted++; return "jwt", "ann", nil }
	get := served(t, NewLive(opts))
	f := func(wantStatus int, header ...string) {
		t.Helper()
		before := minted
		resp := get("GET", "/dev/session", header...)
		require.Equal(t, wantStatus, resp.StatusCode(), "%q", header)
		if wantStatus == 200 {
			return
		}
		require.Equal(t, before, minted, "a refused request must not mint a token")
		require.NotContains(t, string(resp.Body()), "jwt")
		require.Equal(t, "no-store", string(resp.Header.Peek("Cache-Control")))
	}
	allowed := func(header ...string) { t.Helper(); f(200, header...) }
	refused := func(header ...string) { t.Helper(); f(403, header...) }

	allowed("Host: localhost")
	allowed("Host: LocalHost:8000")
	allowed("Host: 127.0.0.1:8000")
	allowed("Host: 127.8.9.10")
	allowed("Host: [::1]")
	allowed("Host: [::1]:8000")

	refused("Host: evil.example")
	refused("Host: evil.example:8000")
	refused("Host: localhost.evil.example")
	refused("Host: 127.0.0.1.evil.example")
	refused("Host: 128.0.0.1")
	refused("Host: 10.0.0.1:8000")
	refused("Host: 0.0.0.0:8000")
	refused("Host: [::]:8000")
	refused("Host: [fe80::1]:8000")
	refused("Host: evil@localhost")

	allowed("Host: localhost:8000", "Origin: http://localhost:8000", "Sec-Fetch-Site: same-origin")
	allowed("Host: localhost:8000", "Origin: https://localhost:8000")
	refused("Host: localhost:8000", "Origin: http://localhost:3000")
	refused("Host: localhost:8000", "Origin: http://127.0.0.1:8000")
	refused("Host: localhost:8000", "Origin: http://evil.example")
	refused("Host: localhost:8000", "Origin: null")
	refused("Host: localhost:8000", "Origin: localhost:8000")
	refused("Host: localhost:8000", "Origin: file://localhost:8000")
	refused("Host: localhost:8000", "Sec-Fetch-Site: same-site")
	refused("Host: localhost:8000", "Sec-Fetch-Site: cross-site")
	refused("Host: localhost:8000", "Sec-Fetch-Site: none")
	refused("Host: localhost:8000", "Origin: http://localhost:8000", "Sec-Fetch-Site: cross-site")
}

// TestSessionIsForLoopbackPeersOnly: the Host header is anybody's to write, the peer of the socket is not.
func TestSessionIsForLoopbackPeersOnly(t *testing.T) {
	opts := options()
	opts.Key = "the-key-of-the-link"
	live := NewLive(opts)
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 50000} }
	f := func(peer net.Addr, wantStatus int, header ...string) {
		t.Helper()
		resp := servedTo(t, live, peer)("GET", "/dev/session", header...)
		require.Equal(t, wantStatus, resp.StatusCode(), "%s %q", peer, header)
		require.Equal(t, wantStatus == 200, strings.Contains(string(resp.Body()), "jwt"))
	}
	f(tcp("127.0.0.1"), 200)
	f(tcp("127.9.8.7"), 200)
	f(tcp("::1"), 200)
	f(tcp("::ffff:127.0.0.1"), 200)
	f(tcp("10.0.0.1"), 403)
	f(tcp("192.168.1.2"), 403, "Host: localhost:8000")
	f(tcp("2001:db8::1"), 403, "Host: [::1]:8000")
	f(tcp("::ffff:10.0.0.1"), 403)
	f(&net.UnixAddr{Name: "/run/x", Net: "unix"}, 403)

	// A proxy on this machine is a loopback peer for everybody.
	for _, header := range []string{"Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.1", "x-forwarded-for:", "X-Forwarded-Host: localhost",
		"X-Forwarded-Proto: https", "X-Real-IP: 127.0.0.1", "Via: 1.1 x", "CF-Connecting-IP: 1.1.1.1", "True-Client-IP: 1.1.1.1"} {
		f(tcp("127.0.0.1"), 403, header)
	}
	require.Equal(t, 403, served(t, live)("GET", "HTTP/1.0 /dev/session").StatusCode(), "what nginx sends unless told otherwise")
	proxied := opts
	proxied.Proxied = true
	require.Equal(t, 403, served(t, NewLive(proxied))("GET", "/dev/session").StatusCode())

	// Who has the link has the session, from anywhere; not so a page of another site.
	const key = "X-Sluice-Key: the-key-of-the-link"
	f(tcp("10.0.0.1"), 200, key, "Host: 10.0.0.2:8000", "Sec-Fetch-Site: same-origin")
	f(tcp("127.0.0.1"), 200, key, "Host: dev.example", "X-Forwarded-For: 10.0.0.1")
	f(tcp("10.0.0.1"), 403, "X-Sluice-Key: the-key-of-the-linc", "Host: localhost")
	f(tcp("10.0.0.1"), 403, "X-Sluice-Key:", "Host: localhost")
	f(tcp("10.0.0.1"), 403, key, "Host: 10.0.0.2:8000", "Sec-Fetch-Site: cross-site")
	f(tcp("10.0.0.1"), 403, key, "Host: 10.0.0.2:8000", "Origin: http://evil.example")
	resp := servedTo(t, NewLive(options()), tcp("10.0.0.1"))("GET", "/dev/session", "X-Sluice-Key:")
	require.Equal(t, 403, resp.StatusCode(), "no key opens nothing")
}
