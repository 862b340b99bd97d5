package session

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/loop"
	presenceredis "sluice/gateway/presence/redis"
	"sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// redisNode is a rig over the presence of a Redis behind a proxy.
type redisNode struct {
	*rig
	proxy *tcpproxy.Proxy
}

// newRedisNode starts one with a TTL of two seconds and a limit of connections by user.
func newRedisNode(t *testing.T, prefix string, limit int) *redisNode {
	t.Helper()
	n := &redisNode{proxy: tcpproxy.New(t, redisrig.Shared(t).Addr)}
	r, err := redis.Open(redis.Options{Address: []string{n.proxy.Addr}, Prefix: prefix})
	require.NoError(t, err)
	t.Cleanup(r.Close)
	p := presenceredis.New(r, presenceredis.Options{TTL: 2 * time.Second})
	n.rig = newRig(t, p, func(o *Options) {
		o.CallTimeout, o.UserConnectionLimit = 100*time.Millisecond, limit
		o.Places, o.placeTTL = presenceredis.NewPlaces(r, 2*time.Second), 2*time.Second
	})
	testkit.Eventually(t, func() bool {
		_, err := p.Stats(t.Context(), "any")
		return err == nil
	}, "a connection to Redis")
	n.renewing(t)
	return n
}

// cut makes Redis unreachable for a node until mend is called.
func (n *redisNode) cut(t *testing.T) (mend func()) {
	n.proxy.Refuse(t, true)
	n.proxy.Cut()
	return func() { n.proxy.Refuse(t, false) }
}

// open opens a stream of a user in the channel room.
func (n *redisNode) open(t *testing.T, user string) {
	t.Helper()
	n.rig.open(t, &auth.Identity{User: user}, present()).expect(t, `"connect"`)
}

// users are those that have a session on one of the nodes.
func usersOf(nodes ...*redisNode) map[string]int {
	open := make(map[string]int)
	for _, n := range nodes {
		n.do(func(a *Agent) { a.each(func(_ loop.Ref, s *session) { open[s.user]++ }) })
	}
	return open
}

// present are those that a node finds in the channel room.
func (n *redisNode) present() map[string]int {
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	here := make(map[string]int)
	list, err := n.presence.Presence(ctx, "room")
	if err != nil {
		return nil
	}
	for _, info := range list {
		here[info.User]++
	}
	return here
}

// While Redis was out of reach of one node, clients came, went and stayed there, and all
// that the node had said expired. Presence is right again by itself, on all nodes; places
// of users too.
func TestAnOutageOfRedisIsMadeGood(t *testing.T) {
	prefix := redisrig.Prefix(t)
	one, two := newRedisNode(t, prefix, 1), newRedisNode(t, prefix, 1)
	for n := range 10 {
		one.open(t, fmt.Sprint("one ", n))
		two.open(t, fmt.Sprint("two ", n))
	}
	require.Equal(t, usersOf(one, two), one.present())
	mend := one.cut(t)
	for n := range 5 {
		one.open(t, fmt.Sprint("late ", n))
		require.NoError(t, one.Disconnect(t.Context(), Target{User: fmt.Sprint("one ", n)}, nil, codec.DisconnectForceReconnect))
	}
	testkit.Eventually(t, func() bool { return maps.Equal(two.present(), usersOf(two)) }, "the node that was cut off is forgotten")
	require.NotZero(t, one.Stats().PresenceFailed)
	mend()
	right := func() bool {
		open := usersOf(one, two)
		return maps.Equal(open, one.present()) && maps.Equal(open, two.present())
	}
	testkit.Eventually(t, right, "all who are open are there, and nobody else")
	require.Len(t, usersOf(one, two), 20)
	for _, user := range []string{"late 1", "one 7"} { // their places are known to the other node again
		testkit.Eventually(t, func() bool { return two.plan(user) == codec.DisconnectConnectionLimit }, "the place of "+user)
	}
	testkit.Eventually(t, func() bool { return two.plan("one 2") == nil }, "the place of who ended unnoticed")
}

// plan makes a plan for a user and gives it back.
func (n *redisNode) plan(user string) error {
	n.placesPause.Store(0)
	p, err := n.Plan(&PlanRequest{Identity: &auth.Identity{User: user}})
	if err == nil {
		n.Abandon(p)
	}
	return err
}
