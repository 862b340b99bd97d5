//go:build linux

package load

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
		addr, _, err := Resolve(t.Context(), url, allow)
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

func TestStreamRequestCarriesTokenAndChannel(t *testing.T) {
	tg := &Target{Channel: `a"b&c`, Secret: "secret"}
	_, u, err := Resolve(t.Context(), "http://127.0.0.1:8000/connection/uni_sse", false)
	require.NoError(t, err)
	raw, err := tg.StreamRequest(u, 7)
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
	require.Contains(t, connect.Subs, tg.Channel)
	token, err := jwt.Parse(connect.Token, func(*jwt.Token) (any, error) { return []byte("secret"), nil })
	require.NoError(t, err)
	sub, err := token.Claims.GetSubject()
	require.NoError(t, err)
	require.Equal(t, "bench-7", sub)

	raw, err = tg.Request(u, "", "AbC-_9")
	require.NoError(t, err)
	req, err = http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	require.NoError(t, err)
	require.Equal(t, "AbC-_9", req.Header.Get("Last-Event-ID"))

	tg.Secret = ""
	raw, err = tg.StreamRequest(u, 7)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "Last-Event-ID")
	require.NotContains(t, string(raw), "token")
}
