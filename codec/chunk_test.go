package codec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestAppendChunkWritesOneChunk(t *testing.T) {
	f := func(n int, head string) {
		t.Helper()
		body := strings.Repeat("x", n)
		require.Equal(t, "before"+head+body+"\r\n", string(AppendChunk([]byte("before"), FramingChunked, []byte(body))))
		require.Equal(t, "before"+body, string(AppendChunk([]byte("before"), FramingClose, []byte(body))))
	}
	f(1, "1\r\n")
	f(9, "9\r\n")
	f(10, "a\r\n")
	f(15, "f\r\n")
	f(16, "10\r\n")
	f(255, "ff\r\n")
	f(4096, "1000\r\n")
}

func TestAppendChunkOfNothingDoesNotEndTheBody(t *testing.T) {
	for _, framing := range []Framing{FramingChunked, FramingClose} {
		require.Equal(t, "before", string(AppendChunk([]byte("before"), framing, nil)))
	}
	events := readStream(t, FramingChunked, AppendChunk(nil, FramingChunked, nil), whole(PingFrame, FramingChunked, false))
	require.Len(t, events, 1)
}

func TestPutChunkHeadEndsWhereItIsTold(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		buf := []byte(strings.Repeat("_", maxChunkHead) + "body")
		at := putChunkHead(buf, maxChunkHead, n)
		require.Equal(t, want+"body", string(buf[at:]))
		require.Equal(t, strings.Repeat("_", at), string(buf[:at]))
	}
	f(0, "0\r\n")
	f(1, "1\r\n")
	f(0xf, "f\r\n")
	f(0x10, "10\r\n")
	f(0xabcdef, "abcdef\r\n")
	f(0x10000000, "10000000\r\n")
	f(0xffffffff, "ffffffff\r\n")
}

func TestTerminatorEndsChunkedBodiesOnly(t *testing.T) {
	require.Equal(t, "0\r\n\r\n", string(FramingChunked.Terminator()))
	require.Empty(t, FramingClose.Terminator())
	require.Equal(t, "\n", string(StreamOpening))
	require.Equal(t, "\r\n", string(ReferenceOpening))
}

// headLines are the lines of the head of a stream, by name.
func headLines(h *StreamHead, connection string, chunked bool) map[string]string {
	want := map[string]string{
		"Cache-Control":     "private, no-cache, no-store, no-transform, must-revalidate, max-age=0",
		"Connection":        connection,
		"Content-Type":      "text/event-stream; charset=utf-8",
		"Expire":            "0",
		"Pragma":            "no-cache",
		"Vary":              "Origin",
		"X-Accel-Buffering": "no",
		"Date":              "Fri, 09 Feb 2024 22:59:59 GMT",
	}
	if h.Incremental {
		want["Incremental"] = "?1"
	}
	if chunked {
		want["Transfer-Encoding"] = "chunked"
	}
	if h.Origin != "" {
		want["Access-Control-Allow-Origin"] = h.Origin
		want["Access-Control-Allow-Credentials"] = "true"
	}
	if h.Coding != CodingIdentity {
		want["Content-Encoding"] = h.Coding.String()
	}
	if h.VaryCoding {
		want["Vary"] = "Origin, Accept-Encoding"
	}
	if h.AllowHeaders != "" {
		want["Access-Control-Allow-Headers"] = h.AllowHeaders
	}
	return want
}

