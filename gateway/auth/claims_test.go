package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestUserIsTheSubject(t *testing.T) {
	v := newTestVerifier(t, nil)
	requireIdentity(t, v, mint(t, `{"sub":"42"}`), "42")
	requireIdentity(t, v, mint(t, `{"sub":"\u00fc \"q\""}`), `ü "q"`)
	requireIdentity(t, v, mint(t, `{"sub":""}`), "")
	requireIdentity(t, v, mint(t, `{"sub":null}`), "")
	requireIdentity(t, v, mint(t, `{}`), "")
	for _, sub := range []string{`42`, `4.2`, `true`, `["42"]`, `{"a":1}`} {
		requireInvalid(t, v, mint(t, `{"sub":`+sub+`}`))
	}
}

// Whoever mints tokens is told what is wrong with one, in words about tokens.
func TestErrorsOfTokensSayWhatWasExpected(t *testing.T) {
	v := newTestVerifier(t, func(*Options) {})
	f := func(payload, want string) {
		t.Helper()
		for range 2 { // the second time from the cache
			_, err := v.VerifyConnect(mint(t, payload), time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
			require.ErrorContains(t, err, "auth: token: "+want)
			require.NotContains(t, err.Error(), "unverifiable")
		}
	}
	f(`{"sub":1}`, `claim sub: a string expected, got the number 1: write "1": `)
	f(`{"sub":-1.5}`, `claim sub: a string expected, got the number -1.5: write "-1.5": `)
	f(`{"sub":["1"]}`, `claim sub: a string expected, got a list: `)
	f(`{"sub":{}}`, `claim sub: a string expected, got an object: `)
	f(`{"sub":true}`, `claim sub: a string expected, got true: `)
	f(`{"sub":"1","exp":1795953599}`, `exp is over since 2026-11-29T11:59:59Z: `)
	f(`{"sub":"1","nbf":1795953601}`, `nbf is still to come, at 2026-11-29T12:00:01Z: `)
	_, _, err := v.VerifySubscription(mint(t, `{"sub":"1","channel":"x","exp":1}`), now)
	require.ErrorContains(t, err, "exp is over since 1970-01-01T00:00:01Z")

	_, err = v.VerifyConnect(mint(t, `{"sub":1}`), now)
	reason, remedy := Remedy(err)
	require.Equal(t, "token_claims", reason)
	require.Contains(t, remedy, "sluice docs identity, Tokens lists")
}

func TestAnonymousTokensCanBeDisallowed(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.DisallowAnonymousConnectionTokens = true })
	requireIdentity(t, v, mint(t, `{"sub":"42"}`), "42")
	for range 2 {
		requireDisconnect(t, v, mint(t, `{"sub":""}`), codec.DisconnectPermissionDenied)
		requireDisconnect(t, v, mint(t, `{}`), codec.DisconnectPermissionDenied)
	}
	// Whether the token is valid comes first.
	requireError(t, v, mint(t, `{"exp":1}`), now, codec.ErrTokenExpired)
	requireInvalid(t, v, mint(t, `{"channel":"x"}`))
	requireDisconnect(t, v, mint(t, `{"expire_at":1}`), codec.DisconnectPermissionDenied)
}

func TestUserIDClaimReplacesTheSubject(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.UserIDClaim = "user_id" })
	requireIdentity(t, v, mint(t, `{"sub":"1","user_id":"2"}`), "2")
	requireIdentity(t, v, mint(t, `{"sub":"1","user_id":5}`), "5")
	requireIdentity(t, v, mint(t, `{"sub":"1","user_id":-12345678901234567890}`), "-12345678901234567890")
	requireIdentity(t, v, mint(t, `{"sub":"1"}`), "")
	requireIdentity(t, v, mint(t, `{"sub":"1","user_id":null}`), "")
	requireIdentity(t, v, mint(t, `{"sub":1,"user_id":"2"}`), "2")
	requireIdentity(t, v, mint(t, `{"a":{"user_id":"2"}}`), "") // top level only
	requireIdentity(t, v, mint(t, `{"USER_ID":"2"}`), "")       // of exactly this name
	requireInvalid(t, v, mint(t, `{"user_id":true}`))
	requireInvalid(t, v, mint(t, `{"user_id":["2"]}`))
}

