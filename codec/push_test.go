package codec

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	uuidClient  = "0f8f4b06-2b7e-4a53-9d0c-6a3c1be2a001"
	uuidSession = "5b1d6c1e-9b5e-4a0e-8f39-1d2f5ad0b002"
	uuidOther   = "77b1a6f0-1c52-4b8c-a1de-0c9d5c7cb003"
)

// push is one push in a form that PROTOCOL 2.2 shows: what the codec is asked
// for and the line that must come of it.
type push struct {
	name  string
	build func(dst []byte) []byte
	want  string
}

// pushes is every push of PROTOCOL 2.2 in every observed form, and Sluice's own
// gap push; the golden files hold the frames of each.
func pushes(t testing.TB) []push {
	all := slices.Concat(connectPushes(t), recoveredPushes(t))
	all = append(all, pubPushes(t)...)
	all = append(all, deltaPushes(t)...)
	return append(all, otherPushes(t)...)
}

// The connect pushes of the tests begin and end like this.
const (
	connectHead = `{"connect":{"client":"` + uuidClient + `","version":"0.0.0 OSS"`
	connectTail = `,"ping":25,"session":"` + uuidSession + `"}}`
)

// connectPush makes a connect push that differs by change from one of an empty connect.
func connectPush(change func(r *ConnectResult)) func([]byte) []byte {
	r := &ConnectResult{Client: uuidClient, Version: "0.0.0 OSS", Session: uuidSession, Ping: 25}
	change(r)
	return func(dst []byte) []byte { return AppendConnect(dst, r) }
}

func connectPushes(t testing.TB) []push {
	js := func(text string) JSON { return mustCompact(t, text) }
	return []push{
		{"connect", connectPush(func(*ConnectResult) {}), connectHead + connectTail},
		{"connect-no-ping", connectPush(func(r *ConnectResult) { r.Ping = 0 }),
			connectHead + `,"session":"` + uuidSession + `"}}`},
		{"connect-time", connectPush(func(r *ConnectResult) { r.Time = 1700000000123 }),
			connectHead + `,"ping":25,"session":"` + uuidSession + `","time":1700000000123}}`},
		{"connect-expires", connectPush(func(r *ConnectResult) { r.Expires, r.TTL = true, 3595 }),
			connectHead + `,"expires":true,"ttl":3595` + connectTail},
		{"connect-sub", connectPush(func(r *ConnectResult) { r.Subs = []SubscribeResult{{Channel: "news"}} }),
			connectHead + `,"subs":{"news":{}}` + connectTail},
		{"connect-positioned", connectPush(func(r *ConnectResult) {
			r.Subs = []SubscribeResult{
				{Channel: "hp:a", Positioned: true, Epoch: "eByFEime", Offset: 7},
				{Channel: "hp:b", Positioned: true, Epoch: "QtoAKCDo"},
				{Channel: "news", WasRecovering: true},
			}
		}), connectHead + `,"subs":{"hp:a":{"epoch":"eByFEime","offset":7,"positioned":true},` +
			`"hp:b":{"epoch":"QtoAKCDo","positioned":true},"news":{"was_recovering":true}}` + connectTail},
		{"connect-data-subs", connectPush(func(r *ConnectResult) {
			r.Data = js(`{"hello": 1}`)
			r.Subs = []SubscribeResult{
				{Channel: "cc:a", Recoverable: true, Epoch: "MJbvBguM", Positioned: true, Data: js(`{"d": 1}`), WasRecovering: true},
				{Channel: "news"},
			}
		}), connectHead + `,"data":{"hello":1},"subs":{"cc:a":{"recoverable":true,"epoch":"MJbvBguM","positioned":true,` +
			`"data":{"d":1},"was_recovering":true},"news":{}}` + connectTail},
	}
}

