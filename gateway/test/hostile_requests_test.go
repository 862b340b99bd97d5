package test

import (
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// roundTrip sends one request on a connection of its own. The server may answer
// before it has everything, and close.
func roundTrip(t *testing.T, addr, raw string) (testkit.Head, string) {
	t.Helper()
	c := testkit.Dial(t, addr)
	defer c.Close()
	_ = c.TrySend(raw)
	head := c.ReadHead(t)
	if strings.HasPrefix(head.Get("Content-Type"), "text/event-stream") {
		return head, ""
	}
	body, err := io.ReadAll(c.Body())
	require.NoError(t, err)
	return head, string(body)
}

func TestBadInput(t *testing.T) {
	s := startServer(t, parts{})
	const path = "/connection/uni_sse"
	connect := func(v string) string { return path + "?cf_connect=" + url.QueryEscape(v) }
	pad := func(n int) string { return strings.Repeat("a", n) }
	headOf := func(n int) string {
		const start = "GET /connection/uni_sse HTTP/1.1\r\nHost: h\r\nX-Pad: "
		return start + pad(n-len(start)-4) + "\r\n\r\n"
	}
	bodyOf := func(n int) string {
		const start, end = `{"name":"`, `"}`
		return start + pad(n-len(start)-len(end)) + end
	}
	f := func(name, raw string, status int, says string) {
		t.Helper()
		head, body := roundTrip(t, s.addr, raw)
		require.Equal(t, status, head.Status, "%s: %s", name, body)
		if status == 200 {
			return
		}
		require.Equal(t, "application/json", head.Get("Content-Type"), name)
		require.Equal(t, 1, strings.Count(body, "\n"), "%s: one line of JSON, got %q", name, body)
		require.Contains(t, body, says, name)
	}
	f("wrong method", "DELETE "+path+" HTTP/1.1\r\nHost: h\r\n\r\n", 405, "method")
	f("not JSON", get(connect("{bad")), 400, "")
	f("a list", get(connect("[]")), 400, "")
	f("a token of the wrong type", get(connect(`{"token":1}`)), 400, "token")
	f("a negative offset", get(connect(`{"subs":{"c":{"offset":-1}}}`)), 400, "offset")
	f("junk behind the value", get(connect("{} xx")), 400, "")
	f("a broken percent escape", get(path+"?cf_connect=%7B%zz"), 400, "percent")
	f("null", get(connect("null")), 200, "")
	f("null subscription", get(connect(`{"subs":{"c":null}}`)), 200, "")
	f("empty body", post(path, ""), 400, "")
	f("body of the limit", post(path, bodyOf(65536)), 200, "")
	f("body over the limit", post(path, bodyOf(65537)), 413, "too large")
	f("chunked body over the limit", "POST "+path+" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"+
		bodyOf(65537)+"\r\n0\r\n\r\n", 413, "too large")
	f("head of 72 KiB", headOf(72<<10), 200, "")
	f("head over 73 KiB", headOf(74<<10), 431, "too large")
	f("nested beyond the limit", get(connect(`{"data":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`)), 400, "")
	f("not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "parsed")

	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	s.api.Publish(t, "news", `"alive"`)
	c.ExpectPub(t, "news")
}

func TestMethodNotAllowedNamesWhatIs(t *testing.T) {
	s := startServer(t, parts{})
	for _, method := range []string{"PUT", "DELETE", "HEAD", "PATCH", "TRACE"} {
		c := testkit.Dial(t, s.addr)
		c.Send(method + " /connection/uni_sse HTTP/1.1\r\nHost: h\r\n\r\n")
		head := c.ReadHead(t)
		require.Equal(t, 405, head.Status, method)
		require.Equal(t, "GET, POST, OPTIONS", head.Get("Allow"), method)
		c.Close()
	}
}

// What is published never splits or forges an event, whatever it holds.
func TestPublishedTextNeverForgesAnEvent(t *testing.T) {
	s := startServer(t, parts{})
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	for _, data := range []string{
		"{\r\"x\":1}", "{\n\"x\":\r\n1}", `"\r\ndata: {\"forged\":1}\n\n"`, `"\u0000"`, "\"\u2028\u2029\"",
		"\"\xff\xfe\"", `"id: 1"`, "[1,\t2]",
	} {
		status, _, raw := s.api.Call(t, "publish", []byte(`{"channel":"news","data":`+data+`}`))
		require.Equal(t, 200, status, "%q: %s", data, raw)
		c.ExpectPub(t, "news")
	}
	for _, data := range []string{"\"\n\"", "\"\r\"", "\"\x00\""} {
		status, _, _ := s.api.Call(t, "publish", []byte(`{"channel":"news","data":`+data+`}`))
		require.Equal(t, 400, status, "%q is not JSON", data)
	}
	s.api.Publish(t, "news", `"last"`)
	require.JSONEq(t, `"last"`, string(c.ExpectPub(t, "news").Data))
}
