package sse_test

import (
	"bytes"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/origin"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

var forced = codec.DisconnectForceNoReconnect

func origins(t testing.TB, patterns ...string) *origin.List {
	t.Helper()
	o, err := origin.NewList(patterns)
	require.NoError(t, err)
	return o
}

// rawUntil sends a request and returns every byte of the answer up to and with
// the given end, where that comes first.
func rawUntil(t *testing.T, addr, request, end string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = c.Write([]byte(request))
	require.NoError(t, err)
	return (&rawStream{t, c}).until(end)
}

var dates = regexp.MustCompile(`Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT`)

func TestProtocol_1_5_SuccessResponse(t *testing.T) {
	n := newNode(t, nil)
	request := testkit.Request{Target: testkit.DefaultPath}
	event := "data: {\"connect\":{\"client\":\"<uuid>\",\"version\":\"0.0.0 OSS\",\"ping\":25,\"session\":\"<uuid>\"}}\n\n"
	f := func(name, request, end, want string) {
		t.Run(name, func(t *testing.T) {
			raw := rawUntil(t, n.addr, request, end)
			require.Equal(t, want, uuids.ReplaceAllString(dates.ReplaceAllString(raw, "Date: <date>"), "<uuid>"))
		})
	}
	f("every_byte", request.String(), "\n\n\r\n", "HTTP/1.1 200 OK\r\n"+
		"Cache-Control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0\r\n"+
		"Connection: keep-alive\r\n"+
		"Content-Type: text/event-stream; charset=utf-8\r\n"+
		"Expire: 0\r\n"+
		"Pragma: no-cache\r\n"+
		"Vary: Origin\r\n"+
		"X-Accel-Buffering: no\r\n"+
		"Date: <date>\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n"+
		"2\r\n\r\n\r\n"+
		"96\r\n"+event+"\r\n")
	request.Proto = "HTTP/1.0"
	f("every_byte_of_HTTP_1_0", request.String(), "\n\n", "HTTP/1.0 200 OK\r\n"+
		"Cache-Control: private, no-cache, no-store, no-transform, must-revalidate, max-age=0\r\n"+
		"Connection: close\r\n"+
		"Content-Type: text/event-stream; charset=utf-8\r\n"+
		"Expire: 0\r\n"+
		"Pragma: no-cache\r\n"+
		"Vary: Origin\r\n"+
		"X-Accel-Buffering: no\r\n"+
		"Date: <date>\r\n\r\n"+
		"\r\n"+event)
}

// Off is what comparisons with the reference need, as in the test above.
func TestProtocol_1_5_TheHeadSaysIncremental(t *testing.T) {
	n := newNode(t, func(s *settings) { s.sse.Incremental = true })
	for what, target := range map[string]string{"a stream": "", "a refusal": "?cf_connect=%7B%22token%22%3A%22x.y.z%22%7D"} {
		raw := rawUntil(t, n.addr, testkit.Request{Target: testkit.DefaultPath + target}.String(), "\r\n\r\n")
		require.Contains(t, raw, "\r\nExpire: 0\r\nIncremental: ?1\r\nPragma: no-cache\r\n", what)
	}
}

func TestProtocol_1_5_Ping(t *testing.T) {
	t.Run("the_interval_in_seconds_is_told", func(t *testing.T) {
		for _, interval := range []time.Duration{time.Second, 1900 * time.Millisecond, 25 * time.Second} {
			n := newNode(t, func(s *settings) { s.session.PingInterval = interval })
			_, res := n.subscribe(t, nil)
			require.Equal(t, uint32(interval/time.Second), res.Ping)
		}
	})
	t.Run("pings_come_with_other_data_flowing", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.PingInterval = 100 * time.Millisecond })
		began := time.Now()
		c, res := n.subscribe(t, subs("news"))
		require.Zero(t, res.Ping, "less than a second")
		pings := 0
		for i := 0; pings < 3; i++ {
			n.publish(t, "news", `1`)
			for {
				p := c.NextAny(t)
				if p.Kind == "pub" {
					break
				}
				require.Equal(t, "data: {}\n\n", string(p.Frame))
				if pings++; pings == 1 {
					require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond, "not before half the interval")
				}
			}
		}
	})
	t.Run("pings_come_alone", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.PingInterval = 100 * time.Millisecond })
		began := time.Now()
		c, _ := n.subscribe(t, nil)
		for range 3 {
			require.Equal(t, "ping", c.NextAny(t).Kind)
		}
		require.GreaterOrEqual(t, time.Since(began), 250*time.Millisecond, "half the interval, and the later ones at the interval")
	})
	t.Run("a_negative_interval_is_none", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.PingInterval = -1 })
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{})
		require.Equal(t,
			`{"connect":{"client":"<uuid>","version":"0.0.0 OSS","session":"<uuid>"}}`, connectPush(t, c))
	})
}

