package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A terminal code on an open stream has the id, and the first return with it is
// answered 204, though the credentials are as good as before.
func TestATerminalCodeOfAnOpenStreamEndsWith204(t *testing.T) {
	s := startServer(t, parts{sse: `, "terminal_status": true`, client: `, "allowed_origins": ["https://good.example"]`,
		channel: `, "namespaces": [{"name": "rec", "history_size": 10, "history_ttl": "1m", "force_recovery": true}]`})
	for code, id := range map[int]string{
		3503: "!3503", 3504: "!3504", 3505: "!3505", 3507: "!3507", 3999: "!3999", 4500: "!4500", 4999: "!4999",
		3500: "!3500!", 3501: "!3501!", // apart from those of a refusal, whose credentials are judged again
		3004: "", 3499: "", 4000: "", 4499: "", 5000: "",
	} {
		name := fmt.Sprint(code)
		opts := testkit.ConnectOptions{Token: tokenOf(t, "u"+name, map[string]any{"channels": []string{"rec:a"}})}
		c := s.connect(t, opts)
		c.ExpectConnect(t)
		cursor := c.LastEventID()
		require.NotEmpty(t, cursor)
		s.api.MustResult(t, "disconnect", fmt.Sprintf(`{"user":"u%d","disconnect":{"code":%d,"reason":"enough"}}`, code, code))
		p := c.NextKind(t, "disconnect")
		require.Equal(t, fmt.Sprintf(`{"disconnect":{"code":%d,"reason":"enough"}}`, code), string(p.Raw))
		c.ExpectEnd(t)
		require.Empty(t, c.Violations())
		if id == "" {
			require.Equal(t, cursor, c.LastEventID(), name)
			continue
		}
		require.Equal(t, id, c.LastEventID(), name)
		for _, request := range []testkit.Request{
			{Target: testkit.DefaultPath + "?cf_connect={\"token\":\"" + opts.Token + "\"}", Headers: [][2]string{{"Last-Event-ID", id}, {"Origin", "https://good.example"}}},
			{Target: testkit.DefaultPath + "?cf_connect={\"token\":\"" + opts.Token + "\"}&lastEventId=" + id},
			{Target: testkit.DefaultPath, Method: "POST", Body: `{"token":"` + opts.Token + `"}`, Headers: [][2]string{{"Last-Event-ID", id}}},
		} {
			head, body := testkit.RoundTrip(t, s.addr, request)
			require.Equal(t, 204, head.Status, "%s: %s", name, body)
			if strings.Contains(fmt.Sprint(request.Headers), "good.example") {
				require.Equal(t, "https://good.example", head.Get("Access-Control-Allow-Origin"))
			}
		}
		s.connect(t, opts).ExpectConnect(t) // a new EventSource brings no id
	}
	require.EqualValues(t, 27, s.sse.Stats().Refused["terminal_return"])
}

// Two EventSources of a user who may have one stream: the older ends for good.
func TestTwoEventSourcesOfOneUserDoNotEvictEachOtherForEver(t *testing.T) {
	s := startServer(t, parts{sse: `, "terminal_status": true`,
		client:  `, "subscribe_to_user_personal_channel": {"enabled": true, "single_connection": true, "personal_channel_namespace": "me"}`,
		channel: `, "namespaces": [{"name": "me", "presence": true}]`})
	opts := testkit.ConnectOptions{Token: tokenOf(t, "7", nil)}
	first := s.connect(t, opts)
	first.ExpectConnect(t)
	second := s.connect(t, opts)
	second.ExpectConnect(t)
	first.ExpectDisconnect(t, 3504)
	first.ExpectEnd(t)
	opts.HTTPHeaders = [][2]string{{"Last-Event-ID", first.LastEventID()}}
	head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{
		Target: testkit.DefaultPath + "?cf_connect={\"token\":\"" + opts.Token + "\"}", Headers: opts.HTTPHeaders,
	})
	require.Equal(t, 204, head.Status)
	s.api.MustResult(t, "publish", `{"channel":"me:#7","data":1}`)
	second.ExpectPub(t, "me:#7") // it stayed
}

// Without the option nothing changes: an id of another server says nothing.
func TestTerminalIDsAreOffByDefault(t *testing.T) {
	s := startStrict(t, parts{client: withSecret}, nil)
	opts := testkit.ConnectOptions{Token: tokenOf(t, "7", nil), HTTPHeaders: [][2]string{{"Last-Event-ID", "!3503"}}}
	c := s.connect(t, opts)
	c.ExpectConnect(t)
	s.api.MustResult(t, "disconnect", `{"user":"7"}`)
	require.False(t, c.NextKind(t, "disconnect").HasID)
	c.ExpectEnd(t)
}