func TestClaimsOfWrongTypesAreInvalid(t *testing.T) {
	v := newTestVerifier(t, nil)
	for _, payload := range []string{
		`null`, `[]`, `"x"`, `1`, ``, `{`, `{} {}`, `{"sub":"a"`, `{"sub":01}`,
		`{"exp":true}`, `{"exp":"soon"}`, `{"exp":""}`, `{"exp":" 1 "}`, `{"exp":"1900000000 "}`, `{"exp":"0x10"}`, `{"exp":"+1"}`, `{"exp":"Inf"}`, `{"exp":"NaN"}`, `{"exp":"null"}`, `{"exp":[]}`, `{"exp":{}}`,
		`{"nbf":true}`, `{"nbf":"x"}`,
		`{"expire_at":1.5}`, `{"expire_at":"2000000000"}`, `{"expire_at":1e10}`, `{"expire_at":99999999999999999999}`,
		`{"aud":1}`, `{"aud":[1]}`, `{"aud":{}}`, `{"iss":1}`, `{"iss":["a"]}`,
		`{"b64info":1}`, `{"channels":"news"}`, `{"channels":[1]}`, `{"channels":{}}`,
		`{"subs":["news"]}`, `{"subs":{"news":1}}`, `{"subs":{"news":{"b64info":1}}}`,
		`{"subs":{"news":{"override":1}}}`, `{"subs":{"news":{"override":{"presence":true}}}}`,
		`{"subs":{"news":{"override":{"presence":{"value":1}}}}}`,
		`{"channel":1}`, `{"channel":"news"}`,
	} {
		t.Run(payload, func(t *testing.T) { requireInvalid(t, v, mint(t, payload)) })
	}
}

func TestClaimsAreAnObject(t *testing.T) {
	for _, payload := range []string{`null`, `[]`, `1`, ``} {
		err := new(claims).decode(new([]byte), []byte(payload), "")
		require.Error(t, err, payload)
	}
}

func TestIgnoredClaimsMayHoldAnything(t *testing.T) {
	v := newTestVerifier(t, nil)
	requireIdentity(t, v, mint(t, `{"sub":"42","jti":1,"iat":99999999999,"other":{"a":[]},"channel":"","typ":5}`), "42")
	requireIdentity(t, v, mint(t, `{"sub":"42","channel":null,"channels":null,"subs":null,"exp":null,"nbf":null,"aud":null,"iss":null,"expire_at":null}`), "42")
}

func TestExpAndNbf(t *testing.T) {
	v := newTestVerifier(t, nil)
	sec := now.Unix() // now is half a second later
	ok := func(claims string) {
		t.Helper()
		requireIdentity(t, v, mint(t, `{"sub":"42",`+claims+`}`), "42")
	}
	expired := func(claims string) {
		t.Helper()
		requireError(t, v, mint(t, `{"sub":"42",`+claims+`}`), now, codec.ErrTokenExpired)
	}
	ok(fmt.Sprintf(`"exp":%d`, sec+1))
	ok(fmt.Sprintf(`"exp":"%d"`, sec+1))
	ok(fmt.Sprintf(`"exp":%d.75`, sec))
	ok(fmt.Sprintf(`"exp":"%d.75"`, sec))
	ok(`"exp":1e11`)
	ok(`"exp":1e999`)
	ok(`"exp":99999999999999999999999`)
	expired(fmt.Sprintf(`"exp":%d`, sec)) // no leeway
	expired(fmt.Sprintf(`"exp":"%d"`, sec))
	expired(fmt.Sprintf(`"exp":%d.5`, sec)) // at that moment it is over
	expired(fmt.Sprintf(`"exp":%d.25`, sec))
	expired(`"exp":0`)
	expired(`"exp":-62135596800`) // the zero time of Go
	expired(`"exp":-1e999`)
	expired(`"exp":1.7e9`)

	ok(fmt.Sprintf(`"nbf":%d`, sec))
	ok(fmt.Sprintf(`"nbf":%d.5`, sec))
	ok(`"nbf":0`)
	expired(fmt.Sprintf(`"nbf":%d`, sec+1))
	expired(fmt.Sprintf(`"nbf":"%d"`, sec+1))
	expired(`"nbf":1e999`)
	expired(fmt.Sprintf(`"exp":%d,"nbf":%d`, sec+100, sec+1))
}

