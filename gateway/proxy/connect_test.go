package proxy

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
)

func TestConnectRequestIsWhatBackendsHaveSeen(t *testing.T) {
	b := newBackend(t)
	plain, _ := newProxy(t, b.URL, nil)
	binary, _ := newProxy(t, b.URL, func(o *HookOptions) { o.BinaryEncoding = true })
	const start = `{"client":"` + clientID + `","transport":"uni_sse","protocol":"json",`
	f := func(name string, p *Proxy, call auth.ConnectCall, want string) {
		t.Helper()
		call.Client = clientID
		_, err := p.Connect(context.Background(), &call)
		require.NoError(t, err)
		body, header := b.got()
		require.Equal(t, start+want, body, name)
		require.Equal(t, fmt.Sprint(len(body)), header.Get("Content-Length"))
	}
	full := auth.ConnectCall{Data: compact(t, `{"k":"ok"}`), Name: "js", Version: "1.0", Channels: []string{"hh:1", "news"}}
	f("example", plain, full, `"encoding":"json","data":{"k":"ok"},"name":"js","version":"1.0","channels":["hh:1","news"]}`)
	f("binary", binary, full, `"encoding":"binary","b64data":"eyJrIjoib2sifQ==","name":"js","version":"1.0","channels":["hh:1","news"]}`)
	f("empty", plain, auth.ConnectCall{}, `"encoding":"json"}`)
	f("empty binary", binary, auth.ConnectCall{}, `"encoding":"binary"}`)
	f("null data", plain, auth.ConnectCall{Data: compact(t, `null`)}, `"encoding":"json","data":null}`)
	f("one channel", plain, auth.ConnectCall{Channels: []string{`a"b`}}, `"encoding":"json","channels":["a\"b"]}`)
	f("escapes", plain, auth.ConnectCall{Name: "<\n>", Version: "\xff"}, `"encoding":"json","name":"\u003c\n\u003e","version":"\ufffd"}`)
}

