package sse_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/loop"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

// failing is a memory engine whose calls fail, wait or lie on request.
type failing struct {
	*brokermemory.Engine
	historyErr error
	wait       chan struct{} // History waits for it, if set
}

func (f *failing) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	if f.wait != nil {
		select {
		case <-f.wait:
		case <-ctx.Done():
			return unanswered(queries, ctx.Err())
		}
	}
	if f.historyErr != nil {
		return unanswered(queries, f.historyErr)
	}
	return f.Engine.Histories(ctx, queries)
}

// unanswered answers every query with an error.
func unanswered(queries []broker.HistoryQuery, err error) []broker.History {
	answers := make([]broker.History, len(queries))
	for i := range answers {
		answers[i].Err = err
	}
	return answers
}

// refused connects and checks that the answer is one disconnect push.
func (n *node) refused(t *testing.T, opts testkit.ConnectOptions, code uint32, reason string) {
	t.Helper()
	c := testkit.Connect(t, n.addr, opts)
	got := c.ExpectDisconnect(t, code)
	require.Equal(t, reason, got.Reason)
	require.Equal(t, "close", c.Head().Get("Connection"))
	c.ExpectClosed(t)
}

// Codes 3009, 3011, 3012, 3014, 3502's sibling 3508 and 3509 cannot be provoked
// here: nothing in this part sends them on its own. 3013 takes a connect hook.
func TestProtocol_3_1_DisconnectCodes(t *testing.T) {
	t.Run("3001_shutdown", func(t *testing.T) {
		n := newNode(t, nil)
		a, _ := n.subscribe(t, nil)
		b := testkit.Connect(t, n.addr, testkit.ConnectOptions{Proto: "HTTP/1.0"})
		b.ExpectConnect(t)
		n.sessions.Shutdown(t.Context(), 0)
		for _, c := range []*testkit.Client{a, b} {
			c.Expect(t, `{"disconnect":{"code":3001,"reason":"shutdown"}}`)
			c.ExpectEnd(t)
		}
		n.refused(t, testkit.ConnectOptions{}, 3001, "shutdown")
	})
	t.Run("3004_engine_failure", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			kinds(s)
			s.broker = &failing{Engine: brokermemory.New(brokermemory.Options{}), historyErr: errors.New("engine is gone")}
		})
		n.refused(t, testkit.ConnectOptions{Subs: subs("pos:a", "news")}, 3004, "internal server error")
		n.subscribe(t, subs("news"))
	})
	t.Run("3004_engine_timeout_of_its_own", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			kinds(s)
			s.broker = &failing{Engine: brokermemory.New(brokermemory.Options{}), historyErr: context.DeadlineExceeded}
		})
		n.refused(t, testkit.ConnectOptions{Subs: subs("pos:a")}, 3004, "internal server error")
	})
	t.Run("3008_slow", slowConsumer)
	t.Run("3502_stale", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			kinds(s)
			s.broker = &failing{Engine: brokermemory.New(brokermemory.Options{}), wait: make(chan struct{})}
			s.session.StaleCloseDelay = 100 * time.Millisecond
		})
		n.refused(t, testkit.ConnectOptions{Subs: subs("pos:a")}, 3502, "stale")
	})
}

// strict is a node with small limits that takes tokens for "us" only.
func strict(s *settings) {
	kinds(s)
	s.sse.AllowAnonymous = false
	s.auth.DisallowAnonymousConnectionTokens = true
	s.auth.Audience = "us"
	s.session.ChannelLimit = 2
	s.session.UserConnectionLimit = 1
}

// forUs is a connect to it with a token of user 1.
func forUs(t *testing.T, claims map[string]any) testkit.ConnectOptions {
	all := map[string]any{"aud": "us"}
	for k, v := range claims {
		all[k] = v
	}
	return testkit.ConnectOptions{Token: token(t, "1", all)}
}

