package sse_test

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// errorBody checks that a body is the one line of JSON that names what was
// wrong (PROTOCOL 12.40).
func errorBody(t *testing.T, status int, body []byte) {
	t.Helper()
	var e struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	require.NoError(t, json.Unmarshal(body, &e), "%s", body)
	require.Equal(t, status, e.Error.Code)
	require.NotEmpty(t, e.Error.Message)
	require.Equal(t, 1, strings.Count(string(body), "\n"))
	require.True(t, strings.HasSuffix(string(body), "\n"))
}

func TestProtocol_1_1_Methods(t *testing.T) {
	n := newNode(t, nil)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "TRACE", "FOO"} {
		t.Run(method, func(t *testing.T) {
			head, body := testkit.RoundTrip(t, n.addr, testkit.Request{Method: method, Target: testkit.DefaultPath})
			require.Equal(t, 405, head.Status)
			require.Equal(t, "GET, POST, OPTIONS", head.Get("Allow"))
			require.Equal(t, "application/json", head.Get("Content-Type"))
			if method == "HEAD" {
				require.Empty(t, body)
				return
			}
			errorBody(t, 405, body)
		})
	}
	t.Run("OPTIONS_without_origin", func(t *testing.T) {
		head, body := testkit.RoundTrip(t, n.addr, testkit.Request{Method: "OPTIONS", Target: testkit.DefaultPath})
		require.Equal(t, 204, head.Status)
		require.Empty(t, body)
		require.Equal(t, "GET, POST, OPTIONS", head.Get("Allow"))
		require.Nil(t, head.Values("Access-Control-Allow-Origin"))
	})
}

func TestProtocol_1_1_Protocols(t *testing.T) {
	n := newNode(t, nil)
	f := func(name string, opts testkit.ConnectOptions, connection string, chunked bool) {
		t.Run(name, func(t *testing.T) {
			opts.Subs = subs("news")
			c := testkit.Connect(t, n.addr, opts)
			c.ExpectConnect(t)
			n.publish(t, "news", `1`)
			c.Expect(t, `{"channel":"news","pub":{"data":1}}`)
			require.Equal(t, 200, c.Head().Status)
			require.Equal(t, connection, c.Head().Get("Connection"))
			if chunked {
				require.Equal(t, "chunked", c.Head().Get("Transfer-Encoding"))
			} else {
				require.Nil(t, c.Head().Values("Transfer-Encoding"))
			}
			require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{}, nil, forced))
			c.ExpectDisconnect(t, 3503)
			c.ExpectClosed(t)
		})
	}
	f("HTTP_1_1", testkit.ConnectOptions{}, "keep-alive", true)
	f("HTTP_1_0_is_not_chunked", testkit.ConnectOptions{Proto: "HTTP/1.0"}, "close", false)
	f("HTTP_1_0_keep_alive_is_not_chunked", testkit.ConnectOptions{
		Proto: "HTTP/1.0", HTTPHeaders: [][2]string{{"Connection", "keep-alive"}},
	}, "close", false)
	f("Connection_close", testkit.ConnectOptions{HTTPHeaders: [][2]string{{"Connection", "close"}}}, "close", true)
	f("POST", testkit.ConnectOptions{Method: "POST"}, "keep-alive", true)
	f("Last_Event_ID_is_ignored", testkit.ConnectOptions{HTTPHeaders: [][2]string{{"Last-Event-ID", "x"}}}, "keep-alive", true)
	f("Accept_is_ignored", testkit.ConnectOptions{HTTPHeaders: [][2]string{
		{"Accept", "text/html"}, {"Accept-Encoding", "gzip, br"},
	}}, "keep-alive", true)
}

// answers sends a request and returns the status and, for a stream, its first
// push.
func (n *node) answers(t *testing.T, r testkit.Request) (status int, first testkit.Push) {
	t.Helper()
	conn := testkit.Dial(t, n.addr)
	defer conn.Close()
	conn.Send(r.String())
	head := conn.ReadHead(t)
	if head.Status != 200 {
		body, err := io.ReadAll(conn.Body())
		require.NoError(t, err)
		errorBody(t, head.Status, body)
		return head.Status, testkit.Push{}
	}
	ev, err := testkit.NewReader(conn.Body()).Next()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(ev.Data, `{"`), ev.Data)
	kind := strings.SplitN(ev.Data, `"`, 3)[1]
	return 200, testkit.Push{Kind: kind, Raw: json.RawMessage(ev.Data)}
}

