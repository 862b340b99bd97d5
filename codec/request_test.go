package codec

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConnectRequestTakesEveryFieldOfTheTable(t *testing.T) {
	r, err := DecodeConnect([]byte(`{
		"token":"T","data":{"a" : 1},"name":"js","version":"1.2","flag":3,
		"headers":{"x-b":"2","x-a":"1"},
		"subs":{
			"news":{"recover":true,"offset":18446744073709551615,"epoch":"e","delta":"fossil"},
			"a":{},
			"none":null
		},
		"unknown":[1,{"x":2}]
	}`), Limits{})
	require.NoError(t, err)
	data, err := Compact([]byte(`{"a":1}`), Limits{})
	require.NoError(t, err)
	require.Equal(t, &ConnectRequest{
		Token: "T", Name: "js", Version: "1.2", Data: data,
		Headers: []Tag{{"x-a", "1"}, {"x-b", "2"}},
		Subs: []SubRequest{
			{Channel: "a"},
			{Channel: "news", Recover: true, Offset: 1<<64 - 1, Epoch: "e", Delta: "fossil"},
			{Channel: "none"},
		},
	}, r)
}

func TestConnectRequestAcceptsAndRefusesAsTheTable(t *testing.T) {
	ok := func(src string, want ConnectRequest) {
		t.Helper()
		r, err := DecodeConnect([]byte(src), Limits{})
		require.NoError(t, err, src)
		require.Equal(t, &want, r, src)
	}
	ok(`{}`, ConnectRequest{})
	ok(`null`, ConnectRequest{})
	ok(" \t\r\n{} \n", ConnectRequest{})
	ok(`{"TOKEN":"abc"}`, ConnectRequest{Token: "abc"})
	ok(`{"token":"a","token":"b"}`, ConnectRequest{Token: "b"})
	ok(`{"token":null,"subs":null,"headers":null}`, ConnectRequest{})
	ok(`{"subs":{"c":null}}`, ConnectRequest{Subs: []SubRequest{{Channel: "c"}}})
	ok(`{"subs":{"c":{"epoch":"a"},"c":null}}`, ConnectRequest{Subs: []SubRequest{{Channel: "c"}}})
	ok(`{"subs":{"":{}}}`, ConnectRequest{Subs: []SubRequest{{}}})
	ok(`{"subs":{"c":{"token":"x","data":[1],"positioned":true,"recoverable":true,"join_leave":true,
		"tf":{"op":"and","nodes":[{"key":"a","cmp":"in","vals":["1"]}]},"flag":1,"channel":"other","type":1,
		"phase":2,"cursor":"c","limit":5,"asc":true}}}`, ConnectRequest{Subs: []SubRequest{{Channel: "c"}}})

	bad := func(src string) {
		t.Helper()
		_, err := DecodeConnect([]byte(src), Limits{})
		require.Error(t, err, src)
		require.NotEmpty(t, Detail(err), src)
	}
	bad(``)
	bad(`   `)
	bad(`{bad`)
	bad(`[]`)
	bad(`"x"`)
	bad(`1`)
	bad(`{} xx`)
	bad(`{}{}`)
	bad(`{"token":1}`)
	bad(`{"name":{}}`)
	bad(`{"version":[]}`)
	bad(`{"flag":"1"}`)
	bad(`{"headers":{"a":1}}`)
	bad(`{"headers":[]}`)
	bad(`{"subs":[]}`)
	bad(`{"subs":{"c":1}}`)
	for _, field := range []string{
		`"recover":1`, `"offset":"5"`, `"offset":-1`, `"offset":1.5`, `"offset":1e3`, `"offset":18446744073709551616`,
		`"epoch":5`, `"delta":true`, `"token":1`, `"positioned":"yes"`, `"recoverable":1`, `"join_leave":1`, `"tf":"x"`,
		`"tf":{"nodes":{}}`, `"flag":1.5`, `"channel":1`, `"type":"x"`, `"phase":true`, `"cursor":1`, `"limit":"1"`, `"asc":0`,
	} {
		bad(`{"subs":{"c":{` + field + `}}}`)
	}
	bad(`{"data":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`)
}

func TestConnectDataIsNullOnlyWhenItWasSentAsNull(t *testing.T) {
	r, err := DecodeConnect([]byte(`{"data":null}`), Limits{})
	require.NoError(t, err)
	require.Equal(t, "null", r.Data.String())
	r, err = DecodeConnect([]byte(`{}`), Limits{})
	require.NoError(t, err)
	require.True(t, r.Data.IsZero())
}

