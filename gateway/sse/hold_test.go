package sse_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/hub"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// slowOpening connects while the engine does not answer: the returned function
// lets it.
func slowOpening(t *testing.T, change func(*settings)) (n *node, c *testkit.Conn, answer func()) {
	t.Helper()
	e := &failing{Engine: brokermemory.New(brokermemory.Options{}), wait: make(chan struct{})}
	n = newNode(t, func(s *settings) {
		kinds(s)
		s.broker = e
		s.session.PingInterval = time.Hour // nothing comes but what a test wants
		if change != nil {
			change(s)
		}
	})
	c = testkit.Dial(t, n.addr)
	c.Send(testkit.Request{
		Method: "POST", Target: testkit.DefaultPath, Body: `{"subs":{"rec:a":{},"plain:a":{},"joins:a":{}}}`,
	}.String())
	n.sessionsOpen(t, 1)
	return n, c, func() { close(e.wait) }
}

func TestProtocol_2_2_TheConnectPushIsFirst(t *testing.T) {
	n, c, answer := slowOpening(t, nil)
	testkit.Eventually(t, func() bool {
		s, err := n.presence.Stats(t.Context(), "joins:a")
		return err == nil && s.Clients == 1
	}, "the client to be present")
	// Whoever knows that it is there may count on it.
	n.publish(t, "plain:a", `"early"`)
	n.publish(t, "rec:a", `1`)
	n.publish(t, "joins:a", `"early too"`)
	require.NoError(t, n.hub.Drain(t.Context()))
	answer()
	require.Equal(t, 200, c.ReadHead(t).Status)
	events := testkit.NewReader(c.Body())
	next := func() string {
		ev, err := events.Next()
		require.NoError(t, err)
		return normal([]byte(ev.Data))
	}
	require.Contains(t, next(), `{"connect":{"client"`)
	var got []string
	for range 3 {
		got = append(got, next())
	}
	require.ElementsMatch(t, []string{
		`{"channel":"plain:a","pub":{"data":"early"}}`,
		`{"channel":"joins:a","pub":{"data":"early too"}}`,
		`{"channel":"joins:a","join":{"info":{"user":"","client":"<uuid>"}}}`,
	}, got, "publications were held, the one that the position covers was not repeated")
	n.publish(t, "rec:a", `2`)
	require.Equal(t, `{"channel":"rec:a","pub":{"data":2,"offset":2}}`, next())
}

func TestProtocol_6_5_AHoldThatOverflowsIs3010(t *testing.T) {
	n, c, answer := slowOpening(t, func(s *settings) { s.hub = hub.Options{HoldMaxSize: 4 << 10} })
	for range 10 {
		n.publish(t, "rec:a", `"`+strings.Repeat("x", 1<<10)+`"`)
	}
	require.Equal(t, 200, c.ReadHead(t).Status)
	ev, err := testkit.NewReader(c.Body()).Next()
	require.NoError(t, err)
	require.Equal(t, `{"disconnect":{"code":3010,"reason":"insufficient state"}}`, ev.Data)
	answer()
}

func TestCommandsReachAConnectOnItsWay(t *testing.T) {
	f := func(name string, command func(*node) error, want string) {
		t.Run(name, func(t *testing.T) {
			n, c, answer := slowOpening(t, nil)
			require.NoError(t, command(n))
			require.Equal(t, 200, c.ReadHead(t).Status)
			ev, err := testkit.NewReader(c.Body()).Next()
			require.NoError(t, err)
			require.True(t, json.Valid([]byte(ev.Data)))
			require.Equal(t, want, ev.Data)
			answer()
		})
	}
	f("disconnect", func(n *node) error {
		return n.sessions.Disconnect(t.Context(), session.Target{}, nil, codec.DisconnectForceNoReconnect)
	}, `{"disconnect":{"code":3503,"reason":"force disconnect"}}`)
	f("refresh_expired", func(n *node) error {
		return n.sessions.Refresh(t.Context(), session.Target{}, session.RefreshCommand{Expired: true})
	}, `{"disconnect":{"code":3005,"reason":"connection expired"}}`)
}
