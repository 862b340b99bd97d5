package sse_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

// traced is a node that logs at a level.
type traced struct {
	*node
	log *testkit.LogBuffer
}

func newTraced(t *testing.T, level slog.Level, change func(*settings)) *traced {
	t.Helper()
	tr := &traced{log: &testkit.LogBuffer{}}
	log := slog.New(slog.NewJSONHandler(tr.log, &slog.HandlerOptions{Level: level}))
	tr.node = newNode(t, func(s *settings) {
		s.sse.Log, s.session.Log = log, log
		s.sse.Address = addressOf
		if change != nil {
			change(s)
		}
	})
	return tr
}

// record waits for a record with the message and these attributes, and returns
// all of it.
func (tr *traced) record(t *testing.T, message string, attrs map[string]any) map[string]any {
	t.Helper()
	var found map[string]any
	testkit.EventuallyWithin(t, time.Minute, func() bool {
	lines:
		for line := range strings.Lines(tr.log.String()) {
			var rec map[string]any
			if json.Unmarshal([]byte(line), &rec) != nil || rec["msg"] != message {
				continue
			}
			for key, want := range attrs {
				if rec[key] != want {
					continue lines
				}
			}
			found = rec
			return true
		}
		return false
	}, message+" in the log")
	return found
}

const requestID = "X-Request-Id"

// Every stream has a record when it begins and one when it ends, which say who
// it was, from where, under which request, and why it ended.
func TestConnectsAndDisconnectsAreLoggedAtDebug(t *testing.T) {
	tr := newTraced(t, slog.LevelDebug, func(s *settings) { s.sse.BoundedStreams = true })
	connect := func(user, request, query string) (*testkit.Client, string) {
		c := testkit.Connect(t, tr.addr, testkit.ConnectOptions{
			Request: `{"token":"` + token(t, user, nil) + `","subs":{"news":{}}}`, Method: "POST", Path: testkit.DefaultPath + query,
			HTTPHeaders: [][2]string{{requestID, request}, {"X-Address", "192.0.2.7"}}, Timeout: time.Minute,
		})
		id := c.ExpectConnect(t).Client
		rec := tr.record(t, "stream opened", map[string]any{"client": id})
		require.Equal(t, map[string]any{
			"level": "DEBUG", "msg": "stream opened", "client": id, "user": user, "address": "192.0.2.7", "request": request,
			"subscriptions": 1.0, "time": rec["time"],
		}, rec)
		require.Empty(t, c.Head().Values(requestID), "a stream has nothing to say about it")
		return c, id
	}
	closed := func(id, user, request, reason string, code int) {
		t.Helper()
		rec := tr.record(t, "stream closed", map[string]any{"client": id})
		require.GreaterOrEqual(t, rec["duration"], 0.0)
		require.Equal(t, map[string]any{
			"level": "DEBUG", "msg": "stream closed", "client": id, "user": user, "address": "192.0.2.7", "request": request,
			"reason": reason, "code": float64(code), "duration": rec["duration"], "time": rec["time"],
		}, rec)
	}
	gone, id := connect("1", "a", "")
	gone.Close()
	closed(id, "1", "a", "client_gone", 0)

	cut, id := connect("2", "b", "")
	require.NoError(t, tr.sessions.Disconnect(t.Context(), session.Target{User: "2"}, nil, codec.DisconnectForceNoReconnect))
	cut.ExpectDisconnect(t, 3503)
	closed(id, "2", "b", "disconnect", 3503)

	_, first := connect("3", "c", "")
	_, id = connect("4", "d", "?max_events=2")
	tr.publish(t, "news", `1`)
	closed(id, "4", "d", "bounded", 3000)
	require.NotContains(t, tr.log.String(), `"client":"`+first+`","user":"3","address":"192.0.2.7","request":"c","reason"`, "it is still open")
	require.NoError(t, tr.sessions.Disconnect(t.Context(), session.Target{User: "3"}, nil, codec.DisconnectForceReconnect))
	closed(first, "3", "c", "disconnect", 3011)
}