func TestProtocol_1_6_Disconnect(t *testing.T) {
	n := newNode(t, nil)
	f := func(name string, d codec.Disconnect, want string) {
		t.Run(name, func(t *testing.T) {
			c, _ := n.subscribe(t, nil)
			require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{}, nil, &d))
			if want != "" {
				c.Expect(t, want)
			}
			c.ExpectEnd(t)
			c.ExpectClosed(t)
			n.sessionsOpen(t, 0)
		})
	}
	f("the_last_event", *forced, `{"disconnect":{"code":3503,"reason":"force disconnect"}}`)
	f("3000_is_silent", codec.Disconnect{Code: 3000, Reason: "x"}, "")
	f("code_0", codec.Disconnect{}, `{"disconnect":{}}`)
	f("code_without_reason", codec.Disconnect{Code: 4001}, `{"disconnect":{"code":4001}}`)
	f("reason_is_escaped", codec.Disconnect{Code: 4999, Reason: "a\r\n\ndata: <x>&\u2028"},
		`{"disconnect":{"code":4999,"reason":"a\r\n\ndata: \u003cx\u003e\u0026\u2028"}}`)
	f("any_number", codec.Disconnect{Code: 7, Reason: "seven"}, `{"disconnect":{"code":7,"reason":"seven"}}`)
}

func TestProtocol_1_6_RefusedStreamIsOneEvent(t *testing.T) {
	n := newNode(t, func(s *settings) { s.sse.AllowAnonymous = false })
	raw := rawUntil(t, n.addr, testkit.Request{Target: testkit.DefaultPath}.String(), "0\r\n\r\n")
	_, body, ok := bytes.Cut([]byte(raw), []byte("\r\n\r\n"))
	require.True(t, ok)
	event := "data: {\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}\n\n"
	require.Equal(t, "2\r\n\r\n\r\n3b\r\n"+event+"\r\n0\r\n\r\n", string(body))
	require.Contains(t, raw, "\r\nConnection: close\r\n", "12.39")
}

// app is an origin of a node that knows some.
const app = "https://app.example.com"

func newNodeWithOrigins(t *testing.T) *node {
	return newNode(t, func(s *settings) {
		s.sse.Origins = origins(t, "https://*.example.com", "null", "file://*", "https://UPPER.example.org")
	})
}

func originHeader(v string, more ...[2]string) [][2]string {
	return append([][2]string{{"Origin", v}}, more...)
}

var askHeaders = [2]string{"Access-Control-Request-Headers", "x-a, x-b"}