func TestProtocol_3_1_CodesOfCredentials(t *testing.T) {
	n := newNode(t, strict)
	now := time.Now().Unix()
	tok := func(claims map[string]any) testkit.ConnectOptions { return forUs(t, claims) }
	f := func(name string, opts testkit.ConnectOptions, code uint32, reason string) {
		t.Run(name, func(t *testing.T) { n.refused(t, opts, code, reason) })
	}
	f("3004_unknown_namespace_in_channels", tok(map[string]any{"channels": []string{"nope:x"}}), 3004, "internal server error")
	f("3004_unknown_namespace_in_token_subs", tok(map[string]any{"subs": map[string]any{"nope:x": nil}}), 3004, "internal server error")
	f("3004_bad_b64info", tok(map[string]any{"b64info": "?"}), 3004, "internal server error")
	f("3005_token_expired", tok(map[string]any{"exp": now - 1}), 3005, "connection expired")
	f("3005_nbf_in_the_future", tok(map[string]any{"nbf": now + 1000}), 3005, "connection expired")
	f("3005_expire_at_in_the_past", tok(map[string]any{"expire_at": now - 1}), 3005, "connection expired")
	f("3500_malformed_token", testkit.ConnectOptions{Token: "x"}, 3500, "invalid token")
	f("3500_bad_signature", testkit.ConnectOptions{Token: testkit.HS256(t, "other", map[string]any{"sub": "1"})}, 3500, "invalid token")
	f("3500_wrong_audience", tok(map[string]any{"aud": "them"}), 3500, "invalid token")
	f("3500_subscription_token", tok(map[string]any{"channel": "x"}), 3500, "invalid token")
	f("3500_sub_is_a_number", tok(map[string]any{"sub": 1}), 3500, "invalid token")
	f("3500_bad_b64_in_subs", tok(map[string]any{"subs": map[string]any{"a": map[string]any{"b64info": "?"}}}), 3500, "invalid token")
	f("3501_no_credentials", testkit.ConnectOptions{}, 3501, "bad request")
	f("3501_unknown_namespace_in_connect_subs", func() testkit.ConnectOptions {
		o := tok(nil)
		o.Subs = subs("news", "nope:x")
		return o
	}(), 3501, "bad request")
	f("3505_channel_limit", tok(map[string]any{"channels": []string{"a", "b", "c"}}), 3505, "channel limit")
	f("3507_anonymous_token", testkit.ConnectOptions{Token: token(t, "", map[string]any{"aud": "us"})}, 3507, "permission denied")
}

func TestProtocol_3_1_CodesOfLimits(t *testing.T) {
	n := newNode(t, strict)
	tok := func(claims map[string]any) testkit.ConnectOptions { return forUs(t, claims) }
	t.Run("3504_user_connection_limit", func(t *testing.T) {
		c := testkit.Connect(t, n.addr, tok(nil))
		c.ExpectConnect(t)
		n.refused(t, tok(nil), 3504, "connection limit")
		c.Close()
		n.sessionsOpen(t, 0)
		testkit.Connect(t, n.addr, tok(nil)).ExpectConnect(t)
	})
	t.Run("failed_connects_give_back_what_they_reserved", func(t *testing.T) {
		o := tok(map[string]any{"sub": "2"})
		o.Token = testkit.HS256(t, secret, map[string]any{"sub": "2", "aud": "us", "channels": []string{"a", "b", "c"}})
		for range 3 {
			n.refused(t, o, 3505, "channel limit")
		}
		testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "2", map[string]any{"aud": "us"})}).ExpectConnect(t)
	})
	t.Run("3505_over_the_limit_by_API", func(t *testing.T) {
		o := tok(map[string]any{"channels": []string{"a", "b"}})
		o.Token = testkit.HS256(t, secret, map[string]any{"sub": "3", "aud": "us", "channels": []string{"a", "b"}})
		c := testkit.Connect(t, n.addr, o)
		c.ExpectConnect(t)
		require.NoError(t, n.sessions.Subscribe(t.Context(), session.Target{User: "3"}, session.SubscribeCommand{Channel: "a"}))
		c.Expect(t, `{"channel":"a","subscribe":{}}`)
		require.NoError(t, n.sessions.Subscribe(t.Context(), session.Target{User: "3"}, session.SubscribeCommand{Channel: "c"}))
		require.Equal(t, "channel limit", c.ExpectDisconnect(t, 3505).Reason)
	})
}

