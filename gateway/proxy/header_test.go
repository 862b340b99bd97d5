package proxy

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
)

func sent(name, value string) auth.Header { return auth.Header{Name: name, Value: value} }

func emulated(name, value string) auth.Header {
	return auth.Header{Name: name, Value: value, Emulated: true}
}

func TestHeadersOfACall(t *testing.T) {
	b := newBackend(t)
	for _, c := range headerCases {
		t.Run(c.name, func(t *testing.T) {
			p, _ := newProxy(t, b.URL, func(all *HookOptions) {
				all.HTTPHeaders, all.EmulatedHeaders, all.StaticHeaders = c.o.HTTPHeaders, c.o.EmulatedHeaders, c.o.StaticHeaders
			})
			_, err := connect(p, c.given...)
			require.NoError(t, err)
			_, got := b.got()
			got.Del("Content-Length")
			for name, value := range map[string]string{
				"Content-Type": "application/json", "User-Agent": userAgent, "Accept-Encoding": "gzip",
			} {
				if c.want.Get(name) == "" {
					c.want.Set(name, value)
				}
			}
			require.Equal(t, c.want, got)
		})
	}
}

var everyFraming = []string{"Host", "Connection", "Transfer-Encoding", "Content-Length", "Accept-Encoding", "Expect", "Upgrade", "TE"}

// headerCases are headers of a connect, and those of the call that comes of it beside
// those that all have.
var headerCases = []struct {
	name  string
	o     HookOptions
	given []auth.Header
	want  http.Header
}{
	{"of every call", HookOptions{}, nil, http.Header{}},
	{"nothing is passed on unless listed", HookOptions{},
		[]auth.Header{sent("Cookie", "c"), emulated("Authorization", "a")}, http.Header{}},
	{"static", HookOptions{StaticHeaders: map[string]string{"x-static": "s", "User-Agent": "mine"}}, nil,
		http.Header{"X-Static": {"s"}, "User-Agent": {"mine"}}},
	{"of the client", HookOptions{HTTPHeaders: []string{"cookie", "X-REAL-IP"}},
		[]auth.Header{sent("Cookie", "a=b"), sent("x-real-ip", "10.0.0.1"), sent("X-Other", "no")},
		http.Header{"Cookie": {"a=b"}, "X-Real-Ip": {"10.0.0.1"}}},
	{"several values", HookOptions{HTTPHeaders: []string{"X-Many"}},
		[]auth.Header{sent("X-Many", "1"), sent("x-many", "2")}, http.Header{"X-Many": {"1", "2"}}},
	{"User-Agent of the client", HookOptions{HTTPHeaders: []string{"User-Agent"}},
		[]auth.Header{sent("User-Agent", "Mozilla/5.0")}, http.Header{"User-Agent": {"Mozilla/5.0"}}},
	{"emulated", HookOptions{EmulatedHeaders: []string{"authorization"}},
		[]auth.Header{emulated("AUTHORIZATION", "emul")}, http.Header{"Authorization": {"emul"}}},
	{"the observed mix",
		HookOptions{
			HTTPHeaders: []string{"Cookie", "X-Real-IP", "Authorization"}, EmulatedHeaders: []string{"Authorization"},
			StaticHeaders: map[string]string{"X-Static": "s", "Authorization": "static"},
		},
		[]auth.Header{sent("Cookie", "c=1"), emulated("Authorization", "emul"), emulated("x-real-ip", "1.2.3.4")},
		http.Header{"Authorization": {"emul"}, "Cookie": {"c=1"}, "X-Static": {"s"}}},
	{"the client's own beats emulated beats static",
		HookOptions{
			HTTPHeaders: []string{"A"}, EmulatedHeaders: []string{"A", "B"}, StaticHeaders: map[string]string{"A": "s", "B": "s", "C": "s"},
		},
		[]auth.Header{sent("a", "http"), emulated("a", "emul"), emulated("b", "emul")},
		http.Header{"A": {"http"}, "B": {"emul"}, "C": {"s"}}},
	{"listed for HTTP is not taken from emulated", HookOptions{HTTPHeaders: []string{"X-User"}},
		[]auth.Header{emulated("X-User", "root")}, http.Header{}},
	{"listed for emulated is not taken from HTTP", HookOptions{EmulatedHeaders: []string{"X-User"}},
		[]auth.Header{sent("X-User", "root")}, http.Header{}},
	{"Content-Type is ours",
		HookOptions{
			HTTPHeaders: []string{"Content-Type"}, EmulatedHeaders: []string{"content-type"}, StaticHeaders: map[string]string{"CONTENT-TYPE": "text/x"},
		},
		[]auth.Header{sent("Content-Type", "text/y"), emulated("Content-Type", "text/z")}, http.Header{}},
	{"what carries the call is ours", HookOptions{HTTPHeaders: everyFraming, EmulatedHeaders: everyFraming},
		[]auth.Header{
			sent("Host", "evil"), sent("Connection", "close"), sent("Transfer-Encoding", "chunked"), sent("Content-Length", "1"),
			sent("Accept-Encoding", "br"), emulated("Expect", "100-continue"), emulated("Upgrade", "h2c"), emulated("TE", "trailers"),
		}, http.Header{}},
	{"values that cannot be sent are left out", HookOptions{EmulatedHeaders: []string{"X-A", "X-B", "X-C", "Cookie"}},
		[]auth.Header{
			emulated("X-A", "a\r\nX-Evil: 1"), emulated("X-B", "a\x00b"), emulated("X-C", "fine \u00e9\t"),
			emulated("coo\u212aie", "kelvin"), emulated("x-a\r\n", "name"),
		}, http.Header{"X-C": {"fine \u00e9"}}},
}

func TestHookSaysWhichHeadersItNeeds(t *testing.T) {
	off, err := New(Options{})
	require.NoError(t, err)
	require.Empty(t, off.Headers())
	all := []auth.Header{sent("Cookie", "c"), sent("X-Other", "o"), emulated("Token", "t"), emulated("Cookie", "e")}
	require.Nil(t, off.RefreshHeaders(all))

	p, err := New(Options{
		Connect: &HookOptions{Endpoint: "http://h", Timeout: 1, HTTPHeaders: []string{"X-Real-IP", "cookie", "Host"}, EmulatedHeaders: []string{"A"}},
		Refresh: &HookOptions{Endpoint: "http://h", Timeout: 1, HTTPHeaders: []string{"Cookie", "Origin"}, EmulatedHeaders: []string{"TOKEN"}},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"cookie", "origin", "x-real-ip"}, p.Headers())
	require.Equal(t, []auth.Header{sent("Cookie", "c"), emulated("Token", "t")}, p.RefreshHeaders(all))
	require.Nil(t, p.RefreshHeaders([]auth.Header{sent("X-Real-Ip", "1")}))
}
