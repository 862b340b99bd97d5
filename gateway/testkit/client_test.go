package testkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const connectPush = `{"connect":{"client":"c","version":"0.0.0 OSS","subs":{"news":{}},"ping":25,"session":"s"}}`

// event is a frame as the protocol has it.
func event(push string) string { return "data: " + push + "\n\n" }

func eventWithID(id, push string) string { return "data: " + push + "\nid: " + id + "\n\n" }

// stream is a whole orderly response: the opening CR LF and then a chunk per push.
func stream(pushes ...string) string {
	parts := []string{"\r\n"}
	for _, push := range pushes {
		parts = append(parts, event(push))
	}
	return streamHead + chunks(parts...) + finalChunk
}

func TestClientTakesPushesInOrder(t *testing.T) {
	addr := answer(t, stream(connectPush, `{}`,
		`{"channel":"news","join":{"info":{"user":"42","client":"c","conn_info":{"a":1}}}}`, `{"channel":"news","pub":{"data":{"a":1}}}`,
		`{"channel":"x","gap":{"from":1}}`, `{}`, `{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`,
		`{"channel":"t","pub":{"data":1,"tags":{"b":"2","a":"1"}}}`, `{"disconnect":{"code":3001,"reason":"shutdown"}}`))
	c := Connect(t, addr, ConnectOptions{})
	result := c.ExpectConnect(t)
	if want := (ConnectResult{Client: "c", Version: "0.0.0 OSS", Subs: map[string]SubscribeResult{"news": {}}, Ping: 25, Session: "s"}); !reflect.DeepEqual(result, want) {
		t.Fatalf("expected %+v, got %+v", want, result)
	}
	if p := c.NextAny(t); p.Kind != "ping" || string(p.Raw) != "{}" || p.Body != nil {
		t.Fatalf("expected the ping, got %+v", p)
	}
	var join Join
	c.Next(t).Decode(t, &join)
	if join.Info.User != "42" || string(join.Info.ConnInfo) != `{"a":1}` {
		t.Fatalf("got %+v", join)
	}
	p := c.Expect(t, `{"channel":"news","pub":{"data":{"a":1}}}`)
	if p.Kind != "pub" || p.Channel != "news" || string(p.Body) != `{"data":{"a":1}}` || string(p.Frame) != event(string(p.Raw)) {
		t.Fatalf("got %+v", p)
	}
	if p := c.Next(t); p.Kind != "gap" || p.Channel != "x" {
		t.Fatalf("got %+v", p)
	}
	if p := c.NextKind(t, "unsubscribe"); p.Channel != "a" {
		t.Fatalf("got %+v", p)
	}
	c.ExpectJSON(t, `{"pub":{"tags":{"a":"1","b":"2"},"data":1},"channel":"t"}`)
	if d := c.ExpectDisconnect(t, 3001); d.Reason != "shutdown" {
		t.Fatalf("got %+v", d)
	}
	c.ExpectClosed(t)
}

