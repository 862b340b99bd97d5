package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/broker/remotetest"
	"sluice/gateway/channel"
	"sluice/gateway/testkit"
)

// remoteRig is a rig over an engine outside the process.
type remoteRig struct {
	*rig
	server *remotetest.Server
	node   *remotetest.Node
}

func newRemoteRig(t *testing.T, change func(*Options)) *remoteRig {
	t.Helper()
	server := remotetest.New(t)
	node := server.Node()
	return &remoteRig{newRigOn(t, node, nil, change), server, node}
}

// publish publishes from another node, with history if size is above 0.
func (r *remoteRig) publish(t *testing.T, ch, text string, size int) {
	t.Helper()
	_, err := r.server.Publish(t.Context(), ch, &codec.Publication{Data: codec.QuoteJSON(text)}, broker.PublishOptions{
		History: broker.HistoryOptions{Size: size, TTL: time.Hour},
	})
	require.NoError(t, err)
}

// positioned is a grant whose client says nothing of where it was.
func positioned(ch string) Grant {
	return grant(ch, channel.Options{ForcePositioning: true, HistorySize: 100, HistoryTTL: time.Hour})
}

// rest returns what comes until the stream ends.
func (c *client) rest(t *testing.T) string {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(testPatience)))
	all, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(all)
}

func (r *remoteRig) settled(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, func() bool { return r.node.Subscribed() == 0 }, "the engine to be told that nobody is left")
	require.Zero(t, r.Counts().Channels)
}

func TestAConnectWithManyChannelsIsFewRoundTrips(t *testing.T) {
	r := newRemoteRig(t, nil)
	var grants, resumed []Grant
	for i := range 128 {
		ch := fmt.Sprint("ch", i)
		r.publish(t, ch, "x", 10)
		grants = append(grants, grant(ch, channel.Options{ForceRecovery: true, HistorySize: 10, HistoryTTL: time.Hour}))
		resumed = append(resumed, missing(ch))
	}
	first := r.open(t, &auth.Identity{}, grants...)
	require.NoError(t, <-first.opened)
	require.Len(t, r.node.Calls("Subscribe"), 1)
	require.Len(t, r.node.Calls("Histories"), 1)
	second := r.open(t, &auth.Identity{}, resumed...)
	require.NoError(t, <-second.opened)
	second.expect(t, `"recovered":true`)
	require.Len(t, r.node.Calls("Subscribe"), 1, "it is subscribed already")
	require.Len(t, r.node.Calls("Histories"), 3, "one more for how much room it takes")
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	r.settled(t)
}

// A connect that fails in the engine is told to come back, and leaves nothing behind
// whatever the engine did.
func TestAConnectThatFailsInTheEngineLeavesNothing(t *testing.T) {
	f := func(name, method string, fault remotetest.Fault, want error) {
		t.Run(name, func(t *testing.T) {
			log := &testkit.LogBuffer{}
			r := newRemoteRig(t, func(o *Options) {
				o.StaleCloseDelay, o.CallTimeout, o.Log = time.Second, 300*time.Millisecond, debugLog(log)
			})
			r.node.SetFaults(func(c remotetest.Call) remotetest.Fault {
				if c.Method == method {
					return fault
				}
				return remotetest.Works
			})
			c := r.open(t, &auth.Identity{}, positioned("room"), positioned("other"))
			err := <-c.opened
			require.ErrorIs(t, err, want)
			var d *codec.Disconnect
			require.False(t, errors.As(err, &d), "not stale, which is final")
			require.Contains(t, log.String(), "room")
			require.Zero(t, r.Counts().Channels)
			r.node.SetFaults(func(remotetest.Call) remotetest.Fault { return remotetest.Works })
			r.settled(t)
			again := r.open(t, &auth.Identity{}, positioned("room"))
			require.NoError(t, <-again.opened)
		})
	}
	f("away", "Subscribe", remotetest.Away, broker.ErrUnavailable)
	f("subscribed without an answer", "Subscribe", remotetest.Unanswered, broker.ErrUnknown)
	f("not subscribed, without an answer", "Subscribe", remotetest.Undone, broker.ErrUnknown)
	f("silent", "Subscribe", remotetest.Silent, broker.ErrUnknown)
	f("history away", "Histories", remotetest.Away, broker.ErrUnavailable)
	f("history silent", "Histories", remotetest.Silent, broker.ErrUnknown)
}

