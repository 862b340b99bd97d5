package node

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

func TestTheLastTextIsMadeOnce(t *testing.T) {
	var last lastText
	long := strings.Repeat("x", lastTextMax+1)
	for _, text := range []string{"", "a", "a", "b", long, "a"} {
		require.Equal(t, text, last.text([]byte(text)))
	}
	b := []byte("example.com")
	require.Equal(t, "example.com", last.text(b))
	require.Zero(t, testing.AllocsPerRun(100, func() { last.text(b) }))
	b[0] = 'E'
	require.Equal(t, "Example.com", last.text(b), "nothing is kept of who asked")
	last.text([]byte(long))
	require.Equal(t, "Example.com", *last.last.Load(), "what is long is not kept")
}
func TestPlainRequests(t *testing.T) {
	c := new(config.Config)
	c.UniSSE.HandlerPrefix, c.HTTPAPI.HandlerPrefix, c.Health.HandlerPrefix = "/connection/uni_sse", "/api", "/health"
	p := newPlainPaths(c)
	for head, want := range map[string]bool{
		"GET /health HTTP/1.1\r\nHost: h\r\n\r\n":                                           true,
		"POST /api/publish HTTP/1.1\r\nHost: h\r\n\r\n":                                     true,
		"POST /api/broadcast HTTP/1.1\r\nHost: h\r\n\r\n":                                   false,
		"POST /api/batch HTTP/1.1\r\nHost: h\r\n\r\n":                                       false,
		"GET /debug/pprof/profile HTTP/1.1\r\nHost: h\r\n\r\n":                              false,
		"GET /connection/uni_sse?cf_connect=%7B%7D HTTP/1.1\r\nHost: h\r\n\r\n":             true,
		"POST /connection/uni_sse HTTP/1.1\r\nHost: h\r\n\r\n":                              true,
		"GET /connection/uni_sse?cf_connect=%22recover%22:true HTTP/1.1\r\nHost: h\r\n\r\n": false,
		"GET /connection/uni_sse HTTP/1.1\r\nLast-Event-ID: x\r\nHost: h\r\n\r\n":           false,
		"GET /connection/uni_sse HTTP/1.1\r\nlast-event-id: x\r\nHost: h\r\n\r\n":           false,
		"GET /connection/uni_sse/ HTTP/1.1\r\nHost: h\r\n\r\n":                              false,
		"":   false,
		" ":  false,
		"  ": false,
	} {
		require.Equal(t, want, p.plain([]byte(head)), "%q", head)
	}
	head := []byte("GET /connection/uni_sse?cf_connect=%7B%7D HTTP/1.1\r\nHost: h\r\n\r\n")
	require.Zero(t, testing.AllocsPerRun(100, func() { p.plain(head) }))
}