func TestProtocol_1_7_Origins(t *testing.T) {
	n := newNodeWithOrigins(t)
	f := func(name string, headers [][2]string, status int, allowed, asked string) {
		t.Run(name, func(t *testing.T) {
			conn := testkit.Dial(t, n.addr)
			conn.Send(testkit.Request{Target: testkit.DefaultPath, Headers: headers}.String())
			head := conn.ReadHead(t)
			require.Equal(t, status, head.Status)
			require.Equal(t, allowed, head.Get("Access-Control-Allow-Origin"))
			require.Equal(t, asked, head.Get("Access-Control-Allow-Headers"))
			if allowed == "" {
				require.Nil(t, head.Values("Access-Control-Allow-Origin"), "no empty value (12.5)")
				require.Nil(t, head.Values("Access-Control-Allow-Credentials"))
			} else {
				require.Equal(t, "true", head.Get("Access-Control-Allow-Credentials"))
			}
			if status == 200 {
				require.Equal(t, []string{"Origin"}, head.Values("Vary"))
			}
			require.NoError(t, conn.Close())
		})
	}
	f("no_origin", nil, 200, "", "")
	f("match", originHeader(app), 200, app, "")
	f("match_keeps_the_case_sent", originHeader("https://APP.Example.com"), 200, "https://APP.Example.com", "")
	f("star_crosses_dots", originHeader("https://a.b.example.com"), 200, "https://a.b.example.com", "")
	f("no_match_is_403", originHeader("https://example.com"), 403, "", "")
	f("pattern_with_capitals_never_matches", originHeader("https://upper.example.org"), 403, "", "")
	f("null", originHeader("null"), 200, "null", "")
	f("file", originHeader("file:///x.html"), 200, "file:///x.html", "")
	f("same_origin", originHeader("http://localhost"), 200, "", "")
	f("same_origin_on_another_host", originHeader("http://here:80", [2]string{"Host", "here"}), 200, "", "")
	f("other_port_is_another_origin", originHeader("http://localhost:81"), 403, "", "")
	f("asked_headers_are_echoed", originHeader(app, askHeaders), 200, app, "x-a, x-b")
	f("asked_headers_null", originHeader(app, [2]string{"Access-Control-Request-Headers", "null"}), 200, app, "")
	f("asked_headers_without_origin", [][2]string{askHeaders}, 200, "", "x-a, x-b")
	f("asked_headers_not_for_strangers", originHeader("https://evil.example", askHeaders), 403, "", "")
}

func TestProtocol_1_7_HeadersOfOtherAnswers(t *testing.T) {
	n := newNodeWithOrigins(t)
	t.Run("preflight", func(t *testing.T) {
		head, body := testkit.RoundTrip(t, n.addr, testkit.Request{
			Method: "OPTIONS", Target: testkit.DefaultPath,
			Headers: originHeader(app, askHeaders, [2]string{"Access-Control-Request-Method", "POST"}),
		})
		require.Equal(t, 204, head.Status)
		require.Empty(t, body)
		require.Equal(t, app, head.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", head.Get("Access-Control-Allow-Credentials"))
		require.Equal(t, "x-a, x-b", head.Get("Access-Control-Allow-Headers"))
		require.Contains(t, head.Get("Access-Control-Allow-Methods"), "POST")
		require.Equal(t, "Origin", head.Get("Vary"))
	})
	t.Run("preflight_of_a_stranger", func(t *testing.T) {
		head, body := testkit.RoundTrip(t, n.addr, testkit.Request{
			Method: "OPTIONS", Target: testkit.DefaultPath, Headers: originHeader("https://evil.example"),
		})
		require.Equal(t, 403, head.Status)
		require.Nil(t, head.Values("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", head.Get("Vary"))
		errorBody(t, 403, body)
	})
	t.Run("wrong_method_has_cors_headers", func(t *testing.T) {
		head, _ := testkit.RoundTrip(t, n.addr, testkit.Request{
			Method: "PUT", Target: testkit.DefaultPath, Headers: originHeader(app),
		})
		require.Equal(t, 405, head.Status)
		require.Equal(t, app, head.Get("Access-Control-Allow-Origin"))
	})
	t.Run("wrong_method_of_a_stranger", func(t *testing.T) {
		head, _ := testkit.RoundTrip(t, n.addr, testkit.Request{
			Method: "PUT", Target: testkit.DefaultPath, Headers: originHeader("https://evil.example"),
		})
		require.Equal(t, 405, head.Status)
		require.Nil(t, head.Values("Access-Control-Allow-Origin"))
	})
	t.Run("bad_request_has_cors_headers", func(t *testing.T) {
		head, _ := testkit.RoundTrip(t, n.addr, testkit.Request{
			Target: testkit.DefaultPath + "?cf_connect=%7B", Headers: originHeader(app),
		})
		require.Equal(t, 400, head.Status)
		require.Equal(t, app, head.Get("Access-Control-Allow-Origin"))
	})
}

func TestProtocol_1_7_EverythingAllowed(t *testing.T) {
	n := newNode(t, func(s *settings) { s.sse.Origins = origins(t, "*") })
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"Origin", "chrome-extension://x"}}})
	require.Equal(t, "chrome-extension://x", c.Head().Get("Access-Control-Allow-Origin"))
}

