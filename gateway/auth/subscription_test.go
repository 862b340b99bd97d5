package auth

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func TestSubscriptionTokens(t *testing.T) {
	v := newTestVerifier(t, func(o *Options) { o.Audience, o.IssuerRegex = "us", "^good" })
	const ok = `"aud":"us","iss":"good"`
	f := func(token string, at time.Time, user, channel string, want error) {
		t.Helper()
		gotUser, gotChannel, err := v.VerifySubscription(token, at)
		if want != nil {
			require.ErrorIs(t, err, want)
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, user, gotUser)
		require.Equal(t, channel, gotChannel)
	}
	sub := mint(t, `{"sub":"42","channel":"news","exp":1800000001,`+ok+`}`)
	f(sub, now, "42", "news", nil)
	f(mint(t, `{"channel":"$p:x",`+ok+`}`), now, "", "$p:x", nil)
	f(sub, now.Add(time.Second), "", "", codec.ErrTokenExpired)
	f(mint(t, `{"sub":"42",`+ok+`}`), now, "", "", codec.DisconnectInvalidToken)
	f(mint(t, `{"channel":"x","aud":"them","iss":"good"}`), now, "", "", codec.DisconnectInvalidToken)
	f(mint(t, `{"channel":"x","aud":"us","iss":"bad"}`), now, "", "", codec.DisconnectInvalidToken)
	f(sub+"A", now, "", "", codec.DisconnectInvalidToken)
	f(sign(t, jwt.SigningMethodHS256, []byte("other"), header(jwt.SigningMethodHS256), `{"channel":"x",`+ok+`}`), now, "", "", codec.DisconnectInvalidToken)
	f(string(make([]byte, maxToken+1)), now, "", "", codec.DisconnectInvalidToken)
}
