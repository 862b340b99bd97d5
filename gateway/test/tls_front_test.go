package test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// startFront starts a gateway with more keys in http_server, each beginning
// with a comma.
func startFront(t *testing.T, keys string) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	text := fmt.Sprintf(baseConfig, "", "", "", "")
	s := launch(t, strings.Replace(text, `"port": 0`, `"port": 0`+keys, 1))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// A request that trickles is answered 408 when its time is over, however often
// a byte comes.
func TestTricklingRequestsGet408(t *testing.T) {
	s := startFront(t, `, "header_timeout": "200ms", "read_timeout": "400ms"`)
	trickle := func(start string) (answer string) {
		c := testkit.Dial(t, s.addr)
		_ = c.TrySend(start)
		answered := make(chan string)
		go func() {
			_ = c.NetConn().SetReadDeadline(time.Now().Add(time.Minute))
			got, _ := io.ReadAll(c.NetConn())
			answered <- string(got)
		}()
		for {
			_ = c.TrySend("x")
			select {
			case got := <-answered: // "" if it took longer than a test waits
				return got
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	f := func(name, start string) {
		t.Helper()
		got := ""
		// A connection without a request is closed when the time is over, and a
		// busy machine may be late with the request.
		for deadline := time.Now().Add(time.Minute); got == "" && time.Now().Before(deadline); {
			got = trickle(start)
		}
		require.True(t, strings.HasPrefix(got, "HTTP/1.1 408 "), "%s: %q", name, got)
	}
	f("head", "GET / HTTP/1.1\r\nHost: h\r\nX-A: ")
	f("body of a connect", "POST /connection/uni_sse HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n")
	f("body of a call", "POST /api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n")
}

func TestHalfOpenLimitOfTheGateway(t *testing.T) {
	s := startFront(t, `, "half_open_limit": 2, "idle_limit": 1, "header_timeout": "1h", "read_timeout": "1h"`)
	ln := s.listeners[0]
	slow := testkit.Dial(t, s.addr)
	slow.Send("GET /hea")
	silent := testkit.Dial(t, s.addr)
	testkit.EventuallyWithin(t, 30*time.Second, func() bool { return s.waiting.Stats().Half == 2 }, "two half-open connections")
	over := testkit.Dial(t, s.addr)
	_, err := over.TryReadHead()
	require.Error(t, err, "one more is closed")
	testkit.EventuallyWithin(t, 30*time.Second, func() bool { return ln.Stats().HalfOpenRefused == 1 }, "it to be counted")

	require.NoError(t, silent.Close())
	testkit.EventuallyWithin(t, 30*time.Second, func() bool { return s.waiting.Stats().Half == 1 }, "a place to be free")
	for range 5 { // streams take no place
		s.subscribe(t, "news").ExpectConnect(t)
	}
	c := testkit.Dial(t, s.addr)
	for range 3 { // nor does a connection that is idle
		c.Send(getHealth)
		require.NotContains(t, c.ReadHead(t).Raw, "Connection: close")
		_, err = io.ReadAll(c.Body())
		require.NoError(t, err)
	}
	testkit.EventuallyWithin(t, 30*time.Second, func() bool { // as long as that has not been idle for a second
		more := testkit.Dial(t, s.addr)
		more.Send(getHealth)
		head := more.ReadHead(t).Raw
		_, err = io.ReadAll(more.Body())
		require.NoError(t, err)
		return !strings.Contains(head, "Connection: close")
	}, "a newer one to stay")
	require.Empty(t, expectEnd(t, c), "of two idle ones the older one goes")
	slow.Send("lth HTTP/1.1\r\nHost: h\r\n\r\n")
	require.Equal(t, 200, slow.ReadHead(t).Status)
}