func TestDetailNamesTheFieldAndWhatWasExpected(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		require.Error(t, err)
		require.Equal(t, want, Detail(err))
	}
	connect := func(src string) error { _, err := DecodeConnect([]byte(src), Limits{}); return err }
	f(connect(`{"token":1}`), "token: a string expected, got number")
	f(connect(`[]`), "an object expected, got array")
	f(connect(`{"subs":{"secret.channel":{"offset":-77}}}`), "subs.*.offset: a whole number of 0 or more within 64 bits expected, got number")
	f(connect(`{"subs":{"secret":7}}`), "subs.*: an object expected, got number")
	f(connect(`{"headers":{"secret":{}}}`), "headers.*: a string expected, got object")
	f(connect(`{"a":1} x`), "bad JSON at byte 8: nothing expected after the JSON value")
	f(connect(``), "bad JSON at byte 0: a JSON value expected, got nothing")
	f(connect(strings.Repeat("[", 500)), "bad JSON at byte 136: nested deeper than 136 levels")
	publish := func(src string) error { _, err := DecodeRequest[PublishRequest]([]byte(src), Limits{}); return err }
	f(publish(`{"tags":{"secret":1}}`), "tags.*: a string expected, got number")
	f(publish(`{"version":"1"}`), "version: a whole number of 0 or more within 64 bits expected, got string")
	f(publish(`{"skip_history":"1"}`), "skip_history: true or false expected, got string")
	_, err := DecodeRequest[BroadcastRequest]([]byte(`{"channels":["a",5]}`), Limits{})
	f(err, "channels.1: a string expected, got number")
	_, err = DecodeRequest[BatchRequest]([]byte(`{"commands":[{},{"publish":{"tags":{"secret":[]}}}]}`), Limits{})
	f(err, "commands.1.publish.tags.*: a string expected, got array")
	_, err = DecodeRequest[HistoryRequest]([]byte(`{"limit":2147483648}`), Limits{})
	f(err, "limit: a whole number within 32 bits expected, got number")
	f(errors.Join(errors.New("other"), &SyntaxError{1, strings.Repeat("x", 300)}), ("bad JSON at byte 1: " + strings.Repeat("x", 300))[:200])
	require.Empty(t, Detail(errors.New("secret")))
}

func TestNothingDecodedAliasesTheBody(t *testing.T) {
	body := []byte(`{"channel":"news","data":{"text":"hello"},"b64data":"e30=","tags":{"key":"value"},"idempotency_key":"idem","version_epoch":"ve"}`)
	r, err := DecodeRequest[PublishRequest](body, Limits{})
	require.NoError(t, err)
	connect := []byte(`{"token":"T","data":{"a":"b"},"name":"n","version":"v","subs":{"chan":{"epoch":"ep","delta":"fossil"}},"headers":{"hk":"hv"}}`)
	c, err := DecodeConnect(connect, Limits{})
	require.NoError(t, err)
	legacy := []byte(`{"method":"publish","params":{"channel":"news"}}`)
	cmd, err := NewLegacyDecoder(legacy, Limits{}).Next()
	require.NoError(t, err)
	for _, b := range [][]byte{body, connect, legacy} {
		for i := range b {
			b[i] = '!'
		}
	}
	require.Equal(t, "news", r.Channel)
	require.Equal(t, `{"text":"hello"}`, string(r.Data))
	require.Equal(t, []Tag{{"key", "value"}}, r.Tags())
	require.Equal(t, "e30=idemve", r.B64Data+r.IdempotencyKey+r.VersionEpoch)
	require.Equal(t, "Tnv", c.Token+c.Name+c.Version)
	require.Equal(t, `{"a":"b"}`, c.Data.String())
	require.Equal(t, []SubRequest{{Channel: "chan", Epoch: "ep", Delta: "fossil"}}, c.Subs)
	require.Equal(t, []Tag{{"hk", "hv"}}, c.Headers)
	require.Equal(t, "publish", cmd.Name)
	require.Equal(t, `{"channel":"news"}`, string(cmd.Params))
}

func TestDeepNestingIsRefusedBeforeItIsDecoded(t *testing.T) {
	const n = 10_000_000
	begin := time.Now()
	for _, src := range []string{
		strings.Repeat("[", n), `{"data":` + strings.Repeat("[", n), `{"x":` + strings.Repeat(`{"a":`, n/5),
		`{"subs":{"c":{"tf":` + strings.Repeat(`{"nodes":[`, n/10),
	} {
		_, err := DecodeConnect([]byte(src), Limits{})
		require.Error(t, err)
		_, err = DecodeRequest[PublishRequest]([]byte(src), Limits{})
		require.Error(t, err)
		_, err = DecodeRequest[BatchRequest]([]byte(src), Limits{})
		require.Error(t, err)
		_, err = NewLegacyDecoder([]byte(src), Limits{}).Next()
		require.Error(t, err)
	}
	t.Log("took", time.Since(begin))
}