// recoveredPushes are connect pushes with what was missed.
func recoveredPushes(t testing.TB) []push {
	js := func(text string) JSON { return mustCompact(t, text) }
	return []push{
		{"connect-recovered", connectPush(func(r *ConnectResult) {
			r.Subs = []SubscribeResult{{
				Channel: "hh:a", Recoverable: true, Epoch: "eByFEime", Recovered: true, Offset: 5, Positioned: true, WasRecovering: true,
				Publications: []*Publication{
					{Data: js(`{"n":6}`), Offset: 6, Epoch: "eByFEime", Tags: []Tag{{"t", "0"}}},
					{Data: js(`{"n":7}`), Offset: 7, Epoch: "eByFEime", Tags: []Tag{{"t", "1"}}},
				},
			}}
		}), connectHead + `,"subs":{"hh:a":{"recoverable":true,"epoch":"eByFEime","publications":[` +
			`{"data":{"n":6},"offset":6,"tags":{"t":"0"}},{"data":{"n":7},"offset":7,"tags":{"t":"1"}}],` +
			`"recovered":true,"offset":5,"positioned":true,"was_recovering":true}}` + connectTail},
		{"connect-recovered-first", connectPush(func(r *ConnectResult) {
			r.Subs = []SubscribeResult{{
				Channel: "hh:a", Recoverable: true, Epoch: "eByFEime", Recovered: true, Positioned: true, WasRecovering: true,
				Publications: []*Publication{{Data: js(`1`), Offset: 1, Epoch: "eByFEime"}},
			}}
		}), connectHead + `,"subs":{"hh:a":{"recoverable":true,"epoch":"eByFEime","publications":[` +
			`{"data":1,"offset":1,"epoch":"eByFEime"}],"recovered":true,"positioned":true,"was_recovering":true}}` + connectTail},
		{"connect-delta", connectPush(func(r *ConnectResult) {
			r.Subs = []SubscribeResult{{
				Channel: "hh:a", Recoverable: true, Epoch: "eByFEime", Recovered: true, Positioned: true, WasRecovering: true, Delta: true,
				Publications: []*Publication{{Data: js(`{"n":1}`), Offset: 1, Epoch: "eByFEime", Version: 3}},
			}}
		}), connectHead + `,"subs":{"hh:a":{"recoverable":true,"epoch":"eByFEime","publications":[` +
			`{"data":"{\"n\":1}","offset":1}],"recovered":true,"positioned":true,"was_recovering":true,"delta":true}}` + connectTail},
		{"connect-deltas", connectPush(func(r *ConnectResult) {
			r.Subs = []SubscribeResult{{
				Channel: "hh:a", Recoverable: true, Recovered: true, Positioned: true, WasRecovering: true, Delta: true,
				Publications: []*Publication{
					{Data: js(`{"long":"aaaa","n":1}`), Offset: 1},
					{Data: js(`{"long":"aaaa","n":2}`), Offset: 2},
					{Data: js(`3`), Offset: 3},
				},
			}}
		}), connectHead + `,"subs":{"hh:a":{"recoverable":true,"publications":[` +
			`{"data":"{\"long\":\"aaaa\",\"n\":1}","offset":1},{"data":"L\nJ@0,2:2}1OBqPU;","offset":2,"delta":true},` +
			`{"data":"3","offset":3}],"recovered":true,"positioned":true,"was_recovering":true,"delta":true}}` + connectTail},
	}
}

func pubPushes(t testing.TB) []push {
	pub := func(name, channel string, p *Publication, want string) push {
		return push{name, func(dst []byte) []byte { return AppendPub(dst, channel, p) }, want}
	}
	js := func(text string) JSON { return mustCompact(t, text) }
	return []push{
		pub("pub", "news", &Publication{Data: js(`{"a":1}`), Time: 1700000000123},
			`{"channel":"news","pub":{"data":{"a":1}}}`),
		pub("pub-null", "news", &Publication{Data: js(`null`)}, `{"channel":"news","pub":{"data":null}}`),
		pub("pub-string", "news", &Publication{Data: js(`"<x>\n"`)}, `{"channel":"news","pub":{"data":"<x>\n"}}`),
		pub("pub-lines", "news", &Publication{Data: js("{\r\"x\":\n[1,\r\n2]}")}, `{"channel":"news","pub":{"data":{"x":[1,2]}}}`),
		pub("pub-tags", "news", &Publication{Data: js(`{}`), Tags: []Tag{{"a", "1"}, {"b", "<x>"}}},
			`{"channel":"news","pub":{"data":{},"tags":{"a":"1","b":"\u003cx\u003e"}}}`),
		pub("pub-first", "hh:fresh", &Publication{Data: js(`{"n":1}`), Offset: 1, Epoch: "nyArdGkL"},
			`{"channel":"hh:fresh","pub":{"data":{"n":1},"offset":1,"epoch":"nyArdGkL"}}`),
		pub("pub-offset", "hh:fresh", &Publication{Data: js(`{"n":2}`), Offset: 2, Epoch: "nyArdGkL", Delta: true},
			`{"channel":"hh:fresh","pub":{"data":{"n":2},"offset":2}}`),
		pub("pub-offset-max", "hh:fresh", &Publication{Data: js(`2`), Offset: 1<<64 - 1, Epoch: "nyArdGkL"},
			`{"channel":"hh:fresh","pub":{"data":2,"offset":18446744073709551615}}`),
		pub("pub-version", "hh:fresh", &Publication{Data: js(`{"n":4}`), Offset: 3, Epoch: "nyArdGkL", Version: 5},
			`{"channel":"hh:fresh","pub":{"data":{"n":4},"offset":3,"version":5}}`),
		pub("pub-binary-empty", "bin:a", &Publication{}, `{"channel":"bin:a","pub":{}}`),
		pub("pub-info", "news", &Publication{Data: js(`{}`), Info: &ClientInfo{
			User: "42", Client: uuidClient, ConnInfo: js(`{"name":"A"}`), ChanInfo: js(`{"role":"x"}`),
		}}, `{"channel":"news","pub":{"data":{},"info":{"user":"42","client":"`+uuidClient+
			`","conn_info":{"name":"A"},"chan_info":{"role":"x"}}}}`),
		pub("pub-all", "hh:a", &Publication{
			Data: js(`[1]`), Info: &ClientInfo{}, Offset: 1, Tags: []Tag{{"", ""}}, Epoch: "nyArdGkL", Version: 9,
		}, `{"channel":"hh:a","pub":{"data":[1],"info":{"user":"","client":""},"offset":1,"tags":{"":""},`+
			`"epoch":"nyArdGkL","version":9}}`),
		pub("pub-channel-escaped", "a\r\n\x00<&>\u2028é\xff\"", &Publication{Data: js(`1`)},
			`{"channel":"a\r\n\u0000\u003c\u0026\u003e\u2028é\ufffd\"","pub":{"data":1}}`),
	}
}

