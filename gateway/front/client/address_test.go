package client

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func proxies(t testing.TB, header string, trusted ...string) *Proxies {
	t.Helper()
	p, err := NewProxies(trusted, header)
	require.NoError(t, err)
	return p
}

func headerWith(name string, lines ...string) *fasthttp.RequestHeader {
	h := &fasthttp.RequestHeader{}
	for _, line := range lines {
		h.Add(name, line)
	}
	return h
}

func TestNewProxiesNamesTheBadEntry(t *testing.T) {
	f := func(entry string) {
		t.Helper()
		_, err := NewProxies([]string{"10.0.0.1", entry}, "")
		require.ErrorContains(t, err, `"`+entry+`"`)
	}
	f("")
	f("proxy.example")
	f("10.0.0")
	f("10.0.0.0/33")
	f("10.0.0.0/")
	f("10.0.0.1:80")
	f("[::1]")
	f("fe80::1%eth0")
	f("fe80::/10%eth0")
	f("::ffff:10.0.0.0/95")
	f("10.0.0.1,10.0.0.2")

	_, err := NewProxies(nil, "x-real-ip")
	require.ErrorContains(t, err, "x-real-ip")
	for _, header := range []string{"", "x-forwarded-for", "X-Forwarded-For", "forwarded", "Forwarded"} {
		_, err := NewProxies([]string{" 10.0.0.0/8 "}, header)
		require.NoError(t, err, header)
	}
}

func TestTrustsAddressesAndNetworks(t *testing.T) {
	p := proxies(t, "", "192.0.2.7", "10.1.2.3/8", "2001:db8::/32", "::ffff:203.0.113.0/120", "::ffff:198.51.100.9", "::1")
	f := func(addr string, want bool) {
		t.Helper()
		require.Equal(t, want, p.Trusts(netip.MustParseAddr(addr)), addr)
	}
	f("192.0.2.7", true)
	f("192.0.2.8", false)
	f("::ffff:192.0.2.7", true)
	f("10.255.255.255", true)
	f("11.0.0.0", false)
	f("2001:db8:ffff::1", true)
	f("2001:db9::1", false)
	f("203.0.113.200", true)
	f("203.0.114.1", false)
	f("198.51.100.9", true)
	f("::1", true)
	f("::1%lo", true)
	require.False(t, p.Trusts(netip.Addr{}))
	require.False(t, (*Proxies)(nil).Trusts(netip.MustParseAddr("10.0.0.1")))
}

const testPeer = "10.0.0.1"

// clientOf is the client behind the proxy 10.0.0.1 that sent these lines.
func clientOf(t *testing.T, header string, lines ...string) string {
	t.Helper()
	p := proxies(t, header, "10.0.0.0/8", "fd00::/8")
	h := headerWith(header, lines...)
	return p.Client(netip.MustParseAddr(testPeer), h).String()
}

