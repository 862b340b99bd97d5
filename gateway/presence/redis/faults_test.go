package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// A shard that is gone, or hangs, costs the channels of the others nothing.
func TestAShardThatDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	servers := redisrig.Shards(t, 2)
	m := New(connect(t, redis.Options{Address: []string{servers[0].Addr, servers[1].Addr}}), Options{})
	var changes []presence.Change
	of := [2][]string{}
	for n := range 40 {
		c := presence.Change{Channel: fmt.Sprint("ch", n), Info: &codec.ClientInfo{Client: "c", User: "u"}}
		changes = append(changes, c)
		for i, shard := range m.redis.Shards() {
			if m.redis.ShardOf(c.Channel) == shard {
				of[i] = append(of[i], c.Channel)
			}
		}
	}
	require.NotEmpty(t, of[0])
	require.NotEmpty(t, of[1])
	counted := func(channels []string) (n int) {
		for _, ch := range channels {
			if st, err := m.Stats(t.Context(), ch); err == nil {
				n += st.Clients
			}
		}
		return n
	}
	apply := func(within time.Duration, left bool) error {
		for i := range changes {
			changes[i].Left = left
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return m.Apply(ctx, changes)
	}
	require.NoError(t, apply(time.Minute, false))
	for _, stop := range []func(){func() { servers[0].Freeze(t) }, func() { servers[0].Thaw(t); servers[0].Stop(t) }} {
		stop()
		require.ErrorIs(t, apply(200*time.Millisecond, true), presence.ErrUnavailable)
		require.Zero(t, counted(of[1]))
		require.ErrorIs(t, apply(200*time.Millisecond, false), presence.ErrUnavailable)
		require.Equal(t, len(of[1]), counted(of[1]))
	}
	require.Error(t, m.Ready())
	servers[0].Start(t)
	testkit.Eventually(t, func() bool { return apply(time.Second, false) == nil }, "it is back")
	require.Equal(t, len(changes), counted(of[0])+counted(of[1]))
	require.NoError(t, m.Ready())
}

// Connections that are cut anywhere leave no change half made: users and clients agree
// once all was said again.
func TestCutsAnywhereLeaveNothingHalfDone(t *testing.T) {
	proxy := tcpproxy.New(t, redisrig.Shared(t).Addr)
	m := New(connect(t, redis.Options{Address: []string{proxy.Addr}}), Options{UserMapping: true})
	var want presence.Stats
	for round := range 20 {
		proxy.CutRandomly(uint64(round), 20_000)
		var changes []presence.Change
		users := map[string]bool{}
		want = presence.Stats{}
		for n := range 300 {
			c := presence.Change{Channel: "ch", Info: &codec.ClientInfo{Client: fmt.Sprint(n), User: fmt.Sprint(n % 20)}, Left: (n+round)%3 == 0}
			if changes = append(changes, c); !c.Left {
				users[c.Info.User] = true
				want.Clients++
			}
		}
		want.Users = len(users)
		testkit.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return m.Apply(ctx, changes) == nil
		}, "the changes are made")
		proxy.CutAfter(tcpproxy.ToServer, -1)
		var got presence.Stats
		testkit.Eventually(t, func() bool {
			var err error
			got, err = m.Stats(t.Context(), "ch")
			return err == nil
		}, "an answer")
		require.Equal(t, want, got, "round %d", round)
	}
}