func deltaPushes(t testing.TB) []push {
	pub := func(name string, p *Publication, delta, want string) push {
		return push{name, func(dst []byte) []byte { return AppendDeltaPub(dst, "hh:fresh", p, delta) }, want}
	}
	js := func(text string) JSON { return mustCompact(t, text) }
	all := &Publication{
		Data: js(`{"é":"<"}`), Info: &ClientInfo{User: "42", Client: uuidClient},
		Offset: 1, Tags: []Tag{{"t", "1"}}, Epoch: "nyArdGkL", Version: 9,
	}
	const rest = `,"info":{"user":"42","client":"` + uuidClient + `"},"offset":1,"tags":{"t":"1"}`
	return []push{
		pub("delta-full", &Publication{Data: js(`{"long":"aaaa","n":1}`), Offset: 1, Epoch: "nyArdGkL"}, "",
			`{"channel":"hh:fresh","pub":{"data":"{\"long\":\"aaaa\",\"n\":1}","offset":1}}`),
		pub("delta", &Publication{Data: js(`{"long":"aaaa","n":2}`), Offset: 2, Epoch: "nyArdGkL"}, "19\n17@0,2:2}1A8KXB;",
			`{"channel":"hh:fresh","pub":{"data":"19\n17@0,2:2}1A8KXB;","offset":2,"delta":true}}`),
		pub("delta-all", all, "2:é\"1A8KXB;",
			`{"channel":"hh:fresh","pub":{"data":"2:é\"1A8KXB;"`+rest+`,"delta":true}}`),
		pub("delta-cuts-character", all, "1F\ne@0,1:\xa8a@f,Ufz1;",
			`{"channel":"hh:fresh","pub":{"data":"{\"é\":\"\u003c\"}"`+rest+`}}`),
		pub("delta-binary-empty", &Publication{Offset: 2}, "", `{"channel":"hh:fresh","pub":{"data":"","offset":2}}`),
	}
}