func TestClientByXForwardedFor(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		require.Equal(t, want, clientOf(t, XForwardedFor, lines...), "%q", lines)
	}
	f(testPeer)
	f(testPeer, "")
	f(testPeer, " , ,\t,")
	f("192.0.2.1", "192.0.2.1")
	f("192.0.2.1", "  192.0.2.1\t")
	f("192.0.2.1", "192.0.2.1, 10.0.0.2")
	f("192.0.2.1", "192.0.2.1,10.0.0.2,fd00::1,10.9.9.9")
	// Only the end is believed.
	f("192.0.2.1", "203.0.113.9, 192.0.2.1")
	f("192.0.2.1", "203.0.113.9, 192.0.2.1, 10.0.0.2")
	f("192.0.2.1", "203.0.113.9", "192.0.2.1")
	f("192.0.2.1", "203.0.113.9", "192.0.2.1", "10.0.0.2, 10.0.0.3")
	f("192.0.2.1", "203.0.113.9, 192.0.2.1", "")
	f("192.0.2.1", `"`, "192.0.2.1")
	// Proxies only: the first of them.
	f("10.0.0.3", "10.0.0.3, 10.0.0.2")
	// Junk ends the search.
	f(testPeer, "junk")
	f(testPeer, "192.0.2.1, junk")
	f("10.0.0.2", "192.0.2.1, junk, 10.0.0.2")
	f("10.0.0.2", "192.0.2.1, unknown, 10.0.0.2")
	f("10.0.0.2", "192.0.2.1", "unknown", "10.0.0.2")
	f("192.0.2.1", "junk, 192.0.2.1")
	f(testPeer, "192.0.2.1 192.0.2.2")
	f(testPeer, "192.0.2.256")
	f(testPeer, "192.0.2.1/32")
	f(testPeer, "2130706433")
	f(testPeer, "::1::2")
	f(testPeer, strings.Repeat("1", 300))
	// Forms.
	f("192.0.2.1", "192.0.2.1:8080")
	f(testPeer, "192.0.2.1:")
	f(testPeer, "192.0.2.1:x")
	f(testPeer, "192.0.2.1:123456")
	f("2001:db8::1", "2001:db8::1")
	f("2001:db8::1", "[2001:db8::1]")
	f("2001:db8::1", "[2001:db8::1]:443")
	f(testPeer, "[2001:db8::1")
	f(testPeer, "[2001:db8::1]x")
	f(testPeer, "[192.0.2.1]")
	f(testPeer, "2001:db8::1]")
	f("192.0.2.1", "::ffff:192.0.2.1")
	f("10.0.0.9", "::ffff:10.0.0.9")
	f("192.0.2.1", "192.0.2.1, ::ffff:10.0.0.9")
	f("fe80::1", "fe80::1%eth0")
	f("fe80::1", "[fe80::1%25eth0]:80")
}

func TestClientByForwarded(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		require.Equal(t, want, clientOf(t, Forwarded, lines...), "%q", lines)
	}
	f(testPeer)
	f(testPeer, "")
	f(testPeer, ",, ,")
	f("192.0.2.1", "for=192.0.2.1")
	f("192.0.2.1", "For=192.0.2.1")
	f("192.0.2.1", `for="192.0.2.1"`)
	f("192.0.2.1", `for="192.0.2.1:8080"`)
	f("192.0.2.1", `for="192.0.2.1:_port"`)
	f("192.0.2.1", `for="192\.0.2.1"`)
	f("2001:db8::1", `for="[2001:db8::1]"`)
	f("2001:db8::1", `for="[2001:db8::1]:4711"`)
	f("192.0.2.1", `for="[::ffff:192.0.2.1]"`)
	f("192.0.2.1", "by=203.0.113.9;proto=https;for=192.0.2.1;host=example.org")
	f("192.0.2.1", `proto=https; for=192.0.2.1 ; host="a;for=203.0.113.9,b"`)
	f("192.0.2.1", "for=192.0.2.1;")
	// Only the end is believed.
	f("192.0.2.1", "for=203.0.113.9, for=192.0.2.1")
	f("192.0.2.1", "for=203.0.113.9, for=192.0.2.1, for=10.0.0.2")
	f("192.0.2.1", "for=203.0.113.9", "for=192.0.2.1;by=10.0.0.3", `for="[fd00::1]:1"`)
	f("10.0.0.3", "for=10.0.0.3, for=10.0.0.2")
	// What a client wrote before does not hide what the proxy appended.
	f("192.0.2.1", `for="203.0.113.9, for=192.0.2.1`)
	f("192.0.2.1", `for="203.0.113.9, for="192.0.2.1"`)
	f("192.0.2.1", `for="203.0.113.9\, for="192.0.2.1"`)
	f("192.0.2.1", `for=\, for="192.0.2.1"`)
	f("192.0.2.1", `",",",`, `for=192.0.2.1`)
	f("192.0.2.1", `for="a\", for="192.0.2.1"`)
	// What names no address ends the search.
	f(testPeer, "for=unknown")
	f(testPeer, "for=_hidden")
	f(testPeer, `for="_SEVKISEK:_gazonk"`)
	f(testPeer, "proto=https;by=10.0.0.9")
	f("10.0.0.2", "for=192.0.2.1, for=unknown, for=10.0.0.2")
	f("10.0.0.2", "for=192.0.2.1, proto=http, for=10.0.0.2")
	f(testPeer, "for=")
	f(testPeer, "for")
	f(testPeer, "=192.0.2.1")
	f(testPeer, `for=""`)
	f(testPeer, `for="192.0.2.1`)
	f(testPeer, `for=192.0.2.1"`)
	f(testPeer, `for="192.0.2.1"x`)
	f(testPeer, `for =192.0.2.1`)
	f(testPeer, "for=192.0.2.1;for=203.0.113.9")
	f(testPeer, "for=192.0.2.1 for=203.0.113.9")
	f(testPeer, "for=2001:db8::1", "for=2001:db8::1")
	f(testPeer, `for="2001:db8::1"`)
	f(testPeer, "for=192.0.2.1:80")
	f(testPeer, `for="[2001:db8::1]:"`)
	f(testPeer, `for="[2001:db8::1]:123456"`)
	f(testPeer, `for="[192.0.2.1]"`)
	f(testPeer, `for="`+strings.Repeat("1", 300)+`"`)
	f(testPeer, "192.0.2.1")
}

