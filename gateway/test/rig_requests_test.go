package test

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// trusting makes the text of a config file trust the proxies of this machine's
// usual address; 127.0.0.2 is a stranger.
func trusting(text string) string {
	return strings.Replace(text, `"port": 0`, `"port": 0, "trusted_proxies": ["127.0.0.1"]`, 1)
}

// answerTo sends a request and returns the status and the start of the body: of
// a stream its first event, of all else the whole.
func answerTo(t *testing.T, s *server, r testkit.Request) (status int, body string) {
	t.Helper()
	return answerOn(t, testkit.Dial(t, s.addr), "", r)
}

// answerOn is answerTo on an open connection, with bytes before the request.
func answerOn(t *testing.T, c *testkit.Conn, before string, r testkit.Request) (status int, body string) {
	t.Helper()
	c.Send(before + r.String())
	head := c.ReadHead(t)
	defer c.Close()
	if strings.HasPrefix(head.Get("Content-Type"), "text/event-stream") {
		event, err := testkit.NewReader(c.Body()).Next()
		require.NoError(t, err)
		return head.Status, event.Data
	}
	text, err := io.ReadAll(c.Body())
	require.NoError(t, err)
	return head.Status, string(text)
}

// lines makes headers of "Name: value".
func lines(texts ...string) (headers [][2]string) {
	for _, text := range texts {
		name, value, _ := strings.Cut(text, ": ")
		headers = append(headers, [2]string{name, value})
	}
	return headers
}

const (
	firefox    = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	navigation = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, s *server, from string) *testkit.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	c, err := d.Dial("tcp", s.addr)
	require.NoError(t, err)
	return testkit.NewConn(t, c)
}

func get(target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"
}

func post(target, body string) string {
	return "POST " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}
