package sse_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// closes waits until so many streams have ended for a reason.
func (n *node) closes(t testing.TB, reason loop.Reason, want int) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		return n.group.Stats().Closes[reason] == uint64(want)
	}, fmt.Sprintf("%d ends for the reason %s", want, reason))
}

const plainGet = "GET " + testkit.DefaultPath + " HTTP/1.1\r\nHost: h\r\n\r\n"

func plainPost(body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", testkit.DefaultPath, len(body), body)
}

// What comes in one piece with the request is in the HTTP server's buffer, where
// epoll does not see it.
func TestNothingMayComeWithTheRequest(t *testing.T) {
	n := newNode(t, nil)
	ended := 0
	f := func(name, raw string) {
		t.Run(name, func(t *testing.T) {
			c := testkit.Dial(t, n.addr)
			c.Send(raw)
			head := c.ReadHead(t)
			require.Equal(t, 400, head.Status)
			require.Equal(t, "close", head.Get("Connection"))
			body, err := io.ReadAll(c.Body())
			require.NoError(t, err)
			require.Contains(t, string(body), "nothing may follow")
			require.NoError(t, c.Close())
			ended++
			n.closes(t, loop.ReasonInput, ended)
			n.sessionsOpen(t, 0)
		})
	}
	f("a_request", plainGet+plainGet)
	f("many_requests", plainGet+plainGet+plainGet+plainGet+plainGet+plainGet+plainGet+plainGet)
	f("a_byte", plainPost("{}")+"x")
	f("line_ends_and_a_byte", plainPost("{}")+"\r\nx")
	f("too_many_line_ends", plainPost("{}")+"\r\n\r\n\n")
	f("a_smuggled_request", plainPost("{}")+"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
	f("behind_a_chunked_body", "POST "+testkit.DefaultPath+" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nx")
	f("64_KiB", plainGet+string(make([]byte, 64<<10)))
}

// Old clients end a body with a line end that its length does not count.
func TestALineEndMayComeWithTheRequest(t *testing.T) {
	n := newNode(t, nil)
	for _, raw := range []string{plainPost("{}") + "\r\n", plainPost("{}") + "\r\n\r\n", plainGet + "\n"} {
		c := testkit.Dial(t, n.addr)
		c.Send(raw)
		require.Equal(t, 200, c.ReadHead(t).Status)
		ev, err := testkit.NewReader(c.Body()).Next()
		require.NoError(t, err)
		require.Contains(t, ev.Data, `{"connect"`)
		n.sessionsOpen(t, 1)
		require.NoError(t, c.Close())
		n.sessionsOpen(t, 0)
	}
	require.Zero(t, n.group.Stats().Closes[loop.ReasonInput])
}

func TestNothingMayFollowTheRequest(t *testing.T) {
	n := newNode(t, kinds)
	for i, input := range []string{"x", plainGet, "\r\n\r\n\r\n"} {
		c, _ := n.subscribe(t, subs("rec:a", "joins:b"))
		_, err := c.Conn().Write([]byte(input))
		require.NoError(t, err)
		n.closes(t, loop.ReasonInput, i+1)
		n.sessionsOpen(t, 0)
		c.Close()
	}
	c, _ := n.subscribe(t, subs("news"))
	_, err := c.Conn().Write([]byte("\r\n"))
	require.NoError(t, err)
	n.publish(t, "news", `1`)
	c.Expect(t, `{"channel":"news","pub":{"data":1}}`)
}

// The socket is not read where the client has sent nothing but its request.
func TestAnEarlyHalfCloseIsLeftToTheLoop(t *testing.T) {
	n := newNode(t, nil)
	c := testkit.Dial(t, n.addr)
	c.Send(plainGet)
	require.NoError(t, c.NetConn().(interface{ CloseWrite() error }).CloseWrite())
	n.closes(t, loop.ReasonClientGone, 1)
}