// connectsWith checks what a connect with a query is answered: a status, and what is in
// its first push, or with a "!" what is not.
func (n *node) connectsWith(t *testing.T, query string, status int, want string) {
	target := testkit.DefaultPath
	if query != "" {
		target += "?" + query
	}
	got, first := n.answers(t, testkit.Request{Target: target})
	require.Equal(t, status, got)
	if status != 200 {
		return
	}
	if strings.HasPrefix(want, "!") {
		require.NotContains(t, string(first.Raw), want[1:])
		return
	}
	require.Contains(t, string(first.Raw), want)
}

func TestProtocol_1_2_CfConnect(t *testing.T) {
	n := newNode(t, kinds)
	esc := url.QueryEscape
	news := `"subs":{"news":{}}`
	f := func(name, query string, status int, want string) {
		t.Run(name, func(t *testing.T) { n.connectsWith(t, query, status, want) })
	}
	empty := "!subs"
	f("missing", "", 200, empty)
	f("empty", "cf_connect=", 200, empty)
	f("without_equals_sign", "cf_connect", 200, empty)
	f("empty_object", "cf_connect="+esc(`{}`), 200, empty)
	f("null", "cf_connect=null", 200, empty)
	f("white_space_around", "cf_connect="+esc(" {} \n"), 200, empty)
	f("broken_json", "cf_connect="+esc(`{bad`), 400, "")
	f("cut_json", "cf_connect="+esc(`{"subs":{`), 400, "")
	f("array", "cf_connect="+esc(`[]`), 400, "")
	f("string", "cf_connect="+esc(`"x"`), 400, "")
	f("number", "cf_connect=5", 400, "")
	f("true", "cf_connect=true", 400, "")
	f("only_space", "cf_connect=+", 400, "")
	f("token_is_a_number", "cf_connect="+esc(`{"token":1}`), 400, "")
	f("offset_is_a_string", "cf_connect="+esc(`{"subs":{"c":{"offset":"5"}}}`), 400, "")
	f("negative_offset", "cf_connect="+esc(`{"subs":{"c":{"offset":-1}}}`), 400, "")
	f("fractional_offset", "cf_connect="+esc(`{"subs":{"c":{"offset":1.5}}}`), 400, "")
	f("largest_offset", "cf_connect="+esc(`{"subs":{"c":{"offset":18446744073709551615}}}`), 200, `"c":{}`)
	f("offset_over_64_bits", "cf_connect="+esc(`{"subs":{"c":{"offset":18446744073709551616}}}`), 400, "")
	f("subs_is_a_list", "cf_connect="+esc(`{"subs":["c"]}`), 400, "")
	f("sub_is_a_string", "cf_connect="+esc(`{"subs":{"c":"x"}}`), 400, "")
	f("junk_after_value", "cf_connect="+esc(`{} xx`), 400, "")
	f("second_value", "cf_connect="+esc(`{}{}`), 400, "")
	f("broken_percent_escape", "cf_connect=%zz", 400, "")
	f("cut_percent_escape", "cf_connect=%7B%7", 400, "")
	f("raw_semicolon", "cf_connect={};a=b", 400, "")
	f("encoded_semicolon", "cf_connect="+esc(`{"subs":{"a;b":{}}}`), 200, `"subs":{"a;b":{}}`)
	f("unknown_fields", "cf_connect="+esc(`{"what":{"x":[1]},`+news+`}`), 200, news)
	f("null_sub", "cf_connect="+esc(`{"subs":{"news":null}}`), 200, news)
	f("null_subs", "cf_connect="+esc(`{"subs":null}`), 200, empty)
	f("null_fields", "cf_connect="+esc(`{"token":null,"data":null,"name":null,"headers":null,`+news+`}`), 200, news)
	f("first_occurrence_wins", "cf_connect="+esc(`{`+news+`}`)+"&cf_connect="+esc(`{"subs":{"other":{}}}`), 200, news)
	f("first_occurrence_wins_if_empty", "cf_connect=&cf_connect=%zz", 200, empty)
	f("behind_other_parameters", "a=1&b=%zz&cf_connect="+esc(`{`+news+`}`), 200, news)
	f("plus_is_a_space", `cf_connect={"subs":{"a+b":{}}}`, 200, `"subs":{"a b":{}}`)
	f("percent_2B_is_a_plus", `cf_connect={"subs":{"a%2Bb":{}}}`, 200, `"subs":{"a+b":{}}`)
	f("name_is_case_sensitive", "CF_CONNECT="+esc(`{bad`), 200, empty)
	f("name_may_be_encoded", "%63f_connect="+esc(`{`+news+`}`), 200, news)
}

