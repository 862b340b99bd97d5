package sse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

func TestProtocol_2_1_ConnectRequest(t *testing.T) {
	n := newNode(t, kinds)
	tok := token(t, "42", map[string]any{"info": map[string]string{"name": "A"}})
	f := func(name, request string, status int, user string) {
		t.Run(name, func(t *testing.T) {
			if status != 200 {
				got, _ := n.answers(t, testkit.Request{Method: "POST", Target: testkit.DefaultPath, Body: request})
				require.Equal(t, status, got)
				return
			}
			c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Method: "POST", Request: request})
			c.ExpectConnect(t)
			clients, err := n.presence.Presence(t.Context(), "present:x")
			require.NoError(t, err)
			require.Len(t, clients, 1)
			require.Equal(t, user, clients[0].User)
			c.Close()
			n.sessionsOpen(t, 0)
			testkit.Eventually(t, func() bool {
				s, err := n.presence.Stats(t.Context(), "present:x")
				return err == nil && s.Clients == 0
			}, "the client to leave presence")
		})
	}
	in := `"subs":{"present:x":{}}`
	f("token", `{"token":"`+tok+`",`+in+`}`, 200, "42")
	f("empty_token", `{"token":"",`+in+`}`, 200, "")
	f("every_field", `{"token":"`+tok+`","data":{"any":[1]},"name":"js","version":"1.2","headers":{"X-A":"b"},"flag":1,`+in+`}`, 200, "42")
	f("every_sub_field", `{"subs":{"present:x":{"recover":true,"offset":1,"epoch":"e","delta":"fossil","token":"t","data":{},`+
		`"positioned":true,"recoverable":true,"join_leave":true,"tf":{"op":"a","nodes":[{"key":"k","vals":["v"]}]},"flag":1,"channel":"x","type":1,"phase":1,"cursor":"c","limit":1,"asc":true}}}`, 200, "")
	f("names_without_case", `{"TOKEN":"`+tok+`","Subs":{"present:x":{"Recover":true}}}`, 200, "42")
	f("the_last_of_a_repeated_key_wins", `{"token":"bad","token":"`+tok+`",`+in+`}`, 200, "42")
	f("data_is_any_json", `{"data":"x",`+in+`}`, 200, "")
	for _, bad := range []string{
		`{"token":1}`, `{"name":1}`, `{"version":{}}`, `{"subs":[]}`, `{"headers":{"a":1}}`, `{"headers":[]}`, `{"flag":"1"}`, `{"flag":1.5}`,
		`{"subs":{"c":{"recover":1}}}`, `{"subs":{"c":{"epoch":1}}}`, `{"subs":{"c":{"delta":true}}}`, `{"subs":{"c":{"token":1}}}`,
		`{"subs":{"c":{"positioned":"x"}}}`, `{"subs":{"c":{"tf":1}}}`, `{"subs":{"c":{"limit":"1"}}}`, `{"subs":{"c":{"tf":{"vals":"x"}}}}`,
	} {
		f("wrong_type_"+bad, bad, 400, "")
	}
}

