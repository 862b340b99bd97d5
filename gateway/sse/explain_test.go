package sse_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/testkit"
)

// refusingHook refuses everybody.
type refusingHook struct{ auth.Hook }

func (refusingHook) Connect(context.Context, *auth.ConnectCall) (*auth.ConnectAnswer, error) {
	return nil, &codec.Disconnect{Code: 3500, Reason: "not you"}
}

// Who is told not to come back is told of in the log at any level, with what was
// missing and what to do, and without anything secret.
func TestTheLogExplainsWhyClientsAreToldNotToComeBack(t *testing.T) {
	const wrong = "another-secret-of-somebody-else"
	ours := map[string]any{"iss": "us"}
	claims := func(more map[string]any) map[string]any {
		for k, v := range ours {
			if _, ok := more[k]; !ok {
				more[k] = v
			}
		}
		return more
	}
	f := func(change func(*settings), opts testkit.ConnectOptions, code uint32, reason, detail, remedy string) {
		t.Helper()
		tr := newTraced(t, slog.LevelInfo, func(s *settings) {
			s.sse.AllowAnonymous, s.channels.ServerMaxLength, s.auth.Issuer = false, 1000, "us"
			if change != nil {
				change(s)
			}
		})
		opts.Timeout = time.Minute
		opts.HTTPHeaders = append(opts.HTTPHeaders, [2]string{"X-Address", "192.0.2.7"})
		testkit.Connect(t, tr.addr, opts).ExpectDisconnect(t, code)
		rec := tr.record(t, "a client was told not to come back", map[string]any{"reason": reason})
		require.Equal(t, "WARN", rec["level"])
		require.EqualValues(t, code, rec["code"])
		require.Contains(t, rec["detail"], detail)
		require.Contains(t, rec["remedy"], remedy)
		require.Equal(t, "192.0.2.7", rec["address"])
		require.Equal(t, 1, strings.Count(tr.log.String(), "\n"), tr.log)
		for _, planted := range append(strings.Split(opts.Token, "."), secret, wrong, "Planted") {
			if planted != "" {
				require.NotContains(t, tr.log.String(), planted)
			}
		}
	}
	const path = testkit.DefaultPath
	bearer := [][2]string{{"Authorization", "Planted"}}
	f(nil, testkit.ConnectOptions{}, 3501, "no_credentials", "no token in the connect request", "client.allow_anonymous_connect_without_token")
	f(nil, testkit.ConnectOptions{Path: path + "?token=Planted"}, 3501, "no_credentials", "no token", `the parameter "token" of the URL is not read`)
	f(nil, testkit.ConnectOptions{HTTPHeaders: bearer}, 3501, "no_credentials", "no JWT in the header Authorization", "cf_connect")
	f(func(s *settings) { s.sse.TokenCookie = "jwt" }, testkit.ConnectOptions{}, 3501, "no_credentials", `none in the cookie "jwt"`, "cf_connect")
	f(func(s *settings) { s.sse.UserIDHeader = "X-User" }, testkit.ConnectOptions{}, 3501, "no_credentials", `no user in the header "X-User"`, "cf_connect")
	f(func(s *settings) { s.sse.Hook = refusingHook{} }, testkit.ConnectOptions{}, 3500, "hook", "not you", "client.proxy.connect.endpoint")
	f(nil, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{})), Subs: subs("nobody:knows")}, 3501,
		"unknown_namespace", `channel "nobody:knows"`, "channel.namespaces")
	f(nil, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{"channels": []string{strings.Repeat("c", 1001)}}))}, 3501,
		"channel_too_long", "channel.server_max_length", "shorter")

	f(nil, testkit.ConnectOptions{Path: path + "?ticket=Planted"}, 3500, "ticket", "used already", "fetch a new one for each connect")
	f(nil, testkit.ConnectOptions{Token: "Planted"}, 3500, "token_malformed", "malformed", "sluice checktoken")
	f(nil, testkit.ConnectOptions{Token: testkit.HS256(t, wrong, claims(map[string]any{"sub": "1"}))}, 3500, "token_signature", "signature is invalid", "client.token.hmac_secret_key")
	f(nil, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"iss": "others"})}, 3500, "token_claims", `"us" expected`, "client.token.issuer")
	f(func(s *settings) { s.auth.Audience = "a" }, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{"aud": "b"}))}, 3500, "token_claims", "claim aud", "client.token.audience")
	f(nil, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{"channel": "news"}))}, 3500, "subscription_token", "this is a subscription token", "connection token")
	f(nil, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{"exp": "Sunday"}))}, 3500, "token_claims", "claim exp", "checktoken")
	f(func(s *settings) { s.auth.HMACSecretKey = "" }, testkit.ConnectOptions{Token: token(t, "1", claims(map[string]any{}))}, 3500, "token_algorithm", "signing method", "client.token")
	f(nil, testkit.ConnectOptions{Request: `{"token":"` + strings.Repeat("x", 65<<10) + `"}`, Method: "POST"}, 3500, "token_too_long", "at most", "claims")
}

// What passes by itself, and connects that succeed, are not explained.
func TestOnlyTerminalRefusalsAreExplained(t *testing.T) {
	tr := newTraced(t, slog.LevelInfo, nil)
	testkit.Connect(t, tr.addr, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"exp": 1})}).ExpectDisconnect(t, 3005)
	tr.subscribe(t, subs("news"))
	require.Empty(t, tr.log.String())
}