// A refusal is logged with its reason, and with the id that its answer has.
func TestRefusalsAreLoggedAtDebug(t *testing.T) {
	tr := newTraced(t, slog.LevelDebug, func(s *settings) {
		s.sse.Origins = origins(t, "https://a.example")
		s.sse.Responses = sse.Responses{Enabled: true}
		s.sse.AllowAnonymous = false
		s.auth = auth.Options{HMACSecretKey: secret}
	})
	f := func(reason string, status int, r testkit.Request, told ...any) {
		t.Helper()
		r.Headers = append(r.Headers, [2]string{"X-Address", "192.0.2.7"})
		for _, sent := range []string{"sent.by-the_Client", "not fit", ""} {
			tr.log.Reset()
			again := r
			again.Headers = append([][2]string{{requestID, sent}}, r.Headers...)
			head, _ := testkit.RoundTrip(t, tr.addr, again)
			require.Equal(t, status, head.Status)
			rec := tr.record(t, "connect refused", nil)
			require.Equal(t, reason, rec["reason"])
			if told != nil {
				require.Equal(t, told, []any{rec["code"], rec["status"]})
			}
			require.Equal(t, "192.0.2.7", rec["address"])
			require.Equal(t, rec["request"], head.Get(requestID))
			require.NotEmpty(t, rec["request"])
			require.Equal(t, sent == "sent.by-the_Client", rec["request"] == sent)
			require.NotContains(t, tr.log.String(), "Planted")
		}
	}
	f("method", 405, testkit.Request{Method: "PUT", Target: testkit.DefaultPath + "?Planted=1"})
	f("origin", 403, testkit.Request{Target: testkit.DefaultPath, Headers: [][2]string{{"Origin", "https://b.example"}}})
	f("malformed", 400, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: `{"Planted":`})
	f("bad request", 500, testkit.Request{Target: testkit.DefaultPath + "?Planted=1"}, 3501.0, 500.0)
	f("invalid token", 500, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: `{"token":"Planted"}`}, 3500.0, 500.0)
	f("unknown channel", 500, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: `{"token":"` +
		token(t, "1", map[string]any{"channels": []string{"nobody:knows"}}) + `"}`}, 102.0, 500.0)
	f("input", 400, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: "{}\r\n\r\nGET /more HTTP/1.1\r\n\r\n",
		Headers: [][2]string{{"Content-Length", "2"}}}, nil, 400.0)
	tr.endpoint.Drain()
	f("node_limit", 503, testkit.Request{Target: testkit.DefaultPath})
}

// The code of a refusal in the log is the one that the client is told, as which an
// error ends.
func TestTheLogHasTheCodeThatTheClientIsTold(t *testing.T) {
	tr := newTraced(t, slog.LevelDebug, func(s *settings) {
		s.auth = auth.Options{HMACSecretKey: secret}
		s.sse.Disconnects = sse.Disconnects{Enabled: true, Transforms: []sse.DisconnectTransform{
			{Code: codec.ErrUnknownChannel.Code, To: codec.Disconnect{Code: 4102, Reason: "mine"}},
		}}
	})
	f := func(reason string, code uint32, claims map[string]any) {
		t.Helper()
		tr.log.Reset()
		c := testkit.Connect(t, tr.addr, testkit.ConnectOptions{Token: token(t, "1", claims)})
		c.ExpectDisconnect(t, code)
		rec := tr.record(t, "connect refused", map[string]any{"reason": reason})
		require.EqualValues(t, code, rec["code"])
		require.NotContains(t, rec, "status")
		require.NotContains(t, rec, "option")
	}
	f("token expired", 3005, map[string]any{"exp": 1})
	f("unknown channel", 4102, map[string]any{"channels": []string{"nobody:knows"}})
}

// A connect that ends while it opens has one record, too: refused if the client
// was told something, cut short if it left.
func TestConnectsThatEndWhileTheyOpenAreLoggedAtDebug(t *testing.T) {
	tr := &traced{log: &testkit.LogBuffer{}}
	log := slog.New(slog.NewJSONHandler(tr.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	change := func(s *settings) { s.sse.Log, s.session.Log = log, log }
	once := func(message, reason string) {
		t.Helper()
		rec := tr.record(t, message, nil)
		require.Equal(t, reason, rec["reason"])
		require.NotEmpty(t, rec["client"])
		require.NotEmpty(t, rec["request"])
	}
	n, c, answer := slowOpening(t, change)
	require.NoError(t, c.Close())
	n.sessionsOpen(t, 0)
	answer()
	once("connect cut short", "client_gone")
	require.NoError(t, n.sessions.Idle(t.Context()))
	require.Equal(t, 1, strings.Count(tr.log.String(), "\n"), tr.log.String())

	tr.log.Reset()
	n, _, answer = slowOpening(t, change)
	require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{}, nil, codec.DisconnectForceNoReconnect))
	answer()
	once("connect refused", "force disconnect")
	require.NoError(t, n.sessions.Idle(t.Context()))
	require.Equal(t, 1, strings.Count(tr.log.String(), "\n"), tr.log.String())
}

// Below debug none of it is written or made; what the client sent comes back
// nevertheless.
func TestNothingIsSaidAtInfo(t *testing.T) {
	tr := newTraced(t, slog.LevelInfo, func(s *settings) { s.sse.Responses = sse.Responses{Enabled: true} })
	c, _ := tr.subscribe(t, nil)
	c.Close()
	tr.sessionsOpen(t, 0)
	for _, sent := range []string{"abc", ""} {
		for _, r := range []testkit.Request{
			{Method: "PUT", Target: testkit.DefaultPath},
			{Method: "POST", Target: testkit.DefaultPath, Body: `{"token":x}`},
		} {
			r.Headers = [][2]string{{requestID, sent}}
			head, _ := testkit.RoundTrip(t, tr.addr, r)
			require.GreaterOrEqual(t, head.Status, 400)
			require.Equal(t, sent, head.Get(requestID))
		}
	}
	require.Empty(t, tr.log.String())
}