func TestHeaderOfAStrangerIsNotRead(t *testing.T) {
	for _, header := range []string{XForwardedFor, Forwarded} {
		p := proxies(t, header, "10.0.0.0/8")
		h := headerWith(header, "192.0.2.1", "for=192.0.2.1")
		require.Equal(t, "203.0.113.9", p.Client(netip.MustParseAddr("203.0.113.9"), h).String())
		require.Equal(t, "203.0.113.9", p.Client(netip.MustParseAddr("::ffff:203.0.113.9"), h).String())
		require.Equal(t, "fe80::1", p.Client(netip.MustParseAddr("fe80::1%eth0"), h).String())
		require.False(t, p.Client(netip.Addr{}, h).IsValid())
	}
	h := headerWith(XForwardedFor, "192.0.2.1")
	require.Equal(t, testPeer, (*Proxies)(nil).Client(netip.MustParseAddr(testPeer), h).String())
}

func TestOnlyTheChosenHeaderIsRead(t *testing.T) {
	require.Equal(t, testPeer, proxies(t, XForwardedFor, "10.0.0.0/8").
		Client(netip.MustParseAddr(testPeer), headerWith(Forwarded, "for=192.0.2.1")).String())
	require.Equal(t, testPeer, proxies(t, Forwarded, "10.0.0.0/8").
		Client(netip.MustParseAddr(testPeer), headerWith(XForwardedFor, "192.0.2.1")).String())
}

func TestHowMuchOfTheHeaderIsReadIsBounded(t *testing.T) {
	const hop = "10.0.0.2"
	chain := func(n int) string { return "192.0.2.1" + strings.Repeat(", "+hop, n) }
	require.Equal(t, "192.0.2.1", clientOf(t, XForwardedFor, chain(maxHops-1)))
	require.Equal(t, hop, clientOf(t, XForwardedFor, chain(maxHops)), "too many proxies")
	require.Equal(t, testPeer, clientOf(t, XForwardedFor, "192.0.2.1"+strings.Repeat(",", maxHops)), "empty elements count")

	pad := strings.Repeat(" ", maxForwardedLen)
	require.Equal(t, testPeer, clientOf(t, XForwardedFor, "192.0.2.1"+pad))
	require.Equal(t, hop, clientOf(t, XForwardedFor, "192.0.2.1", hop+",", pad[1:]+","+hop)) // no room for the first line
	// An address that is cut in two is not another address.
	for n := range 9 {
		line := "111.2.3.4" + pad[:maxForwardedLen-n-1] + ","
		require.Equal(t, testPeer, clientOf(t, XForwardedFor, line), n)
		require.Equal(t, testPeer, clientOf(t, Forwarded, "for="+line), n)
	}
}

