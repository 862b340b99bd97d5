package cluster

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

func mustJSON(t testing.TB, text string) codec.JSON {
	v, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return v
}

// samples are one message of each kind, with what it looks like on its way.
func samples(t testing.TB) map[string]*message {
	yes := true
	return map[string]*message{
		`{"v":1,"from":"n-1","id":7,"kind":"announce","data":{"name":"a","version":"0.1","new":true}}`: {kind: kindAnnounce, data: &announcement{Name: "a", Version: "0.1", New: true}},
		`{"v":1,"from":"n-1","id":7,"kind":"leave"}`:                                                   {kind: kindLeave},
		`{"v":1,"from":"n-1","id":7,"kind":"subscribe","ask":true,"data":{"user":"42","session":"s","channel":"news","expire_at":9,"info":null,"data":{"a":"<>` + "\u2028" + `"},"override":{"presence":true},"since":{"offset":5,"epoch":"e"}}}`: {
			kind: kindSubscribe, ask: true, data: &Subscribe{
				Target: Target{User: "42", Session: "s"}, Channel: "news", ExpireAt: 9, Info: mustJSON(t, "null"), Data: mustJSON(t, `{"a":"<>`+"\u2028"+`"}`),
				Override: Override{Presence: &yes}, Since: &broker.Position{Offset: 5, Epoch: "e"}}},
		`{"v":1,"from":"n-1","id":7,"kind":"unsubscribe","ask":true,"data":{"client":"c","channel":"news"}}`: {
			kind: kindUnsubscribe, ask: true, data: &Unsubscribe{Target{Client: "c"}, "news"}},
		`{"v":1,"from":"n-1","id":7,"kind":"disconnect","data":{"user":"42","whitelist":["a","b"],"code":3503,"reason":"force"}}`: {
			kind: kindDisconnect, data: &Disconnect{Target{User: "42"}, []string{"a", "b"}, 3503, "force"}},
		`{"v":1,"from":"n-1","id":7,"kind":"refresh","data":{"user":"42","expired":true,"info":[1]}}`: {
			kind: kindRefresh, data: &Refresh{Target: Target{User: "42"}, Expired: true, Info: mustJSON(t, "[1]")}},
		`{"v":1,"from":"n-1","id":7,"kind":"evict","data":{"user":"42","keep":"c","claim":18446744073709551615}}`: {
			kind: kindEvict, data: &Evict{"42", "c", 1<<64 - 1}},
		`{"v":1,"from":"n-1","id":7,"kind":"channels","data":{"pattern":"a*"}}`:                                                      {kind: kindChannels, data: &query{"a*"}},
		`{"v":1,"from":"n-1","id":7,"kind":"info"}`:                                                                                  {kind: kindInfo},
		`{"v":1,"from":"n-1","id":7,"kind":"answer","data":{"to":3,"part":1,"more":true,"code":106,"error":"e","channels":{"a":1}}}`: {kind: kindAnswer, data: &answer{To: 3, Part: 1, More: true, Code: 106, Error: "e", Channels: []byte(`{"a":1}`)}},
		`{"v":1,"from":"n-1","id":7,"kind":"inspect","ask":true,"data":{"question":{"op":"<now>"}}}`: {
			kind: kindInspect, ask: true, data: &inspection{Question: []byte(`{"op":"<now>"}`)}},
		`{"v":1,"from":"n-1","id":7,"kind":"next","data":{"to":3,"part":2}}`: {kind: kindNext, data: &next{3, 2}},
	}
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	for text, m := range samples(t) {
		m.from, m.id = "n-1", 7
		payload, err := encode(m)
		require.NoError(t, err)
		require.Equal(t, text, string(payload), "what other versions have to read")
		got, skip := decode(payload, codec.Limits{})
		require.Empty(t, skip, text)
		require.Equal(t, m, got)
	}
	require.Len(t, samples(t), len(kinds()))
}

func TestForeignBytesAreSkippedByName(t *testing.T) {
	f := func(want, payload string) {
		t.Helper()
		_, skip := decode([]byte(payload), codec.Limits{})
		require.Equal(t, want, skip, payload)
	}
	f(skipSyntax, "")
	f(skipSyntax, "\x0a\x24aaaaaaaa-0000-4000-8000-00000000000a")
	f(skipSyntax, `{"v":1,"from":"a","id":1,"kind":"leave"} `+"x")
	f(skipSyntax, `[1]`)
	f(skipSyntax, `{"v":1,"from":"a","id":-1,"kind":"leave"}`)
	f(skipVersion, `{}`)
	f(skipVersion, `null`)
	f(skipVersion, `{"v":2,"from":"a","id":1,"kind":"leave"}`)
	f(skipSender, `{"v":1,"id":1,"kind":"leave"}`)
	f(skipSender, `{"v":1,"from":"a.b","id":1,"kind":"leave"}`)
	f(skipSender, `{"v":1,"from":"a\r\n","id":1,"kind":"leave"}`)
	f(skipSender, `{"v":1,"from":"`+strings.Repeat("a", 65)+`","id":1,"kind":"leave"}`)
	f(skipKind, `{"v":1,"from":"a","id":1,"kind":"dance","data":[]}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"disconnect"}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"disconnect","data":{"code":-1}}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"subscribe","data":{"user":"42"}}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"subscribe","data":{"channel":"a","data":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+`}}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"inspect"}`)
	f(skipContent, `{"v":1,"from":"a","id":1,"kind":"inspect","data":{}}`)
	f(skipSize, `{"v":1,"from":"a","id":1,"kind":"announce","data":{"name":"`+strings.Repeat("a", maxMessage)+`"}}`)
	f("", `{"v":1,"from":"a","id":1,"kind":"announce","data":{"name":"\r\n`+strings.Repeat("é", 200)+`"},"later":1}`)
	require.Equal(t, "??"+strings.Repeat("?", maxName-2), plain("\r\n"+strings.Repeat("é", 200), maxName))
}

func FuzzDecode(f *testing.F) {
	for text := range samples(f) {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"v":1,"from":"a","id":1,"kind":"subscribe","data":{"channel":"a","data":"` + "\\u000a\xff" + `","info":{"a":[]}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, skip := decode(payload, codec.Limits{})
		if skip != "" {
			return
		}
		again, err := encode(m)
		require.NoError(t, err)
		got, skip := decode(again, codec.Limits{})
		require.Empty(t, skip)
		require.Equal(t, m, got)
		if cmd, ok := m.data.(*Subscribe); ok && !cmd.Data.IsZero() {
			require.Equal(t, mustJSON(t, cmd.Data.String()), cmd.Data, "it may go onto a stream")
		}
	})
}

func TestAWindowTellsRepeatsApart(t *testing.T) {
	var w window
	f := func(id uint64, want bool) {
		t.Helper()
		require.Equal(t, want, w.once(id), "%d", id)
	}
	f(5, true)
	f(5, false)
	f(3, true)
	f(0, true)
	f(4095, true)
	f(4096, true) // 0 is outside now
	f(0, false)
	f(6, true)
	f(5, false)
	f(1<<40, true)
	f(4095, false) // far behind
	f(1<<40-4095, true)
	f(1<<40-4096, false)
	f(1<<64-1, true)
	f(1<<64-1, false)
	f(1<<64-2, true)
}