func TestProtocol_2_2_Connect(t *testing.T) {
	f := func(name string, change func(*settings), opts testkit.ConnectOptions, want string) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(s *settings) {
				kinds(s)
				if change != nil {
					change(s)
				}
			})
			c := testkit.Connect(t, n.addr, opts)
			require.Equal(t, want, connectPush(t, c))
		})
	}
	const head, tail = `{"connect":{"client":"<uuid>","version":"0.0.0 OSS",`, `"ping":25,"session":"<uuid>"}}`
	f("plain", nil, testkit.ConnectOptions{}, head+tail)
	f("subs", nil, testkit.ConnectOptions{Subs: subs("news")}, head+`"subs":{"news":{}},`+tail)
	f("not_granted_subs_leave_no_key", nil, testkit.ConnectOptions{Subs: subs("$news")}, head+tail)
	f("positioned", nil, testkit.ConnectOptions{Subs: subs("pos:a")}, head+`"subs":{"pos:a":{"epoch":"<epoch>","positioned":true}},`+tail)
	f("recoverable", nil, testkit.ConnectOptions{Subs: subs("rec:a")},
		head+`"subs":{"rec:a":{"recoverable":true,"epoch":"<epoch>","positioned":true}},`+tail)
	f("data_of_a_token_channel", nil, testkit.ConnectOptions{
		Token: token(t, "1", map[string]any{"subs": map[string]any{"cache:a": map[string]any{"data": map[string]int{"d": 1}}}}),
		Subs:  recovering("cache:a", 0, ""),
	}, head+`"subs":{"cache:a":{"recoverable":true,"epoch":"<epoch>","positioned":true,"data":{"d":1},"was_recovering":true}},`+tail)
	f("delta", nil, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"loosedelta:a": {Delta: "fossil"}}},
		head+`"subs":{"loosedelta:a":{"delta":true}},`+tail)
	f("other_delta_is_ignored", nil, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"loosedelta:a": {Delta: "x"}}},
		head+`"subs":{"loosedelta:a":{}},`+tail)
	f("delta_not_allowed_is_ignored", nil, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"rec:a": {Delta: "fossil"}}},
		head+`"subs":{"rec:a":{"recoverable":true,"epoch":"<epoch>","positioned":true}},`+tail)
	t.Run("expires_and_ttl", func(t *testing.T) {
		n := newNode(t, nil)
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Token: token(t, "1", map[string]any{"exp": time.Now().Unix() + 3600}),
		})
		got := connectPush(t, c)
		require.Regexp(t, `^\{"connect":\{"client":"<uuid>","version":"0.0.0 OSS","expires":true,"ttl":(3600|35\d\d),"ping":25,"session":"<uuid>"\}\}$`, got)
	})
	t.Run("time", func(t *testing.T) {
		n := newNode(t, func(s *settings) { s.session.ServerTime = true })
		before := time.Now().UnixMilli()
		c, res := n.subscribe(t, nil)
		_ = c
		require.GreaterOrEqual(t, res.Time, before)
		require.LessOrEqual(t, res.Time, time.Now().UnixMilli())
	})
	t.Run("ids_differ", func(t *testing.T) {
		n := newNode(t, nil)
		_, a := n.subscribe(t, nil)
		_, b := n.subscribe(t, nil)
		require.Len(t, map[string]bool{a.Client: true, a.Session: true, b.Client: true, b.Session: true}, 4)
	})
}

func TestProtocol_2_2_Pub(t *testing.T) {
	n := newNode(t, kinds)
	c, _ := n.subscribe(t, subs("plain:a", "hist:a", "rec:a"))
	f := func(name, ch string, change func(*codec.Publication, *brokerOptions), want string) {
		t.Run(name, func(t *testing.T) {
			n.publishWith(t, ch, `{"a":1}`, change)
			require.Equal(t, `{"channel":"`+ch+`","pub":`+want+`}`, normal(c.Next(t).Raw))
		})
	}
	f("plain", "plain:a", nil, `{"data":{"a":1}}`)
	f("tags", "plain:a", func(p *codec.Publication, _ *brokerOptions) {
		p.Tags = []codec.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "<x>"}}
	}, `{"data":{"a":1},"tags":{"a":"1","b":"\u003cx\u003e"}}`)
	f("version_without_history", "plain:a", func(p *codec.Publication, _ *brokerOptions) { p.Version = 3 }, `{"data":{"a":1},"version":3}`)
	f("info", "plain:a", func(p *codec.Publication, _ *brokerOptions) {
		p.Info = &codec.ClientInfo{User: "", Client: "c", ConnInfo: compact(t, `1`), ChanInfo: compact(t, `2`)}
	}, `{"data":{"a":1},"info":{"user":"","client":"c","conn_info":1,"chan_info":2}}`)
	f("empty_payload", "plain:a", func(p *codec.Publication, _ *brokerOptions) { p.Data = codec.JSON{} }, `{}`)
	f("first_of_a_stream_has_the_epoch", "hist:a", nil, `{"data":{"a":1},"offset":1,"epoch":"<epoch>"}`)
	f("later_ones_have_not", "hist:a", nil, `{"data":{"a":1},"offset":2}`)
	f("skip_history", "hist:a", withoutHistory, `{"data":{"a":1}}`)
	f("every_field", "hist:a", func(p *codec.Publication, _ *brokerOptions) {
		p.Version, p.Tags = 5, []codec.Tag{{Key: "t", Value: "0"}}
		p.Info = &codec.ClientInfo{User: "u", Client: "c"}
	}, `{"data":{"a":1},"info":{"user":"u","client":"c"},"offset":3,"tags":{"t":"0"},"version":5}`)
	f("skip_history_on_a_positioned_channel", "rec:a", withoutHistory, `{"data":{"a":1}}`)
	f("first_of_a_positioned_stream", "rec:a", nil, `{"data":{"a":1},"offset":1,"epoch":"<epoch>"}`)
	t.Run("a_dropped_version_is_not_delivered", func(t *testing.T) {
		res := n.publishWith(t, "hist:a", `1`, func(p *codec.Publication, _ *brokerOptions) { p.Version = 5 })
		require.True(t, res.Suppressed)
		n.publish(t, "plain:a", `"next"`)
		c.Expect(t, `{"channel":"plain:a","pub":{"data":"next"}}`)
	})
}