func TestClientDecodesPublicationsAndRecovery(t *testing.T) {
	addr := answer(t, streamHead+chunks("\r\n",
		eventWithID("A1", `{"connect":{"client":"c","version":"v","data":{"h": 1},"subs":{"h":{"recoverable":true,"epoch":"e","publications":[{"data":6,"offset":6,"tags":{"t":"0"}}],`+
			`"recovered":true,"offset":5,"positioned":true,"data":{"d": 1},"was_recovering":true,"delta":true}},"expires":true,"ttl":9,"ping":5,"session":"s","time":1700000000000}}`),
		eventWithID("A2", `{"channel":"h","pub":{"data":"x","info":{"user":"","client":"c","chan_info":2},"offset":18446744073709551615,"tags":{"a":"b"},"delta":true,"channel":"w","epoch":"e","version":5}}`),
		event(`{"channel":"news","pub":{}}`), "id: A3\n\n")+finalChunk)
	c := Connect(t, addr, ConnectOptions{})
	result := c.ExpectConnect(t)
	want := ConnectResult{
		Client: "c", Version: "v", Data: json.RawMessage(`{"h": 1}`), Expires: true, TTL: 9, Ping: 5, Session: "s", Time: 1700000000000,
		Subs: map[string]SubscribeResult{"h": {
			Recoverable: true, Epoch: "e", Publications: []Publication{{Data: json.RawMessage("6"), Offset: 6, Tags: map[string]string{"t": "0"}}},
			Recovered: true, Offset: 5, Positioned: true, Data: json.RawMessage(`{"d": 1}`), WasRecovering: true, Delta: true,
		}},
		EventID: "A1", HasID: true,
	}
	if !reflect.DeepEqual(result, want) {
		t.Fatalf("expected %+v\ngot %+v", want, result)
	}
	wantPub := Publication{
		Data: json.RawMessage(`"x"`), Info: &ClientInfo{Client: "c", ChanInfo: json.RawMessage("2")}, Offset: 1<<64 - 1,
		Tags: map[string]string{"a": "b"}, Delta: true, Channel: "w", Epoch: "e", Version: 5, EventID: "A2", HasID: true,
	}
	if got := c.ExpectPub(t, "h"); !reflect.DeepEqual(got, wantPub) {
		t.Fatalf("expected %+v\ngot %+v", wantPub, got)
	}
	if got := c.ExpectPub(t, "news"); got.EventID != "A2" || got.HasID {
		t.Fatalf("expected the inherited id, got %+v", got)
	}
	c.ExpectEnd(t)
	if c.LastEventID() != "A3" || c.IDOnly() != 1 || len(c.ChunkSizes()) != 5 {
		t.Fatalf("last id %q, %d id-only, chunks %v", c.LastEventID(), c.IDOnly(), c.ChunkSizes())
	}
}

func TestClientSendsTheRequestItWasTold(t *testing.T) {
	requests := make(chan string, 1)
	addr := serve(t, func(nc net.Conn, request string) {
		requests <- request
		fmt.Fprint(nc, "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\r\n")
	})
	f := func(opts ConnectOptions, want string) {
		t.Helper()
		Connect(t, addr, opts).ExpectEnd(t)
		if got := <-requests; got != want {
			t.Errorf("expected %q\ngot %q", want, got)
		}
	}
	const get, host = "GET /connection/uni_sse", " HTTP/1.1\r\nHost: localhost\r\n"
	f(ConnectOptions{}, get+host+"\r\n")
	f(ConnectOptions{Token: "a+b", Subs: map[string]SubscribeRequest{"x:y": {}, "z": {Recover: true, Offset: 7, Epoch: "e", Delta: "fossil"}}},
		get+"?cf_connect="+url.QueryEscape(`{"token":"a+b","subs":{"x:y":{},"z":{"recover":true,"offset":7,"epoch":"e","delta":"fossil"}}}`)+host+"\r\n")
	f(ConnectOptions{RawQuery: "cf_connect=%zz;", Path: "/p", Proto: "HTTP/1.0", Token: "t"}, "GET /p?cf_connect=%zz; HTTP/1.0\r\n\r\n")
	f(ConnectOptions{Request: "null", HTTPHeaders: [][2]string{{"Origin", "https://a"}, {"Last-Event-ID", "x"}}},
		get+"?cf_connect=null"+host+"Origin: https://a\r\nLast-Event-ID: x\r\n\r\n")
	f(ConnectOptions{Method: "POST"}, "POST /connection/uni_sse"+host+"Content-Length: 2\r\n\r\n{}")
	body := `{"data":{"k":1},"name":"js","version":"1.0","headers":{"A":"b"}}`
	f(ConnectOptions{Method: "POST", RawQuery: "a=b", Data: json.RawMessage(`{"k":1}`), Name: "js", Version: "1.0", Headers: map[string]string{"A": "b"}},
		fmt.Sprintf("POST /connection/uni_sse?a=b%sContent-Length: %d\r\n\r\n%s", host, len(body), body))
}

func TestClientUsesAGivenConnection(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, err := far.Read(make([]byte, 1024)); err == nil {
			fmt.Fprint(far, stream(connectPush))
		}
	}()
	c := Connect(t, "", ConnectOptions{Conn: near})
	if c.Conn() != near || c.Head().Status != 200 {
		t.Fatalf("conn %v, head %+v", c.Conn(), c.Head())
	}
	c.ExpectConnect(t)
	c.ExpectEnd(t)
}

