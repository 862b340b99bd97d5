package test

import (
	"crypto/elliptic"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// This file is about who a client is: tokens in every place and of every kind,
// what they grant, and when they expire.

// PROTOCOL 4.1: token, then hook, then anonymous, then header.
func TestIdentityIsLookedForInOrder(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	const header = `, "user_id_http_header": "X-User-Id"`
	b := newBackend(t)
	b.say(`{"result":{"user":"hooked","channels":["who:x"]}}`)
	f := func(name, client string, wantToken, wantHeader, wantNothing any) {
		t.Helper()
		s := startText(t, trusting(fmt.Sprintf(strictConfig, "", "", withSecret+client, "")), nil)
		byHeader := [][2]string{{"X-User-Id", "headed"}}
		for kind, c := range map[string]struct {
			want any
			opts testkit.ConnectOptions
		}{
			"token":  {wantToken, testkit.ConnectOptions{Token: tokenOf(t, "tokened", nil), HTTPHeaders: byHeader}},
			"header": {wantHeader, testkit.ConnectOptions{HTTPHeaders: byHeader}},
			"none":   {wantNothing, testkit.ConnectOptions{}},
		} {
			label := name + ", " + kind
			if user, ok := c.want.(string); ok {
				s.connects(t, label, user, c.opts)
			} else {
				s.refused(t, label, uint32(c.want.(int)), c.opts)
			}
		}
		before := b.asked.Load()
		s.refused(t, name+", a bad token", 3500, testkit.ConnectOptions{Token: "bad", HTTPHeaders: byHeader})
		require.Equal(t, before, b.asked.Load(), "%s: a bad token is not the hook's business", name)
	}
	f("nothing", "", "tokened", 3501, 3501)
	f("header", header, "tokened", "headed", 3501)
	f("anonymous", withAnonymous, "tokened", "", "")
	f("anonymous and header", withAnonymous+header, "tokened", "", "")
	f("insecure and header", `, "insecure": true`+header, "tokened", "", "")
	f("hook", b.connectHook(""), "tokened", "hooked", "hooked")
	f("hook, anonymous and header", b.connectHook("")+withAnonymous+header, "tokened", "hooked", "hooked")
	require.EqualValues(t, 4, b.asked.Load(), "a token is never the hook's business")
	b.say(`{}`)
	f("hook without an opinion", b.connectHook(""), "tokened", 3501, 3501)
	f("hook without an opinion, header", b.connectHook("")+header, "tokened", "headed", 3501)
	f("hook without an opinion, anonymous", b.connectHook("")+withAnonymous+header, "tokened", "", "")
}

func TestStaticKeysOfSeveralFamilies(t *testing.T) {
	ec := ecKey(t, elliptic.P256())
	rsaPEM, ecPEM := testkit.PublicPEM(t, &rsaKey().PublicKey), testkit.PublicPEM(t, &ec.PublicKey)
	s := startStrict(t, parts{client: fmt.Sprintf(
		`, "token": {"hmac_secret_key": %q, "hmac_previous_secret_key": "old", "rsa_public_key": %q, "ecdsa_public_key": %q}`,
		testSecret, rsaPEM, ecPEM)}, nil)
	who := map[string]any{"sub": "42"}
	for name, token := range map[string]string{
		"HS256": testkit.HS256(t, testSecret, who), "HS384": testkit.Token(t, "HS384", []byte(testSecret), who),
		"HS512": testkit.Token(t, "HS512", []byte(testSecret), who), "previous": testkit.HS256(t, "old", who),
		"RS256": testkit.Token(t, "RS256", rsaKey(), who), "ES256": testkit.ES256(t, ec, who),
		"PS256": testkit.Sign(t, jwt.SigningMethodPS256, rsaKey(), nil, who),
	} {
		s.connects(t, name, "42", testkit.ConnectOptions{Token: token})
	}
	for name, token := range map[string]string{
		"none":                 testkit.Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, who),
		"none in another case": testkit.RawToken(map[string]any{"alg": "nOnE", "typ": "JWT"}, who, nil),
		"HS256 with RSA PEM":   testkit.HS256(t, rsaPEM, who),
		"HS256 with EC PEM":    testkit.HS256(t, ecPEM, who),
		"wrong secret":         testkit.HS256(t, "guess", who),
		"lies about alg":       testkit.Sign(t, jwt.SigningMethodHS256, []byte(testSecret), map[string]any{"alg": "RS256"}, who),
		"dots":                 strings.Repeat(".", 30_000),
		"two parts":            "a.b",
		"no JSON":              testkit.RawToken([]byte("{"), who, nil),
	} {
		s.refused(t, name, 3500, testkit.ConnectOptions{Token: token, Method: "POST"})
	}
}

