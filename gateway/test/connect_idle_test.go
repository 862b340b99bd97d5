package test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// launchServer starts a gateway whose section http_server has something added.
func launchServer(t *testing.T, add string) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	text := strings.NewReplacer("%s", "", `"port": 0}`, `"port": 0`+add+`}`).Replace(baseConfig)
	s := launch(t, text)
	t.Cleanup(func() { s.stop(t) })
	return s
}

const getHealth = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"

// expectEnd waits until the server closed a connection, and returns what it sent
// before.
func expectEnd(t *testing.T, c *testkit.Conn) string {
	t.Helper()
	require.NoError(t, c.NetConn().SetReadDeadline(time.Now().Add(patience)))
	rest, err := io.ReadAll(c.NetConn())
	require.NoError(t, err)
	return string(rest)
}

// The balancer in front is to be the one that closes: a server that does it at the same
// moment loses a request.
func TestIdleTimeOfConnectionsIsAnOption(t *testing.T) {
	require.Greater(t, config.Default().HTTPServer.IdleTimeout, 60*time.Second)
	s := launchServer(t, `, "idle_timeout": "200ms"`)
	c := testkit.Dial(t, s.addr)
	c.Send(getHealth)
	require.Equal(t, 200, c.ReadHead(t).Status)
	_, err := io.ReadAll(c.Body())
	require.NoError(t, err)
	require.Empty(t, expectEnd(t, c), "no answer to nothing")
}
