//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestResolveRefusesWhatIsNotLoopback(t *testing.T) {
	f := func(url string, allow bool, want string) {
		t.Helper()
		addr, _, err := resolve(t.Context(), url, allow)
		if want == "" {
			require.NoError(t, err, url)
			return
		}
		require.ErrorContains(t, err, want, url)
		require.False(t, addr.IsValid())
	}
	f("http://127.0.0.1:8000/x", false, "")
	f("http://127.9.9.9/x", false, "")
	f("http://[::1]:8000/x", false, "")
	f("http://localhost:8000/x", false, "")
	f("http://192.0.2.1:8000/x", false, "-allow-remote")
	f("http://0.0.0.0:8000/x", false, "-allow-remote")
	f("http://[2001:db8::1]:8000/x", false, "-allow-remote")
	f("http://[::ffff:192.0.2.1]:8000/x", false, "-allow-remote")
	f("http://192.0.2.1:8000/x", true, "")
	f("https://127.0.0.1/x", false, "TLS")
	f("127.0.0.1:8000", false, "bench:")
	f("http://127.0.0.1:99999/x", false, "port")
}

func TestARemoteTargetIsRefusedBeforeAnythingIsSent(t *testing.T) {
	f := &fanOutFlags{streams: 1, size: 128, rounds: 1, rate: 1, conns: 1, inFlight: 1, pattern: "closed"}
	f.workers, f.ramp, f.quiet = 1, 1, 1
	f.url, f.api, f.anonymous, f.channel = "http://192.0.2.1/connection/uni_sse", "http://127.0.0.1:1/api", true, "bench"
	_, err := runFanOut(t.Context(), f)
	require.ErrorContains(t, err, "-allow-remote")

	f.url, f.api = "http://127.0.0.1:1/connection/uni_sse", "http://192.0.2.1/api"
	_, err = runFanOut(t.Context(), f)
	require.ErrorContains(t, err, "-allow-remote")
}

func TestTargetFlagsMustDescribeOneServer(t *testing.T) {
	f := func(flags targetFlags, want string) {
		t.Helper()
		_, err := flags.external()
		require.ErrorContains(t, err, want)
	}
	f(targetFlags{api: "http://127.0.0.1/api"}, "-url")
	f(targetFlags{url: "http://127.0.0.1/x"}, "-anonymous")
	f(targetFlags{url: "http://127.0.0.1/x", anonymous: true, pids: "12,x"}, "-P")

	got, err := (&targetFlags{}).external()
	require.NoError(t, err)
	require.Nil(t, got)
	got, err = (&targetFlags{url: "http://127.0.0.1/x", api: "http://127.0.0.1/api/", secret: "s", pids: "12,34", channel: "c"}).external()
	require.NoError(t, err)
	require.Equal(t, &target{streamURL: "http://127.0.0.1/x", apiURL: "http://127.0.0.1/api", secret: "s", channel: "c", pids: []int{12, 34}}, got)
}

func TestStreamRequestCarriesTokenAndChannel(t *testing.T) {
	tg := &target{channel: `a"b&c`, secret: "secret"}
	_, u, err := resolve(t.Context(), "http://127.0.0.1:8000/connection/uni_sse", false)
	require.NoError(t, err)
	raw, err := tg.streamRequest(u, 7)
	require.NoError(t, err)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "/connection/uni_sse", req.URL.Path)
	require.Equal(t, "127.0.0.1:8000", req.Host)
	var connect struct {
		Token string
		Subs  map[string]struct{}
	}
	require.NoError(t, json.Unmarshal([]byte(req.URL.Query().Get("cf_connect")), &connect))
	require.Contains(t, connect.Subs, tg.channel)
	token, err := jwt.Parse(connect.Token, func(*jwt.Token) (any, error) { return []byte("secret"), nil })
	require.NoError(t, err)
	sub, err := token.Claims.GetSubject()
	require.NoError(t, err)
	require.Equal(t, "bench-7", sub)

	raw, err = tg.request(u, "", "AbC-_9")
	require.NoError(t, err)
	req, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "AbC-_9", req.Header.Get("Last-Event-ID"))

	tg.secret = ""
	raw, err = tg.streamRequest(u, 7)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "Last-Event-ID")
	require.NotContains(t, string(raw), "token")
}
