package sse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker/remotetest"
	"sluice/gateway/testkit"
)

// While the engine is away connects that need it are told to come back, others go on, and
// open streams stay (PROTOCOL 10.3).
func TestConnectsWhileTheEngineIsAway(t *testing.T) {
	var engine *remotetest.Node
	n := newNode(t, func(s *settings) {
		deep(s)
		engine = remotetest.New(t).Node()
		s.broker = engine
	})
	subs := func(channels ...string) testkit.ConnectOptions {
		o := testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{}, Timeout: patience}
		for _, ch := range channels {
			o.Subs[ch] = testkit.SubscribeRequest{}
		}
		return o
	}
	refused := func(why string, channels ...string) {
		t.Helper()
		c := testkit.Connect(t, n.addr, subs(channels...))
		var d testkit.Disconnect
		p := c.Next(t)
		require.Equal(t, "disconnect", p.Kind, why)
		p.Decode(t, &d)
		require.EqualValues(t, 3004, d.Code, why)
		c.WaitEnd(t)
	}
	open := testkit.Connect(t, n.addr, subs("plain:a", "pos:a"))
	open.ExpectConnect(t)
	up := engine.Down()
	refused("not subscribed yet", "plain:b")
	refused("its position cannot be read", "pos:a")
	testkit.Connect(t, n.addr, subs()).ExpectConnect(t)
	testkit.Connect(t, n.addr, subs("plain:a")).ExpectConnect(t)
	up()
	testkit.Connect(t, n.addr, subs("plain:b", "pos:a")).ExpectConnect(t)
	n.publish(t, "pos:a", `"after"`)
	require.Equal(t, "pub", open.Next(t).Kind)
}
