package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// bannerOf starts a development server with flags, and returns it and what it
// tells a person on a machine with the address own.
func bannerOf(t *testing.T, own string, flags map[string]string) (n *node.Node, text string) {
	t.Helper()
	if flags["http_server.port"] == "" {
		flags["http_server.port"] = "0"
	}
	cfg, report, err := config.Load(config.Source{Dir: t.TempDir(), Flags: flags, Dev: &config.Dev{Secret: testkit.TokenSecret, APIKey: testkit.APIKey}})
	require.NoError(t, err)
	n, err = node.New(cfg, node.Options{Dev: true, Verify: true})
	require.NoError(t, err)
	require.NoError(t, n.Start())
	t.Cleanup(func() {
		n.Verify()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, n.Stop(ctx))
	})
	var out bytes.Buffer
	require.NoError(t, banner(&out, n, cfg, report.Profile(), testkit.MachineAt(t, "127.0.0.1/8", own)))
	return n, out.String()
}

// ownAddress is an address of this machine that is not a loopback one.
func ownAddress(t *testing.T) string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.String()
		}
	}
	t.Skip("this machine has loopback addresses only")
	return ""
}

// sessionAt asks for the development session the way the page at a link does.
func sessionAt(t *testing.T, link, host string) (status int) {
	t.Helper()
	base, key, _ := strings.Cut(link, "#")
	r, err := http.NewRequest(http.MethodGet, base+"dev/session", nil)
	require.NoError(t, err)
	if host != "" {
		r.Host = host
	}
	if key != "" {
		r.Header.Set("X-Sluice-Key", key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

var bannerLinks = regexp.MustCompile(`(?m)^  (?:Live page|elsewhere) +(\S+)$`)

func linksOf(text string) (links []string) {
	for _, m := range bannerLinks.FindAllStringSubmatch(text, -1) {
		links = append(links, m[1])
	}
	return links
}

func TestDevelopmentOnLoopback(t *testing.T) {
	g, text := bannerOf(t, "10.1.2.3/8", map[string]string{})
	require.Contains(t, text, "development mode: this machine only")
	require.NotContains(t, text, "OTHER MACHINES")
	_, port, err := net.SplitHostPort(g.Addr())
	require.NoError(t, err)
	require.Equal(t, []string{"http://localhost:" + port + "/"}, linksOf(text))
	require.NotContains(t, text, "10.1.2.3")
	require.Equal(t, 200, sessionAt(t, "http://"+g.Addr()+"/", ""))
}

func TestTheBannerSaysWhatTheProfileSets(t *testing.T) {
	_, text := bannerOf(t, "10.1.2.3/8", map[string]string{"edge.profile": "gclb"})
	require.Contains(t, text, "\n  Profile     gclb sets client.ping_interval 10s, uni_sse.max_lifetime 24s, ")
}

// A development server that others reach says so, gives its secrets to nobody but
// this machine, whatever a Host header says, and prints links that work.
func TestDevelopmentOnAllAddresses(t *testing.T) {
	own := ownAddress(t)
	g, text := bannerOf(t, own, map[string]string{"http_server.address": "0.0.0.0"})
	require.Contains(t, text, "OTHER MACHINES REACH IT, too (")
	require.NotContains(t, text, "this machine only")
	ip, _, _ := strings.Cut(own, "/")
	_, port, err := net.SplitHostPort(g.Addr())
	require.NoError(t, err)
	outside := "http://" + ip + ":" + port + "/"
	for _, host := range []string{"", "localhost", "localhost:" + port, "127.0.0.1"} {
		require.Equal(t, 403, sessionAt(t, outside, host), "host %q", host)
	}
	links := linksOf(text)
	require.Len(t, links, 2)
	require.Equal(t, "http://localhost:"+port+"/", links[0])
	require.True(t, strings.HasPrefix(links[1], outside+"#"), links[1])
	for _, link := range links {
		require.Equal(t, 200, sessionAt(t, link, ""), link)
	}
	require.NotContains(t, text, "0.0.0.0:"+port+"/")
}

func TestDevelopmentOnOneAddress(t *testing.T) {
	own := ownAddress(t)
	ip, _, _ := strings.Cut(own, "/")
	_, text := bannerOf(t, own, map[string]string{"http_server.address": ip})
	require.Contains(t, text, "OTHER MACHINES REACH IT, too ("+ip)
	links := linksOf(text)
	require.Len(t, links, 1)
	require.Equal(t, 200, sessionAt(t, links[0], ""))
	page, _, _ := strings.Cut(links[0], "#")
	require.Equal(t, 403, sessionAt(t, page, "localhost"))
}

// The commands go where the API is.
func TestBannerOfTwoListeners(t *testing.T) {
	port := testkit.FreePort(t)
	_, text := bannerOf(t, "10.1.2.3/8", map[string]string{"http_server.internal_port": strconv.Itoa(port)})
	require.Contains(t, text, "curl 'http://localhost:"+strconv.Itoa(port)+"/api/publish'")
}

func TestAddressesThatOthersReach(t *testing.T) {
	list := testkit.MachineAt(t, "127.0.0.1/8", "::1/128", "fe80::1/64", "10.0.0.1/8", "2001:db8::1/64", "10.0.0.2/8")
	f := func(bound string, want ...string) {
		t.Helper()
		at, err := net.ResolveTCPAddr("tcp", bound)
		require.NoError(t, err)
		var got []string
		for _, a := range reachable(boundTo(at), list) {
			got = append(got, urlOf(boundTo(&net.TCPAddr{IP: a.AsSlice(), Port: at.Port}), true))
		}
		require.Equal(t, want, got)
	}
	f("0.0.0.0:80", "https://10.0.0.1:80", "https://10.0.0.2:80")
	f("[::]:80", "https://10.0.0.1:80", "https://[2001:db8::1]:80")
	require.Empty(t, reachable(boundTo(&net.TCPAddr{IP: net.IPv6zero}), func() ([]net.Addr, error) { return nil, errors.New("no") }))
}

// The broadcast route is for everybody: whoever starts it is told so.
func TestBannerOfTheBroadcastRoute(t *testing.T) {
	_, text := bannerOf(t, "10.1.2.3/8", map[string]string{"broadcast.enabled": "true"})
	require.Regexp(t, `Broadcast   http://localhost:\d+/broadcast/\{channel\}: to everybody`, text)
}

// On a Unix socket there is no link: it says how to get at it all the same.
func TestDevelopmentOnAUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "sluice")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s.sock")
	n, text := bannerOf(t, "10.1.2.3/8", map[string]string{"http_server.address": "unix:" + path})
	require.Equal(t, "unix:"+path, n.Addr())
	require.Contains(t, text, "development mode: this machine only")
	require.Contains(t, text, "Live page   at the address of a proxy to unix:"+path+", with /#"+n.LiveKey()+" behind it\n")
	require.Contains(t, text, "curl -N -G --unix-socket '"+path+"' 'http://localhost/connection/uni_sse'")
	require.Contains(t, text, "curl --unix-socket '"+path+"' 'http://localhost/api/publish'")
	require.NotContains(t, text, "8000")

	// Who comes through a proxy is not on this machine for that.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	answer, err := client.Get("http://localhost/dev/session")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
}