func TestCheckDepthCountsOutsideStrings(t *testing.T) {
	f := func(src string, limit int, ok bool) {
		t.Helper()
		err := CheckDepth([]byte(src), limit)
		require.Equal(t, ok, err == nil, src)
	}
	f(``, 0, true)
	f(`1`, 0, true)
	f(`[]`, 0, false)
	f(`[]`, 1, true)
	f(`[{"a":[]}]`, 3, true)
	f(`[{"a":[]}]`, 2, false)
	f(`[],[],[]`, 1, true)
	f(`"[[[["`, 0, true)
	f(`"\"[[[["`, 0, true)
	f(`"\\"[`, 0, false)
	f(`"\\\"["`, 0, true)
	f(`"\\\\"[`, 0, false)
	f(`"a\"b\"c["`, 0, true)
	f(`"a\"b\"c"[`, 0, false)
	f(`"never ends [[[`, 0, true)
	f(`"\`, 0, true)
	f(`"`, 0, true)
	f(`]]]][[[[`, 0, true) // not JSON: the decoder's concern
}

func TestLegacyDecoderReadsASequence(t *testing.T) {
	read := func(src string) (out []string, last error) {
		d := NewLegacyDecoder([]byte(src), Limits{})
		for {
			c, err := d.Next()
			if err != nil {
				return out, err
			}
			out = append(out, fmt.Sprintf("%d %s %d %s", c.ID, c.Name, c.Number, c.Params))
		}
	}
	f := func(src string, ok bool, want ...string) {
		t.Helper()
		out, err := read(src)
		require.Equal(t, want, out, src)
		if ok {
			require.ErrorIs(t, err, io.EOF, src)
			return
		}
		require.NotErrorIs(t, err, io.EOF, src)
		require.NotEmpty(t, Detail(err), src)
	}
	f(``, true)
	f(" \n\t\r", true)
	f(`{"id":5,"method":"publish","params":{"channel":"c"}}`, true, `5 publish 0 {"channel":"c"}`)
	f("{\"method\":\"PRESENCE_Stats\",\"params\":{}}\n{\"method\":6}", true, `0 presence_stats 0 {}`, `0  6 `)
	f(`{"params":{}}{"method":-1}{"METHOD":14}`, true, `0  0 {}`, `0  -1 `, `0  14 `)
	f(`null null`, true, `0  0 `, `0  0 `)
	f(`{"params":null}`, true, `0  0 null`)
	f(`{"params":"}]\"{"}`, true, `0  0 "}]\"{"`)
	f(`{"method":"nosuch"}`, true, `0 nosuch 0 `)
	f(`{},{}`, false, `0  0 `)
	f(`[]`, false)
	f(`[{"method":"info"}]`, false)
	f(`1`, false)
	f(`"x"`, false)
	f(`{}{"method":""}`, false, `0  0 `)
	f(`{"method":null}`, false)
	f(`{"method":{}}`, false)
	f(`{"method":1.0}`, false)
	f(`{"method":true}`, false)
	f(`{"id":"5"}`, false)
	f(`{"id":-1}`, false)
	f(`{"id":4294967296}`, false)
	f(`{"method":"info"`, false)
	f(`{"method":"info"]`, false)
	f(`{"method":"info}`, false)
	f(`{bad}`, false)
}

func TestCommandGivesTheFirstKnownMethod(t *testing.T) {
	order := []string{
		"publish", "broadcast", "subscribe", "unsubscribe", "disconnect", "history", "history_remove",
		"presence", "presence_stats", "info", "rpc", "refresh", "channels",
	}
	for i, first := range order {
		var members []string
		for j := len(order) - 1; j >= i; j-- {
			members = append(members, `"`+order[j]+`":{}`)
		}
		b, err := DecodeRequest[BatchRequest]([]byte(`{"commands":[{`+strings.Join(members, ",")+`}]}`), Limits{})
		require.NoError(t, err)
		method, request := b.Commands[0].Request()
		require.Equal(t, first, method)
		require.False(t, reflect.ValueOf(request).IsNil())
	}
	b, err := DecodeRequest[BatchRequest]([]byte(`{"commands":[{},null,{"publish":null,"info":{}},{"block_user":{}}],"parallel":true}`), Limits{})
	require.NoError(t, err)
	require.True(t, b.Parallel)
	require.Nil(t, b.Commands[1])
	for i, want := range map[int]string{0: "", 2: "info", 3: ""} {
		method, _ := b.Commands[i].Request()
		require.Equal(t, want, method)
	}
}