// What was acknowledged comes before what a command does, though the engine is late.
func TestACommandComesBehindWhatWasPublished(t *testing.T) {
	r := newRemoteRig(t, func(o *Options) { o.barrierWait = testPatience })
	c := r.open(t, &auth.Identity{User: "u"}, grant("room", channel.Options{}))
	require.NoError(t, <-c.opened)
	on := r.node.Late()
	r.publish(t, "room", "before", 0)
	done := make(chan error, 1)
	go func() {
		done <- r.Disconnect(context.Background(), Target{User: "u"}, nil, codec.DisconnectForceNoReconnect)
	}()
	testkit.Eventually(t, func() bool { return len(r.node.Calls("Barrier")) == 1 }, "the command to wait")
	on()
	require.NoError(t, <-done)
	all := c.rest(t)
	require.Less(t, strings.Index(all, "before"), strings.Index(all, `"disconnect"`))
	require.Contains(t, all, "before")
	require.Zero(t, r.Stats().Unordered)
}

// An engine that is away holds no command up.
func TestACommandGoesOnWithoutTheEngine(t *testing.T) {
	r := newRemoteRig(t, nil)
	c := r.open(t, &auth.Identity{User: "u"}, grant("room", channel.Options{}))
	require.NoError(t, <-c.opened)
	up := r.node.Down()
	defer up()
	require.NoError(t, r.Disconnect(t.Context(), Target{User: "u"}, nil, codec.DisconnectForceNoReconnect))
	require.Contains(t, c.rest(t), `"disconnect"`)
	require.EqualValues(t, 1, r.Stats().Unordered)
}

// An engine that lags holds up the first command, not each of a queue of them.
func TestCommandsDoNotWaitOneByOneForALateEngine(t *testing.T) {
	r := newRemoteRig(t, func(o *Options) { o.barrierWait = 10 * time.Millisecond })
	defer r.node.Late()()
	const commands = 6
	for range commands {
		require.NoError(t, r.Disconnect(t.Context(), Target{User: "u"}, nil, codec.DisconnectForceNoReconnect))
	}
	require.EqualValues(t, commands, r.Stats().Unordered)
	require.LessOrEqual(t, len(r.node.Calls("Barrier")), commands/2)
}

// A session that was in a channel without a position gets one: what is on its way from
// the engine is news to it, though the history has it.
func TestWhoGetsAPositionMissesNothingOnItsWay(t *testing.T) {
	r := newRemoteRig(t, nil)
	c := r.open(t, &auth.Identity{User: "u"}, grant("room", channel.Options{}))
	require.NoError(t, <-c.opened)
	barriers, reads := 0, 0
	var on func()
	r.node.SetFaults(func(call remotetest.Call) remotetest.Fault {
		switch call.Method {
		case "Histories":
			if reads++; reads == 2 { // it is held by now
				on = r.node.Late()
				r.publish(t, "room", "on its way", 10)
			}
		case "Barrier":
			if barriers++; barriers == 2 {
				on()
			}
		}
		return remotetest.Works
	})
	require.NoError(t, r.Subscribe(t.Context(), Target{User: "u"}, SubscribeCommand{Channel: "room", Override: auth.Override{ForcePositioning: auth.On}}))
	c.expect(t, "on its way")
}

// A call that the engine cannot serve ends nobody.
func TestASubscribeThatFailsInTheEngineChangesNothing(t *testing.T) {
	r := newRemoteRig(t, nil)
	c := r.open(t, &auth.Identity{User: "u"}, grant("room", channel.Options{}))
	require.NoError(t, <-c.opened)
	subscribe := func(ch string, position auth.Toggle) error {
		return r.Subscribe(t.Context(), Target{User: "u"}, SubscribeCommand{Channel: ch, Override: auth.Override{ForcePositioning: position}})
	}
	r.node.SetFaults(func(c remotetest.Call) remotetest.Fault {
		if c.Method == "Barrier" {
			return remotetest.Works
		}
		return remotetest.Away
	})
	require.ErrorIs(t, subscribe("room", auth.On), broker.ErrUnavailable)
	require.ErrorIs(t, subscribe("other", auth.Off), broker.ErrUnavailable)
	r.node.SetFaults(func(remotetest.Call) remotetest.Fault { return remotetest.Works })
	require.Equal(t, 1, r.Counts().Channels)
	r.publish(t, "room", "still there", 0)
	c.expect(t, "still there")
}