func TestExpireAt(t *testing.T) {
	sec := now.Unix()
	year := now.Add(maxExpiry).Unix()
	f := func(claims string, want int64) {
		t.Helper()
		v := newTestVerifier(t, nil)
		for range 2 {
			require.Equal(t, want, requireIdentity(t, v, mint(t, `{"sub":"42"`+claims+`}`), "42").ExpireAt, claims)
		}
	}
	f(``, 0)
	f(fmt.Sprintf(`,"exp":%d`, sec+60), sec+60)
	f(fmt.Sprintf(`,"exp":%d.75`, sec+60), sec+60)
	f(fmt.Sprintf(`,"exp":%d,"expire_at":null`, sec+60), sec+60)
	f(fmt.Sprintf(`,"exp":%d,"expire_at":0`, sec+60), 0)
	f(fmt.Sprintf(`,"exp":%d,"expire_at":-5`, sec+60), 0)
	f(fmt.Sprintf(`,"exp":%d,"expire_at":%d`, sec+60, sec+600), sec+600)
	f(fmt.Sprintf(`,"expire_at":%d`, sec+600), sec+600)
	f(fmt.Sprintf(`,"expire_at":%d`, sec), sec) // due, not over
	f(fmt.Sprintf(`,"exp":%d`, year+1), year)
	f(`,"exp":1e999`, year)
	f(`,"expire_at":9223372036854775807`, year)

	v := newTestVerifier(t, nil)
	past := mint(t, fmt.Sprintf(`{"sub":"42","expire_at":%d}`, sec-1))
	for range 2 {
		requireError(t, v, past, now, codec.ErrExpired)
	}
	soon := mint(t, fmt.Sprintf(`{"sub":"42","expire_at":%d}`, sec+10))
	requireIdentity(t, v, soon, "42")
	requireError(t, v, soon, time.Unix(sec+11, 0), codec.ErrExpired)
}

func TestInsecureConnectionsDoNotExpireButTokensDo(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.Insecure = true })
	for range 2 {
		require.Zero(t, requireIdentity(t, v, mint(t, `{"sub":"42","exp":1e10}`), "42").ExpireAt)
		require.Zero(t, requireIdentity(t, v, mint(t, `{"sub":"42","expire_at":1}`), "42").ExpireAt)
		requireError(t, v, mint(t, `{"sub":"42","exp":1}`), now, codec.ErrTokenExpired)
	}
}

func TestAudienceAndIssuer(t *testing.T) {
	f := func(o Options, claims string, ok bool) {
		t.Helper()
		o.HMACSecretKey = secret
		v, err := NewVerifier(o)
		require.NoError(t, err)
		_, err = v.VerifyConnect(mint(t, `{"sub":"42"`+claims+`}`), now)
		if ok {
			require.NoError(t, err, claims)
			return
		}
		require.ErrorIs(t, err, codec.DisconnectInvalidToken, claims)
	}
	f(Options{}, `,"aud":"x","iss":"y"`, true)
	f(Options{}, `,"aud":["x","y"]`, true)

	f(Options{Audience: "us"}, ``, false)
	f(Options{Audience: "us"}, `,"aud":"us"`, true)
	f(Options{Audience: "us"}, `,"aud":["them","us"]`, true)
	f(Options{Audience: "us"}, `,"aud":["them"]`, false)
	f(Options{Audience: "us"}, `,"aud":[]`, false)
	f(Options{Audience: "us"}, `,"aud":"us too"`, false)

	f(Options{AudienceRegex: "us"}, ``, false)
	f(Options{AudienceRegex: "us"}, `,"aud":"us too"`, true) // unanchored
	f(Options{AudienceRegex: "^us$"}, `,"aud":"us too"`, false)
	f(Options{AudienceRegex: "^us$"}, `,"aud":["them","us"]`, true)
	f(Options{AudienceRegex: ".*"}, ``, false)
	f(Options{AudienceRegex: ".*"}, `,"aud":""`, false)

	f(Options{Issuer: "me"}, ``, false)
	f(Options{Issuer: "me"}, `,"iss":"me"`, true)
	f(Options{Issuer: "me"}, `,"iss":"me too"`, false)
	f(Options{IssuerRegex: "me"}, `,"iss":"me too"`, true)
	f(Options{IssuerRegex: ".*"}, ``, false)

	f(Options{Issuer: "me", Audience: "us"}, `,"iss":"me","aud":"us"`, true)
	f(Options{Issuer: "me", Audience: "us"}, `,"iss":"me"`, false)
	// The wrong audience outranks the expiry.
	f(Options{Audience: "us"}, `,"aud":"them","exp":1`, false)
}