func TestProtocol_1_2_LongQuery(t *testing.T) {
	n := newNode(t, nil)
	name := strings.Repeat("x", 2900)
	status, first := n.answers(t, testkit.Request{
		Target: testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(`{"subs":{"`+name+`":{}}}`),
	})
	require.Equal(t, 200, status)
	require.Contains(t, string(first.Raw), name)
}

func TestProtocol_1_3_PostBody(t *testing.T) {
	n := newNode(t, nil)
	f := func(name, query, body string, status int, want string) {
		t.Run(name, func(t *testing.T) {
			got, first := n.answers(t, testkit.Request{Method: "POST", Target: testkit.DefaultPath + query, Body: body})
			require.Equal(t, status, got)
			if status == 200 {
				require.Contains(t, string(first.Raw), want)
			}
		})
	}
	f("empty_body", "", "", 400, "")
	f("white_space", "", " \n", 400, "")
	f("null", "", "null", 200, `"connect"`)
	f("empty_object", "", "{}", 200, `"connect"`)
	f("broken_json", "", "{bad", 400, "")
	f("array", "", "[]", 400, "")
	f("wrong_type", "", `{"subs":1}`, 400, "")
	f("junk_after_value", "", `{} x`, 400, "")
	f("query_is_ignored", "?cf_connect="+url.QueryEscape(`{"subs":{"other":{}}}`), `{"subs":{"news":{}}}`, 200, `"subs":{"news":{}}`)
	f("broken_query_is_ignored", "?cf_connect=%zz", `{}`, 200, `"connect"`)
	f("empty_body_with_query", "?cf_connect="+url.QueryEscape(`{}`), "", 400, "")
	t.Run("content_type_is_not_looked_at", func(t *testing.T) {
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"} {
			status, first := n.answers(t, testkit.Request{
				Method: "POST", Target: testkit.DefaultPath, Body: `{"subs":{"news":{}}}`, Headers: [][2]string{{"Content-Type", kind}},
			})
			require.Equal(t, 200, status, kind)
			require.Contains(t, string(first.Raw), `"subs":{"news":{}}`, kind)
		}
	})
	t.Run("chunked_body", func(t *testing.T) {
		status, first := n.answers(t, testkit.Request{
			Method: "POST", Target: testkit.DefaultPath, Headers: [][2]string{{"Transfer-Encoding", "chunked"}},
			Body: "5\r\n{\"sub\r\nf\r\ns\":{\"news\":{}}}\r\n0\r\n\r\n",
		})
		require.Equal(t, 200, status)
		require.Contains(t, string(first.Raw), `"subs":{"news":{}}`)
	})
}

func TestProtocol_1_4_StatusBeforeTheStream(t *testing.T) {
	t.Run("connection_limit", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			s.session.StreamLimit = 1
			s.sse.Origins = origins(t, "*")
		})
		first, _ := n.subscribe(t, nil)
		head, body := testkit.RoundTrip(t, n.addr, testkit.Request{
			Target: testkit.DefaultPath, Headers: [][2]string{{"Origin", "https://a.example"}},
		})
		require.Equal(t, 503, head.Status)
		require.Nil(t, head.Values("Access-Control-Allow-Origin"), "the check runs before CORS")
		require.Empty(t, body)
		first.Close()
		n.sessionsOpen(t, 0)
		n.subscribe(t, nil)
	})
	t.Run("connection_rate_limit", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.sse.ConnectionRate = 2 })
		testkit.Eventually(t, func() bool { // at once, or the machine stood still within it
			var burst []*testkit.Conn
			for range 8 {
				burst = append(burst, testkit.Dial(t, n.addr))
			}
			for _, conn := range burst {
				conn.Send(testkit.Request{Target: testkit.DefaultPath}.String())
			}
			refused := 0
			for _, conn := range burst {
				if conn.ReadHead(t).Status == 503 {
					refused++
				}
				require.NoError(t, conn.Close())
			}
			return refused > 0
		}, "a refusal within a burst of 8 at 2 per second")
		testkit.Eventually(t, func() bool { // N per second come back, not one (12.11)
			conn := testkit.Dial(t, n.addr)
			defer conn.Close()
			conn.Send(testkit.Request{Target: testkit.DefaultPath}.String())
			return conn.ReadHead(t).Status == 200
		}, "the rate to allow a connect again")
	})
	t.Run("a_refused_connect_is_200", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.sse.AllowAnonymous = false })
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{})
		c.Expect(t, `{"disconnect":{"code":3501,"reason":"bad request"}}`)
		c.ExpectEnd(t)
	})
}