func otherPushes(t testing.TB) []push {
	js := func(text string) JSON { return mustCompact(t, text) }
	named := &ClientInfo{User: "42", Client: uuidOther, ConnInfo: js(`{"name": "A"}`)}
	inChannel := &ClientInfo{User: "42", Client: uuidOther, ChanInfo: js(`[ 1 ]`)}
	bare := &ClientInfo{User: "42", Client: uuidOther}
	subscribe := func(r SubscribeResult) func([]byte) []byte {
		return func(dst []byte) []byte { return AppendSubscribe(dst, &r) }
	}
	disconnect := func(d *Disconnect) func([]byte) []byte {
		return func(dst []byte) []byte { return AppendDisconnect(dst, d) }
	}
	refresh := func(expires bool, ttl uint32) func([]byte) []byte {
		return func(dst []byte) []byte { return AppendRefresh(dst, expires, ttl) }
	}
	return []push{
		{"join", func(dst []byte) []byte { return AppendJoin(dst, "news", named) },
			`{"channel":"news","join":{"info":{"user":"42","client":"` + uuidOther + `","conn_info":{"name":"A"}}}}`},
		{"join-chan-info", func(dst []byte) []byte { return AppendJoin(dst, "news", inChannel) },
			`{"channel":"news","join":{"info":{"user":"42","client":"` + uuidOther + `","chan_info":[1]}}}`},
		{"join-anonymous", func(dst []byte) []byte { return AppendJoin(dst, "news", &ClientInfo{Client: uuidOther}) },
			`{"channel":"news","join":{"info":{"user":"","client":"` + uuidOther + `"}}}`},
		{"leave", func(dst []byte) []byte { return AppendLeave(dst, "news", bare) },
			`{"channel":"news","leave":{"info":{"user":"42","client":"` + uuidOther + `"}}}`},
		{"subscribe", subscribe(SubscribeResult{Channel: "news"}), `{"channel":"news","subscribe":{}}`},
		{"subscribe-recoverable", subscribe(SubscribeResult{
			Channel: "hh:z", Recoverable: true, Epoch: "QtoAKCDo", Offset: 7, Positioned: true, Data: js(`{"d":1}`),
		}), `{"channel":"hh:z","subscribe":{"recoverable":true,"epoch":"QtoAKCDo","offset":7,"positioned":true,"data":{"d":1}}}`},
		{"subscribe-recovering", subscribe(SubscribeResult{
			Channel: "hh:z", Recoverable: true, Epoch: "QtoAKCDo", Recovered: true, WasRecovering: true, Delta: true,
			Publications: []*Publication{{Data: js(`1`), Offset: 8}},
		}), `{"channel":"hh:z","subscribe":{"recoverable":true,"epoch":"QtoAKCDo"}}`},
		{"unsubscribe", func(dst []byte) []byte { return AppendUnsubscribe(dst, "hh:z", UnsubscribeServer) },
			`{"channel":"hh:z","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`},
		{"message", func(dst []byte) []byte { return AppendMessage(dst, js(`{"a": 1}`)) }, `{"message":{"data":{"a":1}}}`},
		{"disconnect", disconnect(DisconnectForceNoReconnect), `{"disconnect":{"code":3503,"reason":"force disconnect"}}`},
		{"disconnect-shutdown", disconnect(DisconnectShutdown), `{"disconnect":{"code":3001,"reason":"shutdown"}}`},
		{"disconnect-zero", disconnect(&Disconnect{}), `{"disconnect":{}}`},
		{"disconnect-reason-only", disconnect(&Disconnect{Reason: "a\nb"}), `{"disconnect":{"reason":"a\nb"}}`},
		{"refresh", refresh(true, 100), `{"refresh":{"expires":true,"ttl":100}}`},
		{"refresh-never", refresh(false, 0), `{"refresh":{}}`},
		{"gap", func(dst []byte) []byte { return AppendGap(dst, "news", Gap{Dropped: 3}) }, `{"channel":"news","gap":{"dropped":3}}`},
		{"gap-offsets", func(dst []byte) []byte { return AppendGap(dst, "hh:z", Gap{Dropped: 3, From: 4, To: 6}) },
			`{"channel":"hh:z","gap":{"dropped":3,"from":4,"to":6}}`},
		{"ping", func(dst []byte) []byte { return append(dst, "{}"...) }, `{}`},
	}
}

func TestPushesHaveTheFormsOfTheProtocol(t *testing.T) {
	for _, p := range pushes(t) {
		require.Equal(t, p.want, string(p.build(nil)), p.name)
		require.Equal(t, "before"+p.want, string(p.build([]byte("before"))), p.name)
	}
}

func TestPublicationSizeCountsPayloadAndStrings(t *testing.T) {
	f := func(p *Publication, want int) {
		t.Helper()
		require.Equal(t, want, p.Size())
	}
	f(&Publication{}, 0)
	f(&Publication{Data: mustCompact(t, `{"a":1}`), Offset: 9, Version: 9}, 7)
	f(&Publication{Tags: []Tag{{"ab", "cde"}, {"", "f"}}}, 6)
	f(&Publication{Info: &ClientInfo{
		User: "42", Client: "abc", ConnInfo: mustCompact(t, `[1]`), ChanInfo: mustCompact(t, `"xy"`),
	}}, 2+3+3+4)
}