func TestInfoAndMeta(t *testing.T) {
	v := newTestVerifier(t, nil)
	f := func(claims, info, meta string) {
		t.Helper()
		id := requireIdentity(t, v, mint(t, `{"sub":"42"`+claims+`}`), "42")
		require.Equal(t, info, id.Info.String(), claims)
		require.Equal(t, meta, id.Meta.String(), claims)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	f(``, ``, ``)
	f(`,"info": { "name" : "Alice" }, "meta":[ 1 ]`, `{"name":"Alice"}`, `[1]`)
	f(`,"info":"text","meta":5`, `"text"`, `5`)
	f(`,"info":null,"meta":null`, `null`, `null`)
	f(`,"info":1.50e+3`, `1.50e+3`, ``)
	f(`,"info":{"a":1},"b64info":"`+b64(`{"b": 2}`)+`"`, `{"b":2}`, ``)
	f(`,"info":{"a":1},"b64info":""`, `{"a":1}`, ``)

	for _, bad := range []string{"!", b64("{}")[:3], strings.ReplaceAll(b64("{}~~?"), "/", "_") + "!", b64("\x00\x01")} {
		requireDisconnect(t, v, mint(t, `{"sub":"42","b64info":"`+bad+`"}`), codec.DisconnectServerError)
	}
	requireError(t, v, mint(t, `{"exp":1,"b64info":"!"}`), now, codec.ErrTokenExpired)
}

func TestChannelsClaim(t *testing.T) {
	v := newTestVerifier(t, nil)
	f := func(claims string, want ...string) {
		t.Helper()
		id := requireIdentity(t, v, mint(t, `{"sub":"42",`+claims+`}`), "42")
		var got []string
		for _, s := range id.Subs {
			require.Equal(t, SubGrant{Channel: s.Channel}, s)
			got = append(got, s.Channel)
		}
		require.Equal(t, want, got, claims)
	}
	f(`"channels":["b","$a","u#1","b","","nope:x"]`, "b", "$a", "u#1", "nope:x")
	f(`"channels":[]`)
	f(`"channels":[""]`)
	f(`"channels":["x"],"subs":{}`, "x")
	f(`"channels":["x"],"subs":null`, "x")
	f(`"channels":["x"],"subs":{"b":{},"a":null}`, "a", "b")
	f(`"channels":["x"],"subs":{"":{}}`) // not empty, though nothing is left of it
	f(`"subs":{"a":{},"":{},"B":{}}`, "B", "a")
	f(`"subs":{"a":{},"A":{}}`, "A", "a") // names of channels are what they are
	requireInvalid(t, v, mint(t, `{"sub":"42","subs":{"a":{},"a":{"info":1}}}`))
}

// Claims count by exactly their names, wherever they are: an issuer may let
// others choose the rest. One that counts is given once.
func TestClaimsAreOfExactlyTheirNames(t *testing.T) {
	for _, claim := range []string{"", "user_id"} {
		v := newTestVerifier(t, func(o *Options) { o.UserIDClaim, o.Audience = claim, "a" })
		const start = `{"sub":"1","user_id":"1","aud":"a",`
		id := requireIdentity(t, v, mint(t, start+`"SUB":"2","Sub":5,"USER_ID":"2","Exp":1,"EXP":"x","NBF":99999999999,"Expire_At":1,
			"AUD":"b","ISS":5,"Info":{"admin":true},"B64INFO":"!","META":1,"Channels":["all"],"SUBS":{"all":{}},"Channel":"c",
			"\u0053ub":"3","subs":{"a":{"Info":1,"B64Info":"!","DATA":1,"Override":5,"override":{"Presence":5,"join_leave":{"Value":true}}}}}`), "1")
		require.Equal(t, Identity{User: "1", Subs: []SubGrant{{Channel: "a", Override: Override{JoinLeave: Off}}}}, *id)
		id = requireIdentity(t, v, mint(t, `{"\u0073ub":"7","user\u005fid":"7","\u0061ud":"a"}`), "7") // an escape is another spelling of the same name
		require.Zero(t, id.Info)
		for _, twice := range []string{
			`"aud":"a"`, `"\u0061ud":"b"`, `"exp":9999999999,"exp":9999999999`, `"channels":[],"channels":["b"]`, `"info":1,"info":1`, `"channel":"","channel":""`,
			`"subs":{"a":{"info":1,"info":2}}`, `"subs":{"a":{"override":{"presence":{"value":true},"presence":{}}}}`,
			`"subs":{"a":{"override":{"presence":{"value":true,"value":false}}}}`, `"sub":"1"`,
		} {
			requireInvalid(t, v, mint(t, start+twice+`}`))
		}
		_, err := v.VerifyConnect(mint(t, start+`"aud":"a"}`), now)
		require.ErrorContains(t, err, "aud: one value expected")
		requireIdentity(t, v, mint(t, start+`"other":1,"other":2,"Exp":1,"Exp":2}`), "1") // these do not count
	}
	v := newTestVerifier(t, func(o *Options) { o.UserIDClaim = "user_id" })
	requireInvalid(t, v, mint(t, `{"user_id":"1","user_id":"2"}`))
}

func TestSubsClaim(t *testing.T) {
	v := newTestVerifier(t, nil)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	one := func(options string) SubGrant {
		t.Helper()
		id := requireIdentity(t, v, mint(t, `{"sub":"42","subs":{"news":`+options+`}}`), "42")
		require.Len(t, id.Subs, 1)
		require.Equal(t, "news", id.Subs[0].Channel)
		return id.Subs[0]
	}
	g := one(`{"info": { "r" : 1 },"data":[ 1 ]}`)
	require.Equal(t, `{"r":1}`, g.Info.String())
	require.Equal(t, `[1]`, g.Data.String())
	g = one(`{"info":1,"b64info":"` + b64(`2`) + `","data":1,"b64data":"` + b64(` {"d": 2}`) + `"}`)
	require.Equal(t, `2`, g.Info.String())
	require.Equal(t, `{"d":2}`, g.Data.String())
	g = one(`{"expire_at":1,"recover":true,"offset":5,"tf":{}}`)
	require.Equal(t, SubGrant{Channel: "news"}, g)

	require.Equal(t, Override{}, one(`{"override":{}}`).Override)
	require.Equal(t, Override{}, one(`{"override":null}`).Override)
	require.Equal(t, Override{}, one(`{"override":{"presence":null}}`).Override)
	require.Equal(t, Override{Presence: Off}, one(`{"override":{"presence":{}}}`).Override)
	require.Equal(t, Override{Presence: Off, JoinLeave: On, ForcePushJoinLeave: On, ForcePositioning: On, ForceRecovery: On},
		one(`{"override":{"presence":{"value":false},"join_leave":{"value":true},"force_push_join_leave":{"value":true},
			"force_positioning":{"value":true},"force_recovery":{"value":true},"other":1}}`).Override)

	for _, bad := range []string{`{"b64info":"!"}`, `{"b64data":"!"}`, `{"b64data":"` + b64("\x00") + `"}`} {
		requireInvalid(t, v, mint(t, `{"subs":{"news":`+bad+`}}`))
		// That the token is over outranks what its channels are.
		requireError(t, v, mint(t, `{"exp":1,"subs":{"news":`+bad+`}}`), now, codec.ErrTokenExpired)
	}
}

func TestTogglesReplaceOptions(t *testing.T) {
	for _, option := range []bool{false, true} {
		require.Equal(t, option, Unset.Or(option))
		require.True(t, On.Or(option))
		require.False(t, Off.Or(option))
	}
}

func TestDetailOfARefusalIsBounded(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.IssuerRegex = "^good$" })
	_, err := v.VerifyConnect(mint(t, `{"iss":"`+strings.Repeat("ü", 10000)+`"}`), now)
	require.ErrorIs(t, err, codec.DisconnectInvalidToken)
	require.Less(t, len(err.Error()), 400)
	require.Equal(t, uint64(1), v.Stats().Refused.Load())
}

