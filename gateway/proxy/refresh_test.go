package proxy

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
)

func TestRefreshRequestIsWhatBackendsHaveSeen(t *testing.T) {
	b := newBackend(t)
	plain, _ := newProxy(t, b.URL, nil)
	meta, _ := newProxy(t, b.URL, func(o *HookOptions) { o.IncludeConnectionMeta = true })
	binary, _ := newProxy(t, b.URL, func(o *HookOptions) { o.BinaryEncoding = true })
	const start = `{"client":"` + clientID + `","transport":"uni_sse","protocol":"json",`
	f := func(p *Proxy, call auth.RefreshCall, want string) {
		t.Helper()
		call.Client = clientID
		_, err := p.Refresh(context.Background(), &call)
		require.NoError(t, err)
		body, _ := b.got()
		require.Equal(t, start+want, body)
	}
	full := auth.RefreshCall{User: "u1", Meta: compact(t, `{"m":1}`)}
	f(meta, full, `"encoding":"json","user":"u1","meta":{"m":1}}`)
	f(plain, full, `"encoding":"json","user":"u1"}`)
	f(binary, full, `"encoding":"binary","user":"u1"}`)
	f(meta, auth.RefreshCall{User: "u1"}, `"encoding":"json","user":"u1"}`)
	f(plain, auth.RefreshCall{}, `"encoding":"json"}`)
}

func TestRefreshCarriesTheHeadersThatWereKept(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, func(o *HookOptions) { o.HTTPHeaders, o.EmulatedHeaders = []string{"Cookie"}, []string{"Token"} })
	kept := p.RefreshHeaders([]auth.Header{sent("Cookie", "c"), sent("X", "x"), emulated("token", "t")})
	_, err := p.Refresh(context.Background(), &auth.RefreshCall{Headers: kept})
	require.NoError(t, err)
	_, header := b.got()
	require.Equal(t, "c", header.Get("Cookie"))
	require.Equal(t, "t", header.Get("Token"))
	require.Empty(t, header.Get("X"))
}

func TestRefreshOutcomes(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, func(o *HookOptions) {
		o.Transforms = []Transform{
			{Status: 403, Error: &codec.Error{Code: 103}},
			{Status: 410, Disconnect: &codec.Disconnect{Code: 4510, Reason: "gone"}},
		}
	})
	f := func(name, text string, want auth.RefreshAnswer) {
		t.Helper()
		b.say(text)
		answer, err := refresh(p)
		require.NoError(t, err, name)
		require.Equal(t, &want, answer, name)
	}
	future := time.Now().Add(time.Hour).Unix()
	expired := auth.RefreshAnswer{Expired: true}
	f("a later expire_at", fmt.Sprintf(`{"result":{"expire_at":%d}}`, future), auth.RefreshAnswer{ExpireAt: future})
	f("info", fmt.Sprintf(`{"result":{"expire_at":%d,"info":{"a": 1}}}`, future), auth.RefreshAnswer{ExpireAt: future, Info: compact(t, `{"a":1}`)})
	f("b64info", fmt.Sprintf(`{"result":{"expire_at":%d,"info":1,"b64info":"Mg=="}}`, future), auth.RefreshAnswer{ExpireAt: future, Info: compact(t, `2`)})
	f("meta", fmt.Sprintf(`{"result":{"expire_at":%d,"meta":{"m":2}}}`, future), auth.RefreshAnswer{ExpireAt: future, Meta: compact(t, `{"m":2}`)})
	f("expired", `{"result":{"expired":true}}`, expired)
	f("expired wins", fmt.Sprintf(`{"result":{"expired":true,"expire_at":%d,"info":1}}`, future), expired)
	f("expire_at 0 is no expiry", `{"result":{"expire_at":0}}`, auth.RefreshAnswer{})
	f("no expire_at is no expiry", `{"result":{}}`, auth.RefreshAnswer{})
	f("expire_at not later than now", `{"result":{"expire_at":1000}}`, expired)
	f("expire_at negative", `{"result":{"expire_at":-1}}`, expired)
	f("no result", `{}`, expired)
	f("error", `{"error":{"code":1000,"message":"custom"}}`, expired)
	f("error beside a result", fmt.Sprintf(`{"error":{"code":1},"result":{"expire_at":%d}}`, future), expired)
	b.status(403, "")
	answer, err := refresh(p)
	require.NoError(t, err)
	require.Equal(t, &expired, answer, "a status that means an error")

	told := func(name string, want *codec.Disconnect) {
		t.Helper()
		answer, err := refresh(p)
		require.Nil(t, answer, name)
		require.Equal(t, error(want), err, name)
	}
	b.say(`{"disconnect":{"code":4500,"reason":"bye"},"result":{"expire_at":0}}`)
	told("disconnect", &codec.Disconnect{Code: 4500, Reason: "bye"})
	b.say(`{"disconnect":{}}`)
	told("a disconnect without a code", &codec.Disconnect{})
	b.status(410, "")
	told("a status that means a disconnect", &codec.Disconnect{Code: 4510, Reason: "gone"})
	require.Zero(t, p.RefreshStats().Errors.Load())
}

func TestRefreshFailuresAskForAnotherTry(t *testing.T) {
	b := newBackend(t)
	p, log := newProxy(t, b.URL, nil)
	began := time.Now()
	f := func() {
		t.Helper()
		answer, err := refresh(p)
		require.Nil(t, answer)
		require.ErrorIs(t, err, auth.ErrHook)
	}
	for _, text := range []string{``, `null`, `{"result":[]}`, `{"result":{"expired":1}}`, `{"result":{"expire_at":"1"}}`, `{"result":{"b64info":"!"}}`, `{"disconnect":{"code":"1"}}`} {
		b.say(text)
		f()
	}
	b.status(500, "")
	f()
	b.Close()
	f()
	require.Equal(t, uint64(9), p.RefreshStats().Errors.Load())
	log.requireThinned(t, began)
	require.Equal(t, 60*time.Second, auth.RefreshRetry)
}
