package test

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The HTTP server forgets a stream that was about to begin if an answer before
// it, in the same packet, cannot be written any more. What the stream held is
// given back all the same.
func TestAStreamThatTheServerForgetsHoldsNothing(t *testing.T) {
	s := startServer(t, parts{})
	request := "OPTIONS " + testkit.DefaultPath + " HTTP/1.1\r\nHost: h\r\n\r\n" +
		"GET " + subscribeTarget([]string{"news"}) + " HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"
	for range 200 {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).SetLinger(0))
		_, err = c.Write([]byte(request))
		require.NoError(t, err)
		require.NoError(t, c.Close()) // a reset
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		st := s.sessions.Stats()
		return st.Streams == 0 && st.Opening == 0
	}, "nothing held")
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{})
	c.ExpectConnect(t)
	c.Close()
}

// The HTTP server allocates what Content-Length says before it reads a body:
// only callers with a key may say megabytes.
func TestLargeBodiesNeedAKeyBeforeTheyAreRead(t *testing.T) {
	s := startServer(t, parts{})
	f := func(key string, want int) {
		t.Helper()
		head := "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: " + key + "\r\n" +
			"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		_, err = c.Write([]byte(head))
		require.NoError(t, err)
		if want == 200 {
			body := `{"channel": "news", "data": "` + strings.Repeat("x", 1000000-31) + `"}`
			require.Len(t, body, 1000000)
			_, err = c.Write([]byte(body))
			require.NoError(t, err)
		}
		require.Equal(t, want, finalStatus(t, c))
	}
	f(testKey, 200)
	f("wrong", 401)
	f("", 401)
}

// A target may name the host: the body is read all the same.
func TestBodiesOfAbsoluteTargets(t *testing.T) {
	s := startServer(t, parts{})
	f := func(path, body string, says string) {
		t.Helper()
		head, got := roundTrip(t, s.addr, "POST http://h"+path+" HTTP/1.1\r\nHost: h\r\nX-API-Key: "+testKey+
			"\r\nTransfer-Encoding: chunked\r\n\r\n"+strconv.FormatInt(int64(len(body)), 16)+"\r\n"+body+"\r\n0\r\n\r\n")
		require.Equal(t, 200, head.Status, got)
		require.Contains(t, got, says)
	}
	f("/connection/uni_sse", `{"subs":{"news":{}}}`, "")
	f("/api/publish?x", `{"channel":"news","data":1}`, `{"result":{}}`)
	f("/connection/uni_sse/ticket", `{"token":"`+testkit.HS256(t, testSecret, map[string]any{"sub": "u"})+`"}`, `"ticket"`)
}

// The methods that have no use for a body are answered as if there were none.
func TestHeadWithABody(t *testing.T) {
	s := startServer(t, parts{})
	f := func(path string, want int) {
		t.Helper()
		c := testkit.Dial(t, s.addr)
		defer c.Close()
		c.Send("HEAD " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
		head := c.ReadHead(t)
		require.Equal(t, want, head.Status)
		require.Equal(t, "close", head.Get("Connection"))
	}
	f("/health", 200)
	f("/connection/uni_sse", 405)
	f("/api/publish", 405)
	f("/nowhere", 404)
}

// finalStatus reads answers until one that is not 1xx.
func finalStatus(t *testing.T, c net.Conn) int {
	t.Helper()
	for r := bufio.NewReader(c); ; {
		answer, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		if answer.StatusCode >= 200 {
			require.NoError(t, answer.Body.Close())
			return answer.StatusCode
		}
	}
}