func TestProtocol_1_8_ConnectCodeToHTTPResponse(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.sse.AllowAnonymous = false
		s.sse.Origins = origins(t, "https://a.example")
		s.sse.Responses = sse.Responses{Enabled: true, Transforms: []sse.Response{
			{Code: 3500, Status: 401},
			{Code: 109, Status: 403, Body: `{"e":1}`},
			{Code: 3500, Status: 418},
			{Code: 3501, Status: 204},
		}}
		// Not applied before the code is looked up.
		s.sse.Disconnects = sse.Disconnects{Enabled: true, Transforms: []sse.DisconnectTransform{
			{Code: 109, To: codec.Disconnect{Code: 3500, Reason: "x"}},
		}}
		kinds(s)
	})
	past := token(t, "1", map[string]any{"exp": 1})
	f := func(name, request string, status int, body string) {
		t.Run(name, func(t *testing.T) {
			head, got := testkit.RoundTrip(t, n.addr, testkit.Request{
				Method: "POST", Target: testkit.DefaultPath, Body: request, Headers: [][2]string{{"Origin", "https://a.example"}},
			})
			require.Equal(t, status, head.Status)
			require.Equal(t, body, string(got))
			require.Equal(t, "https://a.example", head.Get("Access-Control-Allow-Origin"))
			if body != "" {
				require.Equal(t, "text/plain; charset=utf-8", head.Get("Content-Type"))
			}
		})
	}
	f("reason_is_the_body", `{"token":"x"}`, 401, "invalid token")
	f("body_and_original_code", `{"token":"`+past+`"}`, 403, `{"e":1}`)
	f("no_body_with_204", `{}`, 204, "")
	f("no_transform", `{"token":"`+token(t, "1", map[string]any{"channels": []string{"nope:x"}})+`"}`, 500, "Internal Server Error")
	t.Run("success_is_unaffected", func(t *testing.T) {
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "1", nil)})
		c.ExpectConnect(t)
		require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{User: "1"}, nil, codec.DisconnectInvalidToken))
		c.ExpectDisconnect(t, 3500)
	})
}

func TestProtocol_1_9_Characters(t *testing.T) {
	n := newNode(t, nil)
	c, _ := n.subscribe(t, subs("news"))
	f := func(name, data, want string, tags ...codec.Tag) {
		t.Run(name, func(t *testing.T) {
			n.publishWith(t, "news", data, func(p *codec.Publication, _ *brokerOptions) { p.Tags = tags })
			c.Expect(t, `{"channel":"news","pub":{"data":`+want+`}}`)
		})
	}
	f("LF_and_CR_outside_strings", "{\r\n\"x\":\r1}", `{"x":1}`)
	f("payload_is_not_escaped", `"<&>é"`, `"<&>é"`)
	f("separators_stay", "\"\u2028\u2029\"", "\"\u2028\u2029\"")
	f("escapes_stay", `"\u003c\n\r"`, `"\u003c\n\r"`)
	f("invalid_UTF8", "\"a\xffb\"", "\"a\uFFFDb\"")
	f("tags_are_escaped", `1`, `1,"tags":{"a":"\u003c\u0026\u003e\n\ufffd\u2028é"}`, codec.Tag{Key: "a", Value: "<&>\n\xff\u2028é"})
	f("null", `null`, `null`)
	f("numbers_stay", `1.10e+2`, `1.10e+2`)
}