func TestClientFailsOnBadPushes(t *testing.T) {
	f := func(events, text string) {
		t.Helper()
		addr := answer(t, streamHead+chunks(events)+finalChunk)
		mustFail(t, func(t testing.TB) { Connect(t, addr, ConnectOptions{}).WaitEnd(t) }, "breaks the protocol", text)
		mustFail(t, func(t testing.TB) {
			c := Connect(t, addr, ConnectOptions{})
			<-c.done // The check at the end of the test must find it too.
		}, "breaks the protocol", text)
		allowed := try(func(t testing.TB) { Connect(t, addr, ConnectOptions{AllowViolations: true}).WaitEnd(t) })
		if allowed.Failed() {
			t.Errorf("%q: failed although allowed: %q", events, allowed.failures)
		}
		c := Connect(t, addr, ConnectOptions{AllowViolations: true})
		c.WaitEnd(t)
		if all := strings.Join(c.Violations(), "\n"); !strings.Contains(all, text) {
			t.Errorf("%q: expected a violation with %q, got %q", events, text, all)
		}
	}
	f("foo: x\n\n", "unknown field name")
	f("data: {\r\"x\":1}\n\n", "bare CR")
	f("event: x\ndata: {}\n\n", `event type "x"`)
	f("data: {\ndata: }\n\n", "several data lines")
	f(event(`{`), "expected one JSON object")
	f(event(`[]`), "expected one JSON object")
	f(event(`{} {}`), "more text")
	f(event(`{"channel":"a"}`), "one body key")
	f(event(`{"channel":"","pub":{}}`), "non-empty string")
	f(event(`{"channel":1,"pub":{}}`), "non-empty string")
	f(event(`{"pub":{},"channel":"a"}`), "one body key")
	f(event(`{"channel":"a","pub":{},"join":{}}`), "one body key")
	f(event(`{"id":1,"channel":"a","pub":{}}`), "one body key")
	f(event(`{"pub":{}}`), "without channel")
	f(event(`{"channel":"a","disconnect":{}}`), "with a channel")
	f(event(`{"channel":"a","PUB":{}}`), "unknown push kind")
	f(event(`{"channel":"a","pub":null}`), "not an object")
}

func TestClientFailsWhenAPushIsNotTheExpectedOne(t *testing.T) {
	f := func(pushes []string, use func(t testing.TB, c *Client), texts ...string) {
		t.Helper()
		addr := answer(t, stream(pushes...))
		mustFail(t, func(t testing.TB) { use(t, Connect(t, addr, ConnectOptions{})) }, texts...)
	}
	pub := []string{`{"channel":"news","pub":{"data":1}}`}
	f(pub, func(t testing.TB, c *Client) { c.ExpectConnect(t) }, "expected a connect push", pub[0])
	f(pub, func(t testing.TB, c *Client) { c.ExpectPub(t, "other") }, `"other"`, pub[0])
	f(pub, func(t testing.TB, c *Client) { c.Expect(t, `{}`) }, "expected {}", pub[0])
	f(pub, func(t testing.TB, c *Client) { c.ExpectJSON(t, `{}`) }, "JSON value {}", pub[0])
	f(pub, func(t testing.TB, c *Client) { c.ExpectEnd(t) }, "expected the end", pub[0])
	f(pub, func(t testing.TB, c *Client) { c.Quiet(t, time.Minute) }, "without a push", pub[0])
	f(pub, func(t testing.TB, c *Client) { c.NextKind(t, "join") }, "expected a join push", "ended properly", pub[0])
	f(nil, func(t testing.TB, c *Client) { c.Next(t) }, "expected a push", "ended properly")
	f(nil, func(t testing.TB, c *Client) { c.Quiet(t, time.Minute) }, "without a push", "ended properly")
	f([]string{`{"channel":"news","pub":{"data":1,"prev_data":2}}`}, func(t testing.TB, c *Client) { c.ExpectPub(t, "news") }, "prev_data")
	f([]string{`{"connect":{"client":"c"}}`}, func(t testing.TB, c *Client) { c.ExpectConnect(t) }, "without client, session or version")
	f([]string{`{"disconnect":{"code":3001,"reason":"shutdown"}}`}, func(t testing.TB, c *Client) { c.ExpectDisconnect(t, 3000) }, "code 3000")
	f([]string{`{"disconnect":{"code":3001,"reason":"shutdown"}}`, `{}`, pub[0]}, func(t testing.TB, c *Client) { c.ExpectDisconnect(t, 3001) }, "expected the end")
}

