package redis

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/redisrig"
)

func TestFillTakesAsManyItemsAsThereAre(t *testing.T) {
	s := openWith(t, Options{Address: []string{redisrig.Shared(t).Addr}}).Shards()[0]
	f := func(script string, want bool, texts ...string) {
		t.Helper()
		r := s.Do(soon(t), NewScript("test", script).Cmd(nil))
		require.NoError(t, r.Err())
		var got [2]Reply
		all, err := r.Fill(got[:])
		require.Equal(t, want, all)
		for i, text := range texts {
			require.NoError(t, err)
			is, err := got[i].Text()
			require.NoError(t, err)
			require.Equal(t, text, is)
		}
	}
	f("return {'a', 'b'}", true, "a", "b")
	f("return {'a'}", false)
	f("return {'a', 'b', 'c'}", false)
	f("return 'ab'", false)
	f("return false", false)
	_, err := s.Do(soon(t), NewScript("test", "return redis.error_reply('x')").Cmd(nil)).Fill(nil)
	require.ErrorIs(t, err, ErrRefused)
}
