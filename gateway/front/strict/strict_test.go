package strict

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// answersOf sends raw to a server behind Handler, closes that half, and returns
// the statuses of its answers, and how often its handler was called.
func answersOf(t testing.TB, raw string) (statuses []int, calls int) {
	t.Helper()
	srv := &fasthttp.Server{
		Handler: Handler(func(ctx *fasthttp.RequestCtx) {
			calls++
			_, _ = ctx.WriteString("ok")
		}, func(ctx *fasthttp.RequestCtx, status int, message string) {
			ctx.Error(message, status)
		}),
		HeaderReceived: func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			Prepare(h)
			return fasthttp.RequestConfig{}
		},
		SecureErrorLogMessage: true, NoDefaultDate: true, Logger: silent{}, ReadBufferSize: 64 << 10,
	}
	in := &halfConn{in: strings.NewReader(raw)}
	if err := srv.ServeConn(in); err != nil && in.out.Len() == 0 {
		t.Logf("%q: %v", raw, err)
	}
	for br := bufio.NewReader(&in.out); ; {
		var resp fasthttp.Response
		resp.SkipBody = strings.HasPrefix(raw, "HEAD")
		if err := resp.Read(br); errors.Is(err, io.EOF) {
			return statuses, calls
		} else if err != nil {
			t.Fatalf("%q: the answers do not parse: %v", raw, err)
		}
		if resp.StatusCode() != fasthttp.StatusContinue {
			statuses = append(statuses, resp.StatusCode())
		}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// halfConn is a connection whose peer sent everything and reads on.
type halfConn struct {
	net.Conn
	in  *strings.Reader
	out bytes.Buffer
}

func (c *halfConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *halfConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *halfConn) Close() error                { return nil }
func (c *halfConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }
func (c *halfConn) LocalAddr() net.Addr         { return &net.TCPAddr{} }

// behind is a request that must not be answered if the one before it ended the
// connection.
const behind = "GET /second HTTP/1.1\r\nHost: h\r\n\r\n"

func TestHandlerServesWhatIsFine(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		statuses, calls := answersOf(t, raw+behind)
		require.Equal(t, []int{200, 200}, statuses, "%q", raw)
		require.Equal(t, 2, calls)
	}
	f("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	f("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET / HTTP/1.1\r\nhOST:\th \t\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: a-b.example_x:\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Blank: \t \r\nx~!#$%&'*+.^_`|: y\r\n1: \x80\xff\t\"\r\n\r\n")
	f("GET /?a={\"b\":[1]}&c=%zz\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET http://h/x?http://other HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET HTTP://H:8/ HTTP/1.1\r\nHost: h:8\r\n\r\n")
	f("GET https://h HTTP/1.1\r\nHost: h\r\n\r\n")
	f("GET /?u=https://other/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
	f("OPTIONS / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
	f("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: h\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\n\r\nhello")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello")
	f("DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	f("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n")
	f("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\n\r\n")
	f("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	f("POST / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: anything\r\nContent-Length: 2\r\n\r\n{}")
	f("get / HTTP/1.1\r\nHost: h\r\n\r\n")
}

func TestHandlerServesAndCloses(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		statuses, calls := answersOf(t, raw+behind)
		require.Equal(t, []int{200}, statuses, "%q", raw)
		require.Equal(t, 1, calls)
	}
	f("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	f("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \t CHUNKED \r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\n")
	// A body that a front may not have seen.
	f("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	f("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(behind)) + "\r\n\r\n" + behind)
	// A line end that not everybody takes for one lets nothing through.
	f("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n")
	for _, v := range []string{"close", "Close", "keep-alive, close", "CLOSE\t,x", "close,"} {
		f("GET / HTTP/1.1\r\nHost: h\r\nConnection: " + v + "\r\n\r\n")
	}
	f("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n")
	f("GET / HTTP/1.0\r\n\r\n")
	f("GET / HTTP/1.0\r\nHost: h\r\n\r\n")
	f("GET / HTTP/1.0\r\nConnection: keep-alive, Close\r\n\r\n")
}

// refusal returns a function that expects a request to be refused with a status, and
// to be the last of its connection.
func refusal(t *testing.T) func(status int, raw string) {
	return func(status int, raw string) {
		t.Helper()
		statuses, calls := answersOf(t, raw+behind)
		require.Equal(t, []int{status}, statuses, "%q", raw)
		require.Zero(t, calls, "%q", raw)
	}
}

// head is a request but for its headers.
func head(headers string) string { return "POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" }

func TestHandlerRefusesLinesThatNotAllReadAlike(t *testing.T) {
	f := refusal(t)
	f(400, "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n")
	f(400, "GET / HTTP/1.1\nHost: h\n\n")
	f(400, "GET / HTTP/1.1\r\nHost: h\r\n\n")
	f(400, head("X: y\n"))
	f(400, head("X: a\rb\r\n"))
	f(400, head("X: a\r\r\n"))
	f(400, head("X: a\x00b\r\n"))
	f(400, head("X: a\x7f\r\n"))
	f(400, head("X: a\r\n folded\r\n"))
	f(400, head("X: a\r\n\tfolded\r\n"))
	f(400, "GET / HTTP/1.1\r\n Host: h\r\n\r\n")
	f(400, head("X : y\r\n"))
	f(400, head("X\t: y\r\n"))
	f(400, head("X Y: z\r\n"))
	f(400, head(": y\r\n"))
	f(400, head("X\r\n"))
	f(400, head("X\x00Y: z\r\n"))
	f(400, head("X\x80: z\r\n"))
	f(400, head("X(Y): z\r\n"))
	f(400, head("\"X\": z\r\n"))
}

func TestHandlerRefusesFramingThatNotAllReadAlike(t *testing.T) {
	f := refusal(t)
	f(400, head("Content-Length: 5\r\nContent-Length: 5\r\n")+"hello")
	f(400, head("Content-Length: 5\r\ncontent-length: 6\r\n")+"hello")
	f(400, head("Content-Length: 5, 5\r\n")+"hello")
	f(400, head("Content-Length: +5\r\n")+"hello")
	f(400, head("Content-Length: -5\r\n")+"hello")
	f(400, head("Content-Length: 0x5\r\n")+"hello")
	f(400, head("Content-Length: 5 5\r\n")+"hello")
	f(400, head("Content-Length:\r\n")+"hello")
	f(400, head("Content-Length: 18446744073709551621\r\n")+"hello")
	f(400, head("Content-Length: 0000000000000000000005\r\n")+"hello")
	f(400, head("Content-Length : 5\r\n")+"hello")
	f(400, head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: identity\r\n"))
	f(400, head("Transfer-Encoding: identity\r\nContent-Length: 5\r\n")+"hello")
	f(400, head("Transfer-Encoding: gzip, chunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked, identity\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: xchunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked;x=y\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: \"chunked\"\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding: \x0bchunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding:\r\n chunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding:\r\n")+"0\r\n\r\n")
	f(400, head("Transfer-Encoding : chunked\r\n")+"0\r\n\r\n")
	f(400, head("Transfer\tEncoding: chunked\r\nTransfer Encoding: chunked\r\n")+"0\r\n\r\n")
	f(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked\r\n")+"0\r\nX-Api-Key: forged\r\n\r\n")
	f(400, head("X-A: 1\r\nTransfer-Encoding: chunked\r\n")+"0\r\nX-A: forged\r\n\r\n")
	f(400, head("Transfer-Encoding: chunked\r\nTrailer: Forwarded\r\n")+"0\r\nForwarded: for=192.0.2.1\r\n\r\n")
}

func TestHandlerRefusesBodiesWhereThereAreNone(t *testing.T) {
	f := refusal(t)
	f(400, "TRACE / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
	for _, method := range []string{"GET", "HEAD", "TRACE"} {
		f(400, method+" / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	}
}

func TestHandlerRefusesHostsThatAreNone(t *testing.T) {
	f := refusal(t)
	f(400, "GET / HTTP/1.1\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nX: y\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
	f(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
	for _, host := range []string{
		"", "a b", "a,b", "a/b", "a?b", "a#b", "u@h", "h:80:80", "h:x", "h:-1", "h:123456", ":80", "[::1", "::1", "[::1]x", "[1.2.3.4]", "[v1.x]", "[]",
		"<h>", "h\\x", "h\"", "b\xfccher",
	} {
		f(400, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
}

func TestHandlerRefusesTargetsOfOthers(t *testing.T) {
	f := refusal(t)
	f(400, "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET /?a#b HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET * HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET x HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET http://h:81/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET ://h/ HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET /  HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "GET /\t HTTP/1.1\r\nHost: h\r\n\r\n")
}

func TestHandlerRefusesOtherVersionsAndMethods(t *testing.T) {
	f := refusal(t)
	f(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	for _, version := range []string{"0.9", "1.2", "1.9", "2.0", "3.0"} {
		f(505, "GET / HTTP/"+version+"\r\nHost: h\r\n\r\n")
	}
	for _, version := range []string{"HTTP/1", "HTTP/1.10", "HTTP/01.1", "http/1.1", "HTTP/1,1", "HTTP/1.1 ", "HTTP 1.1", "HTTP/1.x", ""} {
		f(400, "GET / "+version+"\r\nHost: h\r\n\r\n")
	}
	f(400, "GET /\r\n")
	f(400, "G@T / HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, " GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	f(400, "\tGET / HTTP/1.1\r\nHost: h\r\n\r\n")
}

func TestHandlerRefusesExpectations(t *testing.T) {
	f := refusal(t)
	f(417, head("Expect: 200-ok\r\nContent-Length: 5\r\n")+"hello")
	f(417, head("Expect: 100-continue, x\r\n"))
	f(417, head("Expect:\r\n"))
	f(417, head("Expect: 100-continue\r\nExpect: x\r\n"))
}

// withBodies sends requests to a strict server whose heads go through prepare,
// one for each way to frame a body, and returns all that comes back for each.
func withBodies(t *testing.T, handler fasthttp.RequestHandler, prepare func(*fasthttp.RequestHeader), headers, body string) (answers []string) {
	t.Helper()
	ln := fasthttputil.NewInmemoryListener()
	srv := &fasthttp.Server{
		Handler: Handler(handler, func(ctx *fasthttp.RequestCtx, status int, message string) { ctx.Error(message, status) }),
		HeaderReceived: func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			Prepare(h)
			prepare(h)
			return fasthttp.RequestConfig{}
		},
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked", "Content-Length: 1000\r\nExpect: 100-continue"} {
		c, err := ln.Dial()
		require.NoError(t, err)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\n%s%s\r\n\r\n%s", headers, framing, body)
		answer, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(answer), "HTTP/1.1 "), "%s: %q", framing, answer)
		require.NoError(t, c.Close())
		answers = append(answers, string(answer))
	}
	require.NoError(t, ln.Close())
	require.NoError(t, <-done)
	return answers
}

// A body that is never read must not be waited for, nor asked for.
func TestRefusedBeforeItsBodyArrives(t *testing.T) {
	handler := func(*fasthttp.RequestCtx) { t.Error("the handler was called") }
	for _, answer := range withBodies(t, handler, func(*fasthttp.RequestHeader) {}, "X: y\r\n z\r\n", "") {
		require.True(t, strings.HasPrefix(answer, "HTTP/1.1 400 "), "%q", answer)
	}
}

// What is told to be skipped is neither read nor asked for, and what stands in
// its place is no request.
func TestSkippedBodyIsNotRead(t *testing.T) {
	handler := func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(401) }
	for _, answer := range withBodies(t, handler, SkipBody, "", behind) {
		require.True(t, strings.HasPrefix(answer, "HTTP/1.1 401 "), "%q", answer)
		require.Contains(t, answer, "\r\nConnection: close\r\n")
	}
}

// Whatever is sent: never more requests reach the handler than a plain reader of
// RFC 9112 would see, and nothing panics.
func FuzzStrict(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + behind,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nA: b\r\n\r\n" + behind,
		"GET / HTTP/1.1\r\nHost: h\n\n" + behind, "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /\r\n", "0 / HTTP/1.0\n\r\n", "\r\n\n\r\nGET / HTTP/1.0\r\nHost: [::1]:8\r\nConnection: keep-alive\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, calls := answersOf(t, raw)
		if most := strings.Count(raw, "HTTP/1."); calls > most {
			t.Fatalf("%d requests were served of %q", calls, raw)
		}
		// The strictest reading but for the request line: each request
		// that is served ends with an empty line of its own.
		if most := strings.Count(raw, "\n\r\n"); calls > most {
			t.Fatalf("%d requests were served of %q", calls, raw)
		}
	})
}