// PROTOCOL 4.3 and 4.4.
func TestClaimsThroughTheWire(t *testing.T) {
	s := startStrict(t, parts{client: `, "disallow_anonymous_connection_tokens": true, "token": {"hmac_secret_key": "` +
		testSecret + `", "audience": "us", "issuer_regex": "^(?P<tenant>one|two)$"}`}, nil)
	const user = "42"
	with := func(claims map[string]any) testkit.ConnectOptions {
		all := map[string]any{"sub": user, "aud": "us", "iss": "one"}
		maps.Copy(all, claims)
		return testkit.ConnectOptions{Token: testkit.HS256(t, testSecret, all)}
	}
	for name, claims := range map[string]map[string]any{
		"plain": nil, "audiences": {"aud": []string{"them", "us"}}, "iat ahead": {"iat": soon(1000)},
		"exp as text": {"exp": fmt.Sprint(soon(1000))}, "exp with a fraction": {"exp": float64(soon(1000)) + 0.5},
		"expire_at 0": {"exp": soon(1000), "expire_at": 0}, "empty channel": {"subs": map[string]any{"": map[string]any{}}},
	} {
		s.connects(t, name, user, with(claims))
	}
	for name, c := range map[string]struct {
		code   uint32
		claims map[string]any
	}{
		"sub is a number":      {3500, map[string]any{"sub": 42}},
		"no user":              {3507, map[string]any{"sub": ""}},
		"over":                 {3005, map[string]any{"exp": soon(-1)}},
		"not yet":              {3005, map[string]any{"nbf": soon(1000)}},
		"expire_at is over":    {3005, map[string]any{"expire_at": soon(-100), "exp": soon(1000)}},
		"audience":             {3500, map[string]any{"aud": "them"}},
		"issuer":               {3500, map[string]any{"iss": "three"}},
		"subscription token":   {3500, map[string]any{"channel": "news"}},
		"b64info":              {3004, map[string]any{"b64info": "%"}},
		"b64info of a sub":     {3500, map[string]any{"subs": map[string]any{"news": map[string]any{"b64info": "%"}}}},
		"unknown namespace":    {3004, map[string]any{"channels": []string{"nobody:knows"}}},
		"namespace of subs":    {3004, map[string]any{"subs": map[string]any{"nobody:knows": map[string]any{}}}},
		"channels of no texts": {3500, map[string]any{"channels": []int{1}}},
	} {
		s.refused(t, name, c.code, with(c.claims))
	}

	opts := with(map[string]any{
		"info": map[string]any{"name": "Ada"}, "channels": []string{"never"},
		"subs": map[string]any{
			"who:x": map[string]any{"info": map[string]any{"r": 1}}, "$closed:a": map[string]any{"data": map[string]any{"d": 1}},
			"closed:b": map[string]any{"override": map[string]any{"presence": map[string]any{"value": true}}},
			"rec:c":    map[string]any{"override": map[string]any{"force_recovery": map[string]any{"value": false}}},
		},
	})
	opts.Subs = asking("news", "closed:no", "$closed:a")
	c := s.connect(t, opts)
	res := c.ExpectConnect(t)
	require.Len(t, res.Subs, 5, "the token's four, and news; channels and what is not permitted are ignored")
	require.JSONEq(t, `{"d":1}`, string(res.Subs["$closed:a"].Data))
	require.False(t, res.Subs["rec:c"].Recoverable)
	require.Contains(t, res.Subs, "news")
	m := s.member(t, "who:x", res.Client)
	require.JSONEq(t, `{"name":"Ada"}`, string(m.ConnInfo))
	require.JSONEq(t, `{"r":1}`, string(m.ChanInfo))
}

func TestUserIDOfAnotherClaim(t *testing.T) {
	s := startStrict(t, parts{client: `, "token": {"hmac_secret_key": "` + testSecret + `", "user_id_claim": "uid"}`}, nil)
	f := func(want string, claims map[string]any) {
		t.Helper()
		s.connects(t, fmt.Sprint(claims), want, testkit.ConnectOptions{Token: tokenOf(t, "sub", claims)})
	}
	f("a", map[string]any{"uid": "a"})
	f("5", map[string]any{"uid": 5})
	f("", nil)
}