// slowConsumer does not read until the server gave it up. What it then reads is
// whole events in order, and after them the disconnect push if that went out in
// time.
func slowConsumer(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.loops = 1
		s.loop.QueueMaxSize = 64 << 10
	})
	nc, err := net.Dial("tcp", n.addr)
	require.NoError(t, err)
	require.NoError(t, nc.(*net.TCPConn).SetReadBuffer(128<<10))
	conn := testkit.NewConn(t, nc)
	conn.Send(testkit.Request{Target: testkit.DefaultPath + `?cf_connect={"subs":{"news":{}}}`}.String())
	conn.ReadHead(t)
	n.sessionsOpen(t, 1)
	payload := `"` + strings.Repeat("x", 32<<10) + `"`
	testkit.Eventually(t, func() bool {
		for range 16 {
			n.publish(t, "news", payload)
		}
		return n.group.Stats().Closes[loop.ReasonSlowBytes] == 1
	}, "the stream to be closed as slow")
	n.sessionsOpen(t, 0)
	events := testkit.NewReader(conn.Body())
	last := ""
	for count := 0; ; count++ {
		ev, err := events.Next()
		if err != nil {
			require.Greater(t, count, 1)
			if conn.Terminated() {
				require.Equal(t, `{"disconnect":{"code":3008,"reason":"slow"}}`, last)
				require.Empty(t, events.Incomplete())
			}
			return
		}
		if strings.Contains(ev.Data, `"pub"`) {
			require.Equal(t, `{"channel":"news","pub":{"data":`+payload+`}}`, ev.Data)
		}
		last = ev.Data
	}
}

func TestProtocol_3_2_ErrorsBecomeDisconnects(t *testing.T) {
	f := func(e *codec.Error, want *codec.Disconnect) {
		require.Equal(t, want, codec.ConnectDisconnect(e), e)
	}
	f(codec.ErrTokenExpired, codec.DisconnectExpired)
	f(codec.ErrExpired, codec.DisconnectExpired)
	f(codec.ErrTooManyRequests, codec.DisconnectTooManyRequests)
	f(codec.ErrPermissionDenied, codec.DisconnectPermissionDenied)
	for _, e := range []*codec.Error{
		codec.ErrInternal, codec.ErrUnauthorized, codec.ErrUnknownChannel, codec.ErrNotFound, codec.ErrAlreadySubscribed,
		codec.ErrLimitExceeded, codec.ErrBadRequest, codec.ErrNotAvailable, codec.ErrUnrecoverablePosition, codec.ErrConflict,
		{Code: 1000, Message: "custom"},
	} {
		f(e, codec.DisconnectServerError)
	}
}

func TestProtocol_3_4_ConnectCodeToUnidirectionalDisconnect(t *testing.T) {
	n := newNode(t, func(s *settings) {
		kinds(s)
		s.sse.Disconnects = sse.Disconnects{Enabled: true, Transforms: []sse.DisconnectTransform{
			{Code: 109, To: codec.Disconnect{Code: 4109, Reason: "tok expired"}},
			{Code: 109, To: codec.Disconnect{Code: 4110, Reason: "second"}},
			{Code: 102, To: codec.Disconnect{Code: 3000, Reason: "silent"}},
			{Code: 3500, To: codec.Disconnect{Code: 4500, Reason: "no effect"}},
			{Code: 3501, To: codec.Disconnect{Code: 4501, Reason: "no effect"}},
		}}
	})
	past := time.Now().Unix() - 1
	n.refused(t, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"exp": past})}, 4109, "tok expired")
	n.refused(t, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"expire_at": past})}, 3005, "connection expired")
	n.refused(t, testkit.ConnectOptions{Token: "x"}, 3500, "invalid token")
	n.refused(t, testkit.ConnectOptions{Subs: subs("nope:x")}, 3501, "bad request")
	t.Run("to_3000_is_silent", func(t *testing.T) {
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"channels": []string{"nope:x"}})})
		c.ExpectEnd(t)
	})
	t.Run("switched_off", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			s.sse.Disconnects.Transforms = []sse.DisconnectTransform{{Code: 109, To: codec.Disconnect{Code: 4109}}}
		})
		n.refused(t, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"exp": past})}, 3005, "connection expired")
	})
}
