package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/presence"
	"sluice/gateway/session"
)

func TestSubscribeCommand(t *testing.T) {
	r := newRig(t, nil)
	future := time.Now().Unix() + 100
	r.expect("subscribe", fmt.Sprintf(`{"user":"42","channel":"news","client":"c","session":"s","expire_at":%d,
		"info":{"i" : 1},"data":{"d":1},"recover_since":{"offset":5,"epoch":"E"},
		"override":{"presence":{"value":true},"join_leave":{"value":false},"force_recovery":{"value":true},"force_positioning":{},"force_push_join_leave":null}}`, future),
		`{"result":{}}`)
	require.Equal(t, []any{subscribeCall{
		session.Target{User: "42", Client: "c", Session: "s"},
		session.SubscribeCommand{
			Channel: "news", ExpireAt: future, Info: mustJSON(t, `{"i":1}`), Data: mustJSON(t, `{"d":1}`),
			Since:    &broker.Position{Offset: 5, Epoch: "E"},
			Override: auth.Override{Presence: auth.On, JoinLeave: auth.Off, ForceRecovery: auth.On, ForcePositioning: auth.Off},
		},
	}}, r.sessions.take())

	// Empty strings mean "not set"; old flat fields are ignored; a JSON null
	// is a value; b64 wins.
	r.expect("subscribe", `{"user":"","channel":"news","client":"","session":"","b64info":"","presence":true,"position":true,"recover":true,"expire_at":-1}`, `{"result":{}}`)
	r.expect("subscribe", `{"channel":"news","info":{"loses":1},"b64info":"eyJ3IjoxfQ==","data":null}`, `{"result":{}}`)
	require.Equal(t, []any{
		subscribeCall{cmd: session.SubscribeCommand{Channel: "news"}},
		subscribeCall{cmd: session.SubscribeCommand{Channel: "news", Info: mustJSON(t, `{"w":1}`), Data: mustJSON(t, `null`)}},
	}, r.sessions.take())

	r.refused("subscribe", `{"user":"42"}`, codec.ErrBadRequest, "channel: ")
	r.refused("subscribe", `{"user":"42","channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
	r.refused("subscribe", fmt.Sprintf(`{"channel":"news","expire_at":%d}`, time.Now().Unix()-1), codec.ErrBadRequest, "expire_at: ")
	r.refused("subscribe", `{"channel":"news","b64info":"%"}`, codec.ErrBadRequest, "b64info: ")
	r.refused("subscribe", `{"channel":"news","b64data":"aGk="}`, codec.ErrBadRequest, "b64data: bad JSON")
	require.Empty(t, r.sessions.take())

	// What a stream missed finds no room: it names the option.
	r.sessions.err = fmt.Errorf("wrapped: %w", &session.Shortage{Detail: "no room", Option: "an.option"})
	r.refused("subscribe", `{"user":"42","channel":"news"}`, codec.ErrTooManyRequests, "no room (an.option)")
}

func TestUnsubscribeCommand(t *testing.T) {
	r := newRig(t, nil)
	r.expect("unsubscribe", `{"user":"42","channel":"news","client":"c","session":"s"}`, `{"result":{}}`)
	require.Equal(t, []any{unsubscribeCall{session.Target{User: "42", Client: "c", Session: "s"}, "news"}}, r.sessions.take())
	r.expect("unsubscribe", `{"user":"42","channel":""}`, `{"result":{}}`) // of all channels (12.17)
	require.Equal(t, []any{unsubscribeCall{session.Target{User: "42"}, ""}}, r.sessions.take())
	r.refused("unsubscribe", `{"user":"42","channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
	require.Empty(t, r.sessions.take())
}

func TestDisconnectCommand(t *testing.T) {
	r := newRig(t, nil)
	r.expect("disconnect", `{"user":"42"}`, `{"result":{}}`)
	r.expect("disconnect", `{"user":"42","client":"c","session":"s","whitelist":["a","b"],"disconnect":{"code":4001,"reason":"bye","reconnect":true}}`, `{"result":{}}`)
	r.expect("disconnect", `{"disconnect":{}}`, `{"result":{}}`)
	r.expect("disconnect", `{"user":"42","client":"","session":"","disconnect":null}`, `{"result":{}}`)
	require.Equal(t, []any{
		disconnectCall{session.Target{User: "42"}, nil, *codec.DisconnectForceNoReconnect},
		disconnectCall{session.Target{User: "42", Client: "c", Session: "s"}, []string{"a", "b"}, codec.Disconnect{Code: 4001, Reason: "bye"}},
		disconnectCall{},
		disconnectCall{session.Target{User: "42"}, nil, *codec.DisconnectForceNoReconnect},
	}, r.sessions.take())
}

func TestRefreshCommand(t *testing.T) {
	r := newRig(t, nil)
	r.expect("refresh", `{"user":"42","client":"c","session":"s","expired":true,"expire_at":5,"info":{"a" : 1}}`, `{"result":{}}`)
	r.expect("refresh", `{"user":"42"}`, `{"result":{}}`)
	require.Equal(t, []any{
		refreshCall{session.Target{User: "42", Client: "c", Session: "s"}, session.RefreshCommand{Expired: true, ExpireAt: 5, Info: mustJSON(t, `{"a":1}`)}},
		refreshCall{session.Target{User: "42"}, session.RefreshCommand{}},
	}, r.sessions.take())
	r.refused("refresh", `{"info":`+strings.Repeat("[", 130)+strings.Repeat("]", 130)+`}`, codec.ErrBadRequest, "info: bad JSON")
	require.Empty(t, r.sessions.take())
}

func TestPresenceAndItsStats(t *testing.T) {
	r := newRig(t, nil)
	r.expect("presence", `{"channel":"hh:a"}`, `{"result":{"presence":{}}}`)
	r.expect("presence_stats", `{"channel":"hh:a"}`, `{"result":{"num_clients":0,"num_users":0}}`)
	for _, info := range []*codec.ClientInfo{
		{User: "42", Client: "c2", ConnInfo: mustJSON(t, `{"n":"A"}`), ChanInfo: mustJSON(t, `1`)}, {User: "42", Client: "c1"}, {Client: "c3"},
	} {
		require.NoError(t, r.presence.Apply(context.Background(), []presence.Change{{Channel: "hh:a", Info: info}}))
	}
	r.expect("presence", `{"channel":"hh:a"}`, `{"result":{"presence":{"c1":{"user":"42","client":"c1"},`+
		`"c2":{"user":"42","client":"c2","conn_info":{"n":"A"},"chan_info":1},"c3":{"user":"","client":"c3"}}}}`)
	r.expect("presence_stats", `{"channel":"hh:a"}`, `{"result":{"num_clients":3,"num_users":2}}`)
	for _, method := range []string{"presence", "presence_stats"} {
		r.refused(method, `{}`, codec.ErrBadRequest, "channel: ")
		r.refused(method, `{"channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
		r.refused(method, `{"channel":"news"}`, codec.ErrNotAvailable, "channel: ")
	}
}

func TestHistoryTable(t *testing.T) {
	r := newRig(t, nil)
	e := r.epoch("hh:a")
	for i := 1; i <= 7; i++ { // 3 to 7 are kept
		tags := ""
		if i == 7 {
			tags = `,"tags":{"k":"v"}`
		}
		r.post("publish", fmt.Sprintf(`{"channel":"hh:a","data":%d,"version":%d%s}`, i, i, tags))
	}
	item := func(i int) string {
		if i == 7 {
			return `{"data":7,"offset":7,"tags":{"k":"v"}}`
		}
		return fmt.Sprintf(`{"data":%d,"offset":%d}`, i, i)
	}
	f := func(rest string, want ...int) {
		t.Helper()
		items := make([]string, 0, len(want))
		for _, i := range want {
			items = append(items, item(i))
		}
		r.expect("history", `{"channel":"hh:a"`+rest+`}`, `{"result":{"publications":[`+strings.Join(items, ",")+`],"epoch":"`+e+`","offset":7}}`)
	}
	f(``)
	f(`,"limit":0`)
	f(`,"limit":0,"since":{"offset":3}`)
	f(`,"limit":2`, 3, 4)
	f(`,"limit":-1`, 3, 4, 5, 6, 7)
	f(`,"limit":1000`, 3, 4, 5, 6, 7)
	f(`,"limit":2,"reverse":true`, 7, 6)
	f(`,"limit":-1,"reverse":true`, 7, 6, 5, 4, 3)
	f(`,"limit":-1,"since":{"offset":5,"epoch":"`+e+`"}`, 6, 7)
	f(`,"limit":1,"since":{"offset":5}`, 6)
	f(`,"limit":-1,"since":{"offset":1}`, 3, 4, 5, 6, 7)
	f(`,"limit":-1,"since":{"offset":99}`)
	f(`,"limit":-1,"since":{}`, 3, 4, 5, 6, 7)
	f(`,"limit":-1,"since":null`, 3, 4, 5, 6, 7)
	f(`,"limit":-1,"reverse":true,"since":{"offset":5}`, 4, 3)
	f(`,"limit":1,"reverse":true,"since":{"offset":5}`, 4)

	r.refused("history", `{"channel":"hh:a","limit":-1,"since":{"offset":5,"epoch":"bad"}}`, codec.ErrUnrecoverablePosition, "since.epoch: ")
	r.refused("history", `{"channel":"hh:a","reverse":true,"since":{"offset":0}}`, codec.ErrBadRequest, "since.offset: ")
	r.refused("history", `{}`, codec.ErrBadRequest, "channel: ")
	r.refused("history", `{"channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
	r.refused("history", `{"channel":"news"}`, codec.ErrNotAvailable, "channel: ")

	r.expect("history", `{"channel":"hh:fresh","limit":5}`, `{"result":{"publications":[],"epoch":"`+r.epoch("hh:fresh")+`","offset":0}}`)

	r.expect("history_remove", `{"channel":"hh:a"}`, `{"result":{}}`)
	f(`,"limit":-1`)
	r.expect("history_remove", `{"channel":"hh:never"}`, `{"result":{}}`)
	r.refused("history_remove", `{}`, codec.ErrBadRequest, "channel: ")
	r.refused("history_remove", `{"channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
	r.refused("history_remove", `{"channel":"news"}`, codec.ErrNotAvailable, "channel: ")
}

// noHistory is an engine that keeps none.
type noHistory struct{ broker.Broker }

func (noHistory) Histories(context.Context, []broker.HistoryQuery) []broker.History {
	return []broker.History{{Err: fmt.Errorf("nats: %w", broker.ErrNoHistory)}}
}
func (noHistory) RemoveHistory(context.Context, string) error { return broker.ErrNoHistory }

func TestEngineWithoutHistoryIs108(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Broker = noHistory{o.Broker} })
	r.refused("history", `{"channel":"hh:a"}`, codec.ErrNotAvailable, "channel: ")
	r.refused("history_remove", `{"channel":"hh:a"}`, codec.ErrNotAvailable, "channel: ")
}

func TestChannelsByPattern(t *testing.T) {
	r := newRig(t, nil)
	r.expect("channels", `{}`, `{"result":{"channels":{}}}`)
	r.sessions.channels = []ChannelInfo{{"news", 2}, {"hh:b", 1}, {"hh:a", 1}}
	all := `{"result":{"channels":{"hh:a":{"num_clients":1},"hh:b":{"num_clients":1},"news":{"num_clients":2}}}}`
	r.expect("channels", `{}`, all)
	r.expect("channels", `{"pattern":""}`, all)
	r.expect("channels", `{"pattern":"*"}`, all)
	r.expect("channels", `{"pattern":"hh:*"}`, `{"result":{"channels":{"hh:a":{"num_clients":1},"hh:b":{"num_clients":1}}}}`)
	r.expect("channels", `{"pattern":"h*a"}`, `{"result":{"channels":{"hh:a":{"num_clients":1}}}}`)
	r.expect("channels", `{"pattern":"NEWS"}`, `{"result":{"channels":{}}}`)
	r.expect("channels", `{"pattern":"{news,hh:a}"}`, `{"result":{"channels":{"hh:a":{"num_clients":1},"news":{"num_clients":2}}}}`)
	r.refused("channels", `{"pattern":"[a"}`, codec.ErrInternal, "pattern: ")
	r.refused("channels", `{"pattern":"`+strings.Repeat("*", maxPattern+1)+`"}`, codec.ErrBadRequest, "pattern: ")
	require.NotContains(t, r.log.String(), "level=ERROR")
}

func TestInfoListsNodes(t *testing.T) {
	r := newRig(t, nil)
	r.expect("info", `{}`, `{"result":{"nodes":[]}}`)
	r.sessions.nodes = []NodeInfo{{
		UID: "u", Name: "h_8000", Version: "1.0", Uptime: 9,
		Counts:  session.Counts{Clients: 4, Users: 3, Channels: 2, Subscriptions: 5},
		Metrics: &codec.NodeMetrics{Interval: 60, Items: map[string]float64{"a": 1}},
	}}
	r.expect("info", `{}`, `{"result":{"nodes":[{"uid":"u","name":"h_8000","version":"1.0","num_clients":4,"num_users":3,"num_channels":2,`+
		`"uptime":9,"metrics":{"interval":60,"items":{"a":1}},"num_subs":5}]}}`)
}

func TestRPCHasNoMethods(t *testing.T) {
	r := newRig(t, nil)
	r.refused("rpc", `{}`, codec.ErrBadRequest, "method: ")
	r.refused("rpc", `{"method":"","params":{}}`, codec.ErrBadRequest, "method: ")
	r.refused("rpc", `{"method":"getCurrentYear","params":[1]}`, codec.ErrNotFound, "method: ")
}

func TestBatchRepliesInOrderWithoutAResultWrapper(t *testing.T) {
	r := newRig(t, nil)
	e := r.epoch("hh:a")
	commands := `{"publish":{"channel":"news","data":1}},{"publish":{"channel":"hh:a","data":1}},{"publish":{"channel":"no:x","data":1}},null,{},` +
		`{"broadcast":{"channels":["news","no:x"],"data":1}},{"presence_stats":{"channel":"hh:a"}},{"block_user":{"user":"1"}},{"info":{}},` +
		`{"subscribe":{"channel":"a"}},{"unsubscribe":{"channel":"a"}},{"disconnect":{}},{"refresh":{}},{"presence":{"channel":"hh:a"}},` +
		`{"history_remove":{"channel":"hh:b"}},{"channels":{}},{"rpc":{"method":"x"}},{"publish":null}`
	want := `{"replies":[{"publish":{}},{"publish":{"offset":1,"epoch":"` + e + `"}},{"error":{"code":102,"message":"unknown channel"}},` +
		`{"error":{"code":107,"message":"bad request"}},{"error":{"code":104,"message":"not found"}},` +
		`{"broadcast":{"responses":[{"result":{}},{"error":{"code":102,"message":"unknown channel"}}]}},` +
		`{"presence_stats":{"num_clients":0,"num_users":0}},{"error":{"code":104,"message":"not found"}},{"info":{"nodes":[]}},` +
		`{"subscribe":{}},{"unsubscribe":{}},{"disconnect":{}},{"refresh":{}},{"presence":{"presence":{}}},` +
		`{"history_remove":{}},{"channels":{"channels":{}}},{"error":{"code":104,"message":"not found"}},{"error":{"code":104,"message":"not found"}}]}`
	got := r.expect("batch", `{"commands":[`+commands+`]}`, want)
	require.Equal(t, "commands.2: channel: a configured namespace expected", got.head.Get(detailHeader))
	require.Len(t, r.sink.take(), 3)

	r.expect("batch", `{"commands":[`+commands+`],"parallel":true}`, strings.Replace(want, `"offset":1`, `"offset":2`, 1))
	require.Len(t, r.sink.take(), 3)

	r.expect("batch", `{}`, `{}`)
	r.expect("batch", `null`, `{}`)
	r.expect("batch", `{"commands":[]}`, `{}`)
	r.expect("batch", `{"commands":null,"parallel":true}`, `{}`)
	r.expect("batch", `{"commands":[{"batch":{"commands":[{}]}}]}`, `{"replies":[{"error":{"code":104,"message":"not found"}}]}`)
	r.expect("batch", `{"commands":[{"info":{},"publish":{"channel":"news","data":2}}]}`, `{"replies":[{"publish":{}}]}`)
	require.Zero(t, r.credit.outstanding())
}

func TestSequentialBatchKeepsTheOrder(t *testing.T) {
	r := newRig(t, nil)
	var commands []string
	for i := range 200 {
		commands = append(commands, fmt.Sprintf(`{"publish":{"channel":"c%d","data":%d}}`, i%7, i))
	}
	require.Equal(t, 200, r.post("batch", `{"commands":[`+strings.Join(commands, ",")+`]}`).status)
	for i, p := range r.sink.take() {
		require.Equal(t, fmt.Sprint(i), p.pub.Data.String())
	}
}

func TestLegacyEndpoint(t *testing.T) {
	r := newRig(t, nil)
	e := r.epoch("hh:l")
	r.expect("", `{"id":5,"method":"publish","params":{"channel":"hh:l","data":{}}}`+"\n"+`{"method":"PRESENCE_STATS","params":{"channel":"hh:l"}}`,
		`{"id":5,"result":{"offset":1,"epoch":"`+e+`"}}`+"\n"+`{"result":{"num_clients":0,"num_users":0}}`)
	// Missing method is publish; numbers; any case.
	r.expect("", `{"params":{"channel":"news","data":1}}`, `{"result":{}}`)
	r.expect("", `{"method":0,"params":{"channel":"news","data":1}}`, `{"result":{}}`)
	for number, want := range map[int]string{
		1:  `{"responses":[{"result":{}}]}`,
		2:  `{}`,
		3:  `{}`,
		4:  `{"presence":{}}`,
		5:  `{"num_clients":0,"num_users":0}`,
		6:  `{"publications":[],"epoch":"` + e + `","offset":1}`,
		8:  `{"channels":{}}`,
		9:  `{"nodes":[]}`,
		11: `{}`,
		12: `{}`,
		7:  `{}`,
	} {
		r.expect("", fmt.Sprintf(`{"id":%d,"method":%d,"params":{"channel":"hh:l","channels":["a"],"data":1}}`, number, number),
			fmt.Sprintf(`{"id":%d,"result":%s}`, number, want))
	}
	r.expect("", `{"method":10,"params":{"method":"x"}}`, `{"error":{"code":104,"message":"not found"}}`)
	for _, method := range []string{`13`, `14`, `99`, `-1`, `"block_user"`, `"CONNECTIONS"`} {
		r.expect("", `{"id":1,"method":`+method+`,"params":{}}`, `{"id":1,"error":{"code":104,"message":"not found"}}`)
	}
	// Missing or bad params.
	bad := `{"error":{"code":107,"message":"bad request"}}`
	r.expect("", `{"method":"publish"}`, bad)
	r.expect("", `{"method":"channels"}`, bad)
	r.expect("", `{"method":"publish","params":{"channel":1}}`, bad)
	r.expect("", `{"method":"publish","params":null}`, bad)
	r.expect("", `{"method":"publish","params":[]}`, bad)
	r.expect("", `{}`, bad)
	r.expect("", `null`, bad)
	r.expect("", `{"method":"channels","params":null}`, `{"result":{"channels":{}}}`)
	r.expect("", `{"method":"info"}`, `{"result":{"nodes":[]}}`)
	r.expect("", `{"method":"info","params":[1]}`, `{"result":{"nodes":[]}}`)
	got := r.expect("", `{"method":"info"}{"params":{"channel":"no:x"}}`, `{"result":{"nodes":[]}}`+"\n"+`{"error":{"code":102,"message":"unknown channel"}}`)
	require.Equal(t, "command 1: channel: a configured namespace expected", got.head.Get(detailHeader))
	r.expect("", " \n", "")

	r.sink.take()
	for _, body := range []string{"", "[]", `[{"method":"info"}]`, "{bad", `{"method":"nosuch"}`, `{"method":"batch","params":{}}`, `{"id":-1}`, `{"method":""}`, "x"} {
		got := r.post("", body)
		require.Equal(t, 400, got.status, body)
		require.Equal(t, "Bad Request\n", got.body, body)
		require.Equal(t, "text/plain; charset=utf-8", got.head.Get("Content-Type"))
	}
	require.Empty(t, r.sink.take())
	// Commands before the one that cannot be read have been executed.
	require.Equal(t, 400, r.post("", `{"params":{"channel":"news","data":1}}{"method":"nosuch"}`).status)
	require.Len(t, r.sink.take(), 1)
}

// Who did not answer is told beside what the others did.
func TestSilentNodesAreNamed(t *testing.T) {
	r := newRig(t, nil)
	r.sessions.silent = []string{"node-b", "node-c"}
	const want = "without nodes that did not answer in time: node-b, node-c"
	f := func(method, body, reply, detail string) {
		t.Helper()
		require.Equal(t, detail, r.expect(method, body, reply).head.Get(detailHeader))
	}
	f("disconnect", `{"user":"42"}`, `{"result":{}}`, want)
	f("subscribe", `{"user":"42","channel":"news"}`, `{"result":{}}`, want)
	f("unsubscribe", `{"user":"42","channel":"news"}`, `{"result":{}}`, want)
	f("refresh", `{"user":"42"}`, `{"result":{}}`, want)
	f("channels", `{}`, `{"result":{"channels":{}}}`, want)
	f("info", `{}`, `{"result":{"nodes":[]}}`, want)
	f("batch", `{"commands":[{"refresh":{"user":"42"}},{"channels":{}}]}`, `{"replies":[{"refresh":{}},{"channels":{"channels":{}}}]}`, "commands.0: "+want)
}