func TestKeyIsAnAddressOrASlash64(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		require.Equal(t, want, KeyOf(netip.MustParseAddr(a)) == KeyOf(netip.MustParseAddr(b)), "%s %s", a, b)
	}
	same("192.0.2.1", "192.0.2.1", true)
	same("192.0.2.1", "192.0.2.2", false)
	same("192.0.2.1", "::ffff:192.0.2.1", true)
	same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true)
	same("2001:db8:1:2::1", "2001:db8:1:3::1", false)
	same("::192.0.2.1", "192.0.2.1", false)
	same("0.0.0.0", "::", false)
	same("fe80::1%a", "fe80::1%b", true)
	require.Zero(t, KeyOf(netip.Addr{}))
}

// fuzzHeader checks what holds whatever a client sends.
func fuzzHeader(f *testing.F, header string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s, "")
		f.Add("", s)
		f.Add("192.0.2.1,"+s, "for=192.0.2.1,"+s)
	}
	p := proxies(f, header, "10.0.0.0/8")
	peer := netip.MustParseAddr(testPeer)
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := [][]byte{[]byte(first), []byte(second)}
		got := p.walk(peer, lines)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q: the client is %v", lines, got)
		}
		if string(lines[0]) != first || string(lines[1]) != second {
			t.Fatalf("%q, %q: the header was changed to %q", first, second, lines)
		}
		// What a proxy appends cannot be hidden.
		appended := []byte(second + ", 192.0.2.77")
		if header == Forwarded {
			appended = []byte(second + `, for="192.0.2.77"`)
		}
		if got := p.walk(peer, [][]byte{[]byte(first), appended}); got.String() != "192.0.2.77" && len(appended) < maxForwardedLen {
			t.Fatalf("%q, %q: the client is %v", first, appended, got)
		}
	})
}

func FuzzXForwardedFor(f *testing.F) {
	fuzzHeader(f, XForwardedFor,
		"", ",", "192.0.2.1", "10.0.0.2, 192.0.2.1:80", "[2001:db8::1]:443", "[", "]", "[]:", "::", ":::", "::ffff:10.0.0.1%a",
		"fe80::1%eth0", "unknown", strings.Repeat(",", 99), strings.Repeat("10.0.0.2,", 40), "1.2.3.4.5", "\x00\xff", "0x7f.1")
}

func FuzzForwarded(f *testing.F) {
	fuzzHeader(f, Forwarded,
		"", ",", ";", "=", "for=", "for=192.0.2.1", `for="192.0.2.1:80";by=_x`, `for="[2001:db8::1]:443"`, `for="\"`, `for="\\"`, `"`, `\`,
		`\"`, `for="a,b", for=10.0.0.2`, "for=unknown", "for=_x, for=_y", `for="[::ffff:10.0.0.1]"`, "for=10.0.0.2;for=10.0.0.3",
		strings.Repeat(`"`, 99), strings.Repeat("for=10.0.0.2,", 40), "for==", "for;for", "\x00=\xff")
}

// Who has connected to a Unix socket has no address: it is a proxy if all there are, and then
// what it says counts.
func TestPeersOfUnixSockets(t *testing.T) {
	h := headerWith("X-Forwarded-For", "192.0.2.1, 10.0.0.2")
	require.Equal(t, "192.0.2.1", proxies(t, "", "10.0.0.0/8", UnixPeers).Client(netip.Addr{}, h).String())
	require.Equal(t, "10.0.0.2", proxies(t, "", UnixPeers).Client(netip.Addr{}, h).String())
	require.False(t, proxies(t, "", "10.0.0.0/8").Client(netip.Addr{}, h).IsValid())
	require.False(t, proxies(t, "", "0.0.0.0/0", "::/0").Trusts(netip.Addr{}))
	require.False(t, (*Proxies)(nil).Trusts(netip.Addr{}))

	trusting := proxies(t, "", UnixPeers)
	require.False(t, trusting.Trusts(netip.MustParseAddr("127.0.0.1")))
	for _, none := range []string{"", "unix:", "unknown"} { // nginx names its own peers so
		require.False(t, trusting.Client(netip.Addr{}, headerWith("X-Forwarded-For", none)).IsValid(), none)
	}
	require.False(t, proxies(t, NoForwarded, UnixPeers).Client(netip.Addr{}, h).IsValid())
	require.Empty(t, CheckProxies([]string{UnixPeers}))
	require.Empty(t, Everybody([]string{UnixPeers}))
}