func TestProtocol_2_2_JoinLeave(t *testing.T) {
	n := newNode(t, func(s *settings) {
		kinds(s)
		s.channels.Namespaces = append(s.channels.Namespaces,
			open("emits", channel.Options{JoinLeave: true}), open("hears", channel.Options{ForcePushJoinLeave: true}))
	})
	first := testkit.Connect(t, n.addr, testkit.ConnectOptions{
		Token: token(t, "42", map[string]any{
			"info": map[string]string{"name": "A"},
			"subs": map[string]any{"joins:a": map[string]any{"info": 7}},
		}),
	})
	me := first.ExpectConnect(t).Client
	first.Expect(t, `{"channel":"joins:a","join":{"info":{"user":"42","client":"`+me+`","conn_info":{"name":"A"},"chan_info":7}}}`)
	second, res := n.subscribe(t, subs("joins:a"))
	join := `{"channel":"joins:a","join":{"info":{"user":"","client":"` + res.Client + `"}}}`
	second.Expect(t, join)
	first.Expect(t, join)
	second.Close()
	first.Expect(t, `{"channel":"joins:a","leave":{"info":{"user":"","client":"`+res.Client+`"}}}`)

	t.Run("only_pushed_where_forced", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("emits:a", "hears:a"))
		n.publish(t, "emits:a", `1`)
		c.Expect(t, `{"channel":"emits:a","pub":{"data":1}}`)
		n.publish(t, "hears:a", `2`)
		c.Expect(t, `{"channel":"hears:a","pub":{"data":2}}`)
	})
}

func TestProtocol_2_2_Subscribe(t *testing.T) {
	n := newNode(t, kinds)
	everyone := session.Target{}
	c, _ := n.subscribe(t, nil)
	add := func(cmd session.SubscribeCommand) {
		t.Helper()
		require.NoError(t, n.sessions.Subscribe(t.Context(), everyone, cmd))
	}
	f := func(name string, cmd session.SubscribeCommand, want string) {
		t.Run(name, func(t *testing.T) {
			add(cmd)
			require.Equal(t, `{"channel":"`+cmd.Channel+`","subscribe":`+want+`}`, normal(c.Next(t).Raw))
		})
	}
	f("plain", session.SubscribeCommand{Channel: "plain:a"}, `{}`)
	f("data", session.SubscribeCommand{Channel: "plain:b", Data: compact(t, `{"d": 1}`)}, `{"data":{"d":1}}`)
	f("positioned_new_stream", session.SubscribeCommand{Channel: "pos:a"}, `{"epoch":"<epoch>","positioned":true}`)
	n.publish(t, "rec:a", `1`)
	f("every_field", session.SubscribeCommand{Channel: "rec:a", Data: compact(t, `1`)},
		`{"recoverable":true,"epoch":"<epoch>","offset":1,"positioned":true,"data":1}`)
	t.Run("delivers_afterwards", func(t *testing.T) {
		n.publish(t, "rec:a", `2`)
		c.Expect(t, `{"channel":"rec:a","pub":{"data":2,"offset":2}}`)
		n.publish(t, "plain:a", `3`)
		c.Expect(t, `{"channel":"plain:a","pub":{"data":3}}`)
	})
	t.Run("since_sends_what_was_missed_12_18", func(t *testing.T) {
		other, _ := n.subscribe(t, nil)
		add(session.SubscribeCommand{Channel: "rec:a", Since: &broker.Position{Offset: 0}})
		for _, cl := range []*testkit.Client{c, other} {
			require.Equal(t, `{"channel":"rec:a","subscribe":{"recoverable":true,"epoch":"<epoch>","positioned":true}}`, normal(cl.Next(t).Raw))
			require.Equal(t, `{"channel":"rec:a","pub":{"data":1,"offset":1,"epoch":"<epoch>"}}`, normal(cl.Next(t).Raw))
			cl.Expect(t, `{"channel":"rec:a","pub":{"data":2,"offset":2}}`)
		}
		n.publish(t, "rec:a", `3`)
		for _, cl := range []*testkit.Client{c, other} {
			cl.Expect(t, `{"channel":"rec:a","pub":{"data":3,"offset":3}}`)
		}
		other.Close()
		n.sessionsOpen(t, 1)
	})
	t.Run("auto_cache_recover_12_19", func(t *testing.T) {
		n.publish(t, "auto:a", `"state"`)
		add(session.SubscribeCommand{Channel: "auto:a"})
		require.Equal(t, `{"channel":"auto:a","subscribe":{"recoverable":true,"epoch":"<epoch>","positioned":true}}`, normal(c.Next(t).Raw))
		require.Equal(t, `{"channel":"auto:a","pub":{"data":"state","offset":1,"epoch":"<epoch>"}}`, normal(c.Next(t).Raw))
	})
}