func TestStreamHeadSaysWhatTheProtocolSays(t *testing.T) {
	date := time.Date(2024, 2, 9, 23, 59, 59, 999, time.FixedZone("", 3600))
	f := func(h StreamHead, proto, connection string, chunked bool) {
		t.Helper()
		h.Date = date
		raw := AppendStreamHead([]byte("before"), &h)
		require.True(t, bytes.HasPrefix(raw, []byte("before")))
		raw = raw[len("before"):]

		conn := testkit.NewConn(t, recorded{bytes.NewReader(append(bytes.Clone(raw), h.Framing.Terminator()...))})
		head := conn.ReadHead(t)
		require.Equal(t, string(raw), head.Raw)
		require.Equal(t, []any{proto, 200, "OK"}, []any{head.Proto, head.Status, head.Reason})
		want := headLines(&h, connection, chunked)
		got := map[string]string{}
		for _, field := range head.Headers {
			require.NotContains(t, got, field.Name, "twice")
			got[field.Name] = field.Value
		}
		require.Equal(t, want, got)

		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(raw, h.Framing.Terminator()...))), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Empty(t, body)
		require.NoError(t, res.Body.Close())
		require.EqualValues(t, -1, res.ContentLength)
		require.Equal(t, connection == "close", res.Close)
	}
	f(StreamHead{}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{Close: true}, "HTTP/1.1", "close", true)
	f(StreamHead{Framing: FramingClose}, "HTTP/1.1", "close", false)
	f(StreamHead{Framing: FramingClose, HTTP10: true}, "HTTP/1.0", "close", false)
	f(StreamHead{Origin: "https://Example.com"}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{VaryCoding: true}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{VaryCoding: true, Coding: CodingGzip}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{VaryCoding: true, Coding: CodingZstd, Framing: FramingClose, HTTP10: true}, "HTTP/1.0", "close", false)
	f(StreamHead{Origin: "null", AllowHeaders: "x-a, x-b"}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{AllowHeaders: "x-a"}, "HTTP/1.1", "keep-alive", true)
	f(StreamHead{Incremental: true}, "HTTP/1.1", "keep-alive", true)
}

func TestPlainResponseIsWholeAndCloses(t *testing.T) {
	f := func(r PlainResponse, proto string) {
		t.Helper()
		r.Date = time.Unix(1700000000, 0)
		conn := testkit.NewConn(t, recorded{bytes.NewReader(AppendPlainResponse(nil, &r))})
		head := conn.ReadHead(t)
		require.Equal(t, []any{proto, r.Status, r.Text}, []any{head.Proto, head.Status, head.Reason})
		require.Equal(t, "close", head.Get("Connection"))
		require.Equal(t, "text/plain; charset=utf-8", head.Get("Content-Type"))
		require.Equal(t, "Origin", head.Get("Vary"))
		require.Equal(t, "Tue, 14 Nov 2023 22:13:20 GMT", head.Get("Date"))
		require.Equal(t, r.Origin, head.Get("Access-Control-Allow-Origin"))
		require.Equal(t, r.Origin != "", head.Values("Access-Control-Allow-Credentials") != nil)
		require.Equal(t, r.RequestID, head.Get("X-Request-Id"))
		require.Equal(t, r.RequestID != "", head.Values("X-Request-Id") != nil)
		body, err := io.ReadAll(conn.Body())
		require.NoError(t, err)
		require.Equal(t, r.Body, string(body))
		require.True(t, conn.Terminated())
		conn.ExpectClosed(t)
	}
	f(PlainResponse{Status: 401, Text: "Unauthorized", Body: "invalid token", RequestID: "a.b"}, "HTTP/1.1")
	f(PlainResponse{Status: 500, Text: "Internal Server Error", HTTP10: true, Origin: "https://a.b"}, "HTTP/1.0")
	f(PlainResponse{Status: 403, Text: "Forbidden", Body: "{\"e\":1}\n", Origin: "null", AllowHeaders: "x"}, "HTTP/1.1")
}

func TestHTTPErrorIsOneLineOfJSON(t *testing.T) {
	f := func(status int, message, want string) {
		t.Helper()
		got := AppendHTTPError(nil, status, message)
		require.Equal(t, want, string(got))
		require.True(t, json.Valid(got))
		require.Equal(t, 1, bytes.Count(got, []byte("\n")))
	}
	f(400, "the body is not JSON", `{"error":{"code":400,"message":"the body is not JSON"}}`+"\n")
	f(413, "a\r\n\"b\"\xff", `{"error":{"code":413,"message":"a\r\n\"b\"\ufffd"}}`+"\n")
	f(405, "", `{"error":{"code":405,"message":""}}`+"\n")
}