func TestConnectResultFields(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	f := func(name, result string, want auth.Identity, data string) {
		t.Helper()
		b.say(`{"result":` + result + `}`)
		answer, err := connect(p)
		require.NoError(t, err, name)
		require.Equal(t, &want, answer.Identity, name)
		require.Equal(t, data, answer.Data.String(), name)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	future := time.Now().Add(time.Hour).Unix()
	info := compact(t, `{"n":1}`)
	f("empty", `{}`, auth.Identity{}, "")
	f("user", `{"user":"42"}`, auth.Identity{User: "42"}, "")
	f("user is empty", `{"user":""}`, auth.Identity{}, "")
	f("user null", `{"user":null}`, auth.Identity{}, "")
	f("expire_at", fmt.Sprintf(`{"expire_at":%d}`, future), auth.Identity{ExpireAt: future}, "")
	f("expire_at in the past", `{"expire_at":1000}`, auth.Identity{ExpireAt: 1000}, "")
	f("expire_at 0", `{"expire_at":0}`, auth.Identity{}, "")
	f("expire_at negative", `{"expire_at":-7}`, auth.Identity{}, "")
	f("info", `{"info": {"n": 1}}`, auth.Identity{Info: info}, "")
	f("b64info", `{"b64info":"`+b64(`{"n": 1}`)+`"}`, auth.Identity{Info: info}, "")
	f("b64info wins", `{"info":2,"b64info":"`+b64(`{"n":1}`)+`"}`, auth.Identity{Info: info}, "")
	f("data", `{"data":{"a": [1]}}`, auth.Identity{}, `{"a":[1]}`)
	f("b64data", `{"data":1,"b64data":"`+b64(`{"a":[1]}`)+`"}`, auth.Identity{}, `{"a":[1]}`)
	f("meta", `{"meta":{"m":1}}`, auth.Identity{Meta: compact(t, `{"m":1}`)}, "")
	f("channels", `{"channels":["b","a","b",""]}`, auth.Identity{Subs: []auth.SubGrant{{Channel: "b"}, {Channel: "a"}}}, "")
	f("channels null", `{"channels":null,"subs":null}`, auth.Identity{}, "")
	f("subs", `{"subs":{"b":{},"a":null,"":{}}}`, auth.Identity{Subs: []auth.SubGrant{{Channel: "a"}, {Channel: "b"}}}, "")
	f("subs info and data", `{"subs":{"a":{"info":{"n":1},"data":5}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a", Info: info, Data: compact(t, `5`)}}}, "")
	f("subs b64info and b64data", `{"subs":{"a":{"info":0,"b64info":"`+b64(`{"n":1}`)+`","data":0,"b64data":"`+b64(`5`)+`"}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a", Info: info, Data: compact(t, `5`)}}}, "")
	f("subs cache_recover", `{"subs":{"a":{"cache_recover":true},"b":{"cache_recover":false}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a", CacheRecover: true}, {Channel: "b"}}}, "")
	f("subs override", `{"subs":{"a":{"override":{"presence":{"value":true},"join_leave":{"value":false},"force_recovery":{"value":true},"force_positioning":{},"force_push_join_leave":null}}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a", Override: auth.Override{
			Presence: auth.On, JoinLeave: auth.Off, ForceRecovery: auth.On, ForcePositioning: auth.Off,
		}}}}, "")
	f("subs win over channels", `{"channels":["a","b"],"subs":{"b":{"info":{"n":1}}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a"}, {Channel: "b", Info: info}}}, "")
	f("schema without effect", `{"caps":[{"channels":["x"]}],"labels":{"a":"b"},"subs":{"a":{"expire_at":5,"server_tags_filter":{"op":"eq"}}}}`,
		auth.Identity{Subs: []auth.SubGrant{{Channel: "a"}}}, "")
	// As the reference does: names in any case, of two the last.
	f("names in any case", `{"User":"1","INFO":{"n":1},"Channels":["a"]}`, auth.Identity{User: "1", Info: info, Subs: []auth.SubGrant{{Channel: "a"}}}, "")
	f("a name twice", `{"user":"2","user":"1"}`, auth.Identity{User: "1"}, "")
	f("unknown fields", `{"user":"1","more":[{}]}`, auth.Identity{User: "1"}, "")
	f("line ends", "\r\n{\r\n\"user\":\r\n\"1\",\"info\":{\r\n}}\r\n", auth.Identity{User: "1", Info: compact(t, `{}`)}, "")
}

func TestFarExpiryIsAboutAYearAhead(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	b.say(`{"result":{"expire_at":9223372036854775807}}`)
	answer, err := connect(p)
	require.NoError(t, err)
	require.InDelta(t, time.Now().Add(maxExpiry).Unix(), answer.Identity.ExpireAt, 60)
}

func TestConnectOutcomes(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	f := func(name, text string, want error) {
		t.Helper()
		b.say(text)
		answer, err := connect(p)
		require.Nil(t, answer, name)
		require.Equal(t, want, err, name)
	}
	f("disconnect", `{"disconnect":{"code":4501,"reason":"no way"}}`, &codec.Disconnect{Code: 4501, Reason: "no way"})
	f("disconnect without a code", `{"disconnect":{}}`, &codec.Disconnect{})
	f("disconnect of code 0", `{"disconnect":{"code":0,"reason":"x"}}`, &codec.Disconnect{Reason: "x"})
	f("error", `{"error":{"code":103,"message":"permission denied"}}`, &codec.Error{Code: 103, Message: "permission denied"})
	f("error of its own", `{"error":{"code":1000,"message":"custom","temporary":true}}`, &codec.Error{Code: 1000, Message: "custom", Temporary: true})
	f("disconnect before error before result", `{"result":{"user":"1"},"error":{"code":1},"disconnect":{"code":4000}}`, &codec.Disconnect{Code: 4000})
	f("error before result", `{"result":{"user":"1"},"error":{"code":1}}`, &codec.Error{Code: 1})

	for _, text := range []string{`{}`, `{"result":null}`, `{"result":null,"error":null,"disconnect":null}`} {
		b.say(text)
		answer, err := connect(p)
		require.NoError(t, err, text)
		require.Equal(t, &auth.ConnectAnswer{}, answer, "no result is no credentials")
	}
	require.Zero(t, p.ConnectStats().Errors.Load(), "a refusal is not a failure")
}

func TestAnswersThatAreNotUnderstoodAreFailures(t *testing.T) {
	b := newBackend(t)
	p, log := newProxy(t, b.URL, nil)
	began := time.Now()
	for _, text := range []string{
		``, ` `, `null`, `[]`, `"x"`, `5`, `{`, `{"result":{"user":"1"}} {}`, `{"result":{"user":"1"},}`, `<html>`, "\x00",
		`{"result":[]}`, `{"result":"x"}`, `{"result":true}`,
		`{"result":{"user":5}}`, `{"result":{"user":true}}`, `{"result":{"user":["1"]}}`,
		`{"result":{"expire_at":"1"}}`, `{"result":{"expire_at":1.5}}`, `{"result":{"expire_at":1e3}}`, `{"result":{"expire_at":9223372036854775808}}`,
		`{"result":{"channels":"a"}}`, `{"result":{"channels":[1]}}`, `{"result":{"subs":["a"]}}`, `{"result":{"subs":{"a":1}}}`,
		`{"result":{"subs":{"a":{"cache_recover":1}}}}`, `{"result":{"subs":{"a":{"override":{"presence":true}}}}}`,
		`{"result":{"subs":{"a":{"b64info":"!"}}}}`, `{"result":{"subs":{"a":{"b64data":"!"}}}}`, `{"result":{"subs":{"a":{"expire_at":"1"}}}}`,
		`{"result":{"b64info":"!"}}`, `{"result":{"b64info":"AAAA"}}`, `{"result":{"b64data":"!"}}`, `{"result":{"b64data":5}}`,
		`{"error":{}}`, `{"error":{"code":-1}}`, `{"error":{"code":4294967296}}`, `{"error":"x"}`, `{"error":{"code":1,"message":1}}`,
		`{"disconnect":{"code":"4000"}}`, `{"disconnect":{"code":-1}}`, `{"disconnect":"x"}`,
		`{"result":{"info":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}}`,
		`{"result":{"info":"` + strings.Repeat("x", auth.MaxAnswer) + `"}}`,
	} {
		b.say(text)
		answer, err := connect(p)
		requireFailure(t, answer, err)
	}
	require.Equal(t, p.ConnectStats().Calls.Load(), p.ConnectStats().Errors.Load())
	log.requireThinned(t, began)
}