func TestClientTellsHowAStreamEnded(t *testing.T) {
	f := func(response string, wantErr error, terminated bool, incomplete string) {
		t.Helper()
		addr := answer(t, response)
		end := Connect(t, addr, ConnectOptions{}).WaitEnd(t)
		if !errors.Is(end.Err, wantErr) || end.Terminated != terminated || string(end.Incomplete) != incomplete {
			t.Errorf("%q: got %s", response, end)
		}
		use := func(t testing.TB) { Connect(t, addr, ConnectOptions{}).ExpectEnd(t) }
		if terminated && incomplete == "" {
			use(t)
		} else {
			mustFail(t, use, "was cut")
		}
	}
	const plainHead = "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\r\n"
	f(stream(`{}`), io.EOF, true, "")
	f(streamHead+chunks("data: {}\n\n"), io.ErrUnexpectedEOF, false, "")
	f(streamHead+chunks("data: {")+finalChunk, io.EOF, true, "data: {")
	f(streamHead+"9\r\ndata: {", io.ErrUnexpectedEOF, false, "data: {")
	f(streamHead+"zz\r\n", ErrFraming, false, "")
	f(plainHead+event("{}"), io.EOF, true, "")
	f(plainHead+"data: {}\n", io.EOF, true, "data: {}\n")
}

func TestClientWaitsNoLongerThanItsTimeout(t *testing.T) {
	addr := serve(t, func(nc net.Conn, _ string) {
		fmt.Fprint(nc, streamHead+chunks("\r\n", event(`{}`)))
		_, _ = nc.Read(make([]byte, 1)) // Until the client closes.
	})
	f := func(use func(t testing.TB, c *Client), text string) {
		t.Helper()
		mustFail(t, func(t testing.TB) { use(t, Connect(t, addr, ConnectOptions{Timeout: time.Millisecond})) }, "waited 1ms", text, "the stream is open")
	}
	f(func(t testing.TB, c *Client) { c.Next(t) }, "a push")
	f(func(t testing.TB, c *Client) { c.NextKind(t, "pub") }, "a pub push")
	f(func(t testing.TB, c *Client) { c.ExpectEnd(t) }, "the end")
	f(func(t testing.TB, c *Client) { c.WaitEnd(t) }, "the end")
	c := Connect(t, addr, ConnectOptions{})
	c.Quiet(t, 20*time.Millisecond)
	c.Close()
	c.Close()
	if end := c.WaitEnd(t); !errors.Is(end.Err, net.ErrClosed) {
		t.Fatalf("expected our own close, got %s", end)
	}
}

func TestConnectFailsUnlessAStreamIsAnswered(t *testing.T) {
	f := func(response string, opts ConnectOptions, texts ...string) {
		t.Helper()
		addr := answer(t, response)
		mustFail(t, func(t testing.TB) { Connect(t, addr, opts) }, texts...)
	}
	f("HTTP/1.1 401 Unauthorized\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nno", ConnectOptions{}, "401", "no")
	f("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n", ConnectOptions{}, "text/plain")
	f(stream(), ConnectOptions{Proto: "HTTP/1.0"}, "chunked answer to an HTTP/1.0 request")
	f("", ConnectOptions{}, "EOF")
	f(stream(), ConnectOptions{Data: json.RawMessage("{")}, "connect request")
}

func TestClientReadsARealServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, part := range []string{"\r\n", event(connectPush), event(`{"channel":"news","pub":{"data":` + r.URL.Query().Get("cf_connect") + `}}`)} {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	}))
	t.Cleanup(server.Close)
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		c := Connect(t, server.Listener.Addr().String(), ConnectOptions{Name: "a&b=ü", Proto: proto})
		c.ExpectConnect(t)
		if p := c.ExpectPub(t, "news"); string(p.Data) != `{"name":"a\u0026b=ü"}` {
			t.Fatalf("%s: got %s", proto, p.Data)
		}
		c.ExpectEnd(t)
		if chunks := len(c.ChunkSizes()); (chunks == 3) != (proto == "HTTP/1.1") {
			t.Fatalf("%s: %d chunks", proto, chunks)
		}
	}
}