// PROTOCOL 4.5, without a refresh hook. The one that is not refreshed is the
// clock: when its end has come, the other must have been given more time.
func TestConnectionExpiresUnlessTheAPIRefreshes(t *testing.T) {
	s := startStrict(t, parts{client: withSecret + `, "expired_close_delay": "300ms"`}, nil)
	inTime(t, func(seconds int64) bool {
		at := soon(seconds)
		clients := make(map[string]*testkit.Client)
		for _, user := range []string{"dies", "lives", "forever"} {
			c, res := s.connectBefore(t, at, testkit.ConnectOptions{
				Token: tokenOf(t, user, map[string]any{"exp": at}), Subs: asking("news"),
			})
			if c == nil {
				return false
			}
			defer c.Close()
			require.True(t, res.Expires)
			require.LessOrEqual(t, res.TTL, uint32(seconds))
			clients[user] = c
		}
		dies, lives, forever := clients["dies"], clients["lives"], clients["forever"]
		const longer = 1000
		before := time.Now().Unix()
		s.api.MustResult(t, "refresh", fmt.Sprintf(`{"user":"lives","expire_at":%d}`, before+longer))
		s.api.MustResult(t, "refresh", `{"user":"forever"}`)
		if over(at) {
			return false
		}
		var r testkit.Refresh
		lives.NextKind(t, "refresh").Decode(t, &r)
		require.True(t, r.Expires)
		require.LessOrEqual(t, int64(r.TTL), int64(longer))
		require.GreaterOrEqual(t, int64(r.TTL), longer-1-(time.Now().Unix()-before))
		forever.Expect(t, `{"refresh":{}}`)

		dies.ExpectDisconnect(t, 3005)
		require.False(t, time.Now().Before(time.Unix(at, 0).Add(300*time.Millisecond)), "not before exp and the delay")
		s.api.Publish(t, "news", `"on"`)
		lives.ExpectPub(t, "news")
		forever.ExpectPub(t, "news")
		s.api.MustResult(t, "refresh", `{"user":"lives","expired":true}`)
		lives.ExpectDisconnect(t, 3005)
		s.api.MustResult(t, "refresh", `{"user":"forever","expire_at":1}`)
		forever.ExpectDisconnect(t, 3005)
		return true
	})
}

// PROTOCOL 5.5.
func TestPersonalChannel(t *testing.T) {
	const personal = `, "subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "who", "single_connection": true}`
	b := newBackend(t)
	b.say(`{"result":{"user":"hooked","channels":["news"]}}`)
	s := startStrict(t, parts{client: withSecret + personal + b.connectHook("")}, nil)
	older := s.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "7", nil), Subs: asking("news")})
	res := older.ExpectConnect(t)
	require.Contains(t, res.Subs, "who:#7")
	require.Contains(t, res.Subs, "news")
	hooked := s.connect(t, testkit.ConnectOptions{})
	res = hooked.ExpectConnect(t)
	require.Len(t, res.Subs, 2)
	require.Contains(t, res.Subs, "who:#hooked")

	newer := s.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "7", nil)})
	newer.ExpectConnect(t)
	older.ExpectDisconnect(t, 3504)
	s.api.Publish(t, "who:#7", `1`)
	newer.ExpectPub(t, "who:#7")
	nobody := s.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "", nil)})
	require.Empty(t, nobody.ExpectConnect(t).Subs, "the anonymous user has no personal channel")
	s.api.Publish(t, "who:#hooked", `2`)
	hooked.ExpectPub(t, "who:#hooked")

	headed := startText(t, trusting(fmt.Sprintf(strictConfig, "", "", personal+`, "user_id_http_header": "X-User-Id"`, "")), nil)
	c := headed.connect(t, testkit.ConnectOptions{Subs: asking("news"), HTTPHeaders: [][2]string{{"X-User-Id", "9"}}})
	res = c.ExpectConnect(t)
	require.Len(t, res.Subs, 2, "beyond the reference, a user by header gets both (PROTOCOL 12.23)")
	require.Contains(t, res.Subs, "who:#9")
}