func FuzzVerifyConnect(f *testing.F) {
	for _, payload := range []string{
		`{"sub":"42","exp":1900000000,"info":{"a":1},"subs":{"news":{"data":1,"override":{"presence":{"value":true}}}}}`,
		`{"channels":["a","","a"],"expire_at":0,"nbf":"1","aud":["x"],"meta":null}`,
		`{"exp":1e400,"b64info":"e30="}`, `{"sub":5}`, `[]`, "\x00", `{"subs":{"":null}}`,
	} {
		f.Add(segment(`{"alg":"HS256"}`)+"."+segment(payload)+".", payload)
	}
	f.Add("..", `{}`)
	v := newTestVerifier(f, nil)
	f.Fuzz(func(t *testing.T, token, payload string) {
		// Nobody can sign but us, so that a text of others must not get in.
		if id, err := v.VerifyConnect(token, now); err == nil {
			t.Fatalf("a token without a signature is taken for %+v", id)
		}
		signed := mint(t, payload)
		id, err := v.VerifyConnect(signed, now)
		again, againErr := v.VerifyConnect(signed, now)
		require.Equal(t, id, again, "cached")
		require.Equal(t, err == nil, againErr == nil)
		if err != nil {
			var disconnect *codec.Disconnect
			var clientError *codec.Error
			if !errors.As(err, &disconnect) && !errors.As(err, &clientError) {
				t.Fatalf("%v tells a client nothing", err)
			}
			return
		}
		require.True(t, id.ExpireAt == 0 || id.ExpireAt >= now.Unix() && id.ExpireAt <= now.Add(maxExpiry).Unix())
		seen := map[string]bool{"": true}
		for _, s := range id.Subs {
			require.False(t, seen[s.Channel], "%q", s.Channel)
			seen[s.Channel] = true
		}
	})
}