func TestProtocol_2_2_Unsubscribe(t *testing.T) {
	n := newNode(t, kinds)
	everyone := session.Target{}
	c, _ := n.subscribe(t, nil)
	add := func(cmd session.SubscribeCommand) {
		t.Helper()
		require.NoError(t, n.sessions.Subscribe(t.Context(), everyone, cmd))
	}
	for i := range 3 {
		n.publish(t, "rec:a", fmt.Sprint(i))
	}
	for _, ch := range []string{"plain:a", "rec:a"} {
		add(session.SubscribeCommand{Channel: ch})
		require.Equal(t, "subscribe", c.Next(t).Kind)
	}
	t.Run("unsubscribe", func(t *testing.T) {
		require.NoError(t, n.sessions.Unsubscribe(t.Context(), everyone, "rec:a"))
		c.Expect(t, `{"channel":"rec:a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`)
		n.publish(t, "rec:a", `4`)
		n.publish(t, "plain:a", `5`)
		c.Expect(t, `{"channel":"plain:a","pub":{"data":5}}`)
	})
	t.Run("unsubscribe_of_what_was_never_subscribed_is_silent_12_17", func(t *testing.T) {
		require.NoError(t, n.sessions.Unsubscribe(t.Context(), everyone, "rec:a"))
		n.publish(t, "plain:a", `6`)
		c.Expect(t, `{"channel":"plain:a","pub":{"data":6}}`)
	})
	t.Run("again_subscribed", func(t *testing.T) {
		add(session.SubscribeCommand{Channel: "rec:a"})
		require.Equal(t, `{"channel":"rec:a","subscribe":{"recoverable":true,"epoch":"<epoch>","offset":4,"positioned":true}}`, normal(c.Next(t).Raw))
	})
	t.Run("join_again_for_a_repeated_subscribe", func(t *testing.T) {
		for range 2 {
			add(session.SubscribeCommand{Channel: "joins:a"})
			c.Expect(t, `{"channel":"joins:a","subscribe":{}}`)
			require.Equal(t, "join", c.Next(t).Kind)
		}
		require.NoError(t, n.sessions.Unsubscribe(t.Context(), everyone, "joins:a"))
		c.Expect(t, `{"channel":"joins:a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`)
	})
	t.Run("errors", func(t *testing.T) {
		require.ErrorIs(t, n.sessions.Subscribe(t.Context(), everyone, session.SubscribeCommand{Channel: "nope:a"}), codec.ErrUnknownChannel)
		require.ErrorIs(t, n.sessions.Subscribe(t.Context(), everyone, session.SubscribeCommand{Channel: "plain:a", ExpireAt: 1}), codec.ErrBadRequest)
	})
}

