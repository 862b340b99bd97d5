package proxy

import (
	std "encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
)

// resultModel is connectResult for the standard library's decoder.
type resultModel struct {
	Result *struct {
		User     string   `json:"user"`
		ExpireAt int64    `json:"expire_at"`
		Channels []string `json:"channels"`
	} `json:"result"`
}

func FuzzHookAnswers(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"result":{}}`, `{"result":null}`, `<html>`,
		`{"result":{"user":"42","expire_at":1900000000,"info":{"a":"\u2028"},"meta":1,"channels":["a","b"],"subs":{"b":{"cache_recover":true}}}}`,
		`{"result":{"user":5}}`, `{"result":{"b64info":"e30=","b64data":"AA=="}}`, `{"RESULT":{"USER":"x"}}`,
		`{"result":{"subs":{"a":null,"":{},"b":{"override":{"presence":{"value":true}}}}}}`,
		`{"error":{"code":103,"message":"no"}}`, `{"disconnect":{"code":4501,"reason":"no way"}}`, `{"error":{},"disconnect":{}}`,
		`{"result":{"expired":true}}`, `{"result":{"expire_at":1e400}}`, "{\"result\":{\"user\":\"\xff\"}}",
		`{"result":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`,
	} {
		f.Add(seed)
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text string) {
		if answer, err := decodeConnect([]byte(text), now, DefaultMaxChannels); err == nil {
			checkConnect(t, text, answer, now)
		}
		refreshed, err := decodeRefresh([]byte(text), now)
		if err != nil {
			return
		}
		if refreshed.Expired {
			require.Equal(t, &auth.RefreshAnswer{Expired: true}, refreshed)
		} else if at := refreshed.ExpireAt; at != 0 {
			require.Greater(t, at, now.Unix())
			require.LessOrEqual(t, at, now.Add(maxExpiry).Unix())
		}
	})
}

// checkConnect compares an answer with the standard library's reading of the
// same text.
func checkConnect(t *testing.T, text string, a *auth.ConnectAnswer, now time.Time) {
	t.Helper()
	var m resultModel
	require.NoError(t, std.Unmarshal([]byte(text), &m), "%q is not JSON", text)
	require.Equal(t, m.Result == nil, a.Identity == nil)
	if m.Result == nil {
		return
	}
	id := a.Identity
	require.Equal(t, m.Result.User, id.User)
	require.Equal(t, min(max(m.Result.ExpireAt, 0), now.Add(maxExpiry).Unix()), id.ExpireAt)
	seen := make(map[string]bool)
	for _, s := range id.Subs {
		require.NotEmpty(t, s.Channel)
		require.False(t, seen[s.Channel], "%q twice", s.Channel)
		seen[s.Channel] = true
	}
	for _, ch := range m.Result.Channels {
		require.True(t, ch == "" || seen[ch], "%q is missing", ch)
	}
	for _, v := range []codec.JSON{id.Info, id.Meta, a.Data} {
		require.False(t, strings.ContainsAny(v.String(), "\r\n\x00"))
		require.True(t, v.IsZero() || std.Valid([]byte(v.String())))
	}
}