func TestProtocol_2_2_TargetsOfCommands(t *testing.T) {
	n := newNode(t, kinds)
	connect := func(user string) (*testkit.Client, testkit.ConnectResult) {
		opts := testkit.ConnectOptions{}
		if user != "" {
			opts.Token = token(t, user, nil)
		}
		c := testkit.Connect(t, n.addr, opts)
		return c, c.ExpectConnect(t)
	}
	a1, r1 := connect("a")
	a2, r2 := connect("a")
	b, rb := connect("b")
	anon, _ := connect("")
	all := []*testkit.Client{a1, a2, b, anon}
	f := func(name string, target session.Target, want ...*testkit.Client) {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, n.sessions.Subscribe(t.Context(), target, session.SubscribeCommand{Channel: "plain:" + name}))
			for _, c := range want {
				c.Expect(t, `{"channel":"plain:`+name+`","subscribe":{}}`)
			}
			require.NoError(t, n.sessions.Unsubscribe(t.Context(), target, "plain:"+name))
			for _, c := range want {
				c.Expect(t, `{"channel":"plain:`+name+`","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`)
			}
		})
	}
	f("user", session.Target{User: "a"}, a1, a2)
	f("client", session.Target{User: "a", Client: r1.Client}, a1)
	f("session", session.Target{User: "a", Session: r2.Session}, a2)
	f("client-of-another-user", session.Target{User: "a", Client: rb.Client})
	f("client-and-session-differ", session.Target{User: "a", Client: r1.Client, Session: r2.Session})
	f("anonymous", session.Target{}, anon)
	f("unknown", session.Target{User: "c"})
	t.Run("whitelist", func(t *testing.T) {
		require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{User: "a"}, []string{r1.Client}, forced))
		a2.ExpectDisconnect(t, 3503)
		n.sessionsOpen(t, len(all)-1)
	})
}

func TestProtocol_2_2_Refresh(t *testing.T) {
	n := newNode(t, kinds)
	now := time.Now().Unix()
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
		Token: token(t, "1", map[string]any{"exp": now + 1000}), Subs: subs("joins:a"),
	})
	c.ExpectConnect(t)
	c.NextKind(t, "join")
	refresh := func(cmd session.RefreshCommand) {
		t.Helper()
		require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{User: "1"}, cmd))
	}
	t.Run("later", func(t *testing.T) {
		refresh(session.RefreshCommand{ExpireAt: time.Now().Unix() + 100, Info: compact(t, `{"new":1}`)})
		require.Regexp(t, `^\{"refresh":\{"expires":true,"ttl":(100|[5-9]\d)\}\}$`, string(c.Next(t).Raw))
	})
	t.Run("never", func(t *testing.T) {
		refresh(session.RefreshCommand{})
		c.Expect(t, `{"refresh":{}}`)
	})
	t.Run("very_far_away", func(t *testing.T) {
		refresh(session.RefreshCommand{ExpireAt: 1<<63 - 1})
		c.Expect(t, `{"refresh":{"expires":true,"ttl":4294967295}}`)
		n.publish(t, "joins:a", `"still here"`)
		c.Expect(t, `{"channel":"joins:a","pub":{"data":"still here"}}`)
	})
	t.Run("info_is_replaced_in_presence", func(t *testing.T) {
		p, res := n.subscribe(t, subs("present:x"))
		here := func(info string) bool {
			clients, err := n.presence.Presence(t.Context(), "present:x")
			require.NoError(t, err)
			return len(clients) == 1 && clients[0].Client == res.Client && clients[0].ConnInfo.String() == info
		}
		require.True(t, here(``))
		require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{Client: res.Client}, session.RefreshCommand{Info: compact(t, `{"new":2}`)}))
		p.Expect(t, `{"refresh":{}}`)
		testkit.Eventually(t, func() bool { return here(`{"new":2}`) }, "presence to have the new info")
	})
	t.Run("info_is_replaced", func(t *testing.T) {
		other, res := n.subscribe(t, subs("joins:a"))
		_ = other
		c.NextKind(t, "join")
		require.NoError(t, n.sessions.Disconnect(t.Context(), session.Target{User: "1"}, nil, forced))
		other.NextKind(t, "join")
		p := other.NextKind(t, "leave")
		require.Contains(t, string(p.Raw), `"conn_info":{"new":1}`)
		require.NotContains(t, string(p.Raw), res.Client)
	})
}
