package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
	"sluice/gateway/broker/remotetest"
	"sluice/gateway/testkit"
)

// newCheckingRig compares positions all the time.
func newCheckingRig(t *testing.T) *remoteRig {
	t.Helper()
	return newRemoteRig(t, func(o *Options) {
		o.PresenceUpdateInterval, o.PositionCheckDelay = 10*time.Millisecond, time.Millisecond
		o.CallTimeout = 200 * time.Millisecond
	})
}

// checks waits until so many more checks of positions have begun to wait for the engine.
func (r *remoteRig) checks(t *testing.T, more int) {
	t.Helper()
	before := len(r.node.Calls("Barrier"))
	testkit.Eventually(t, func() bool { return len(r.node.Calls("Barrier")) >= before+more }, "checks of positions")
}

// An engine that is late, or away, is no loss; what never comes is one.
func TestWhatIsLateIsNotLost(t *testing.T) {
	r := newCheckingRig(t)
	c := r.open(t, &auth.Identity{}, positioned("room"))
	require.NoError(t, <-c.opened)
	r.checks(t, 2)
	on := r.node.Late()
	r.publish(t, "room", "late", 10)
	r.checks(t, 3)
	on()
	c.expect(t, "late")
	up := r.node.Down()
	r.publish(t, "room", "in the outage", 10)
	before := len(r.node.Calls("Histories"))
	testkit.Eventually(t, func() bool { return len(r.node.Calls("Histories")) > before+2 }, "checks that fail")
	require.Equal(t, 1, r.Counts().Clients)
	up()
	c.expect(t, "in the outage")
	r.checks(t, 2)
	require.Equal(t, 1, r.Counts().Clients)
	on = r.node.Late()
	r.publish(t, "room", "never comes", 10)
	require.Equal(t, 1, r.node.Lose())
	on()
	require.Contains(t, c.rest(t), `"code":3010`)
}

// Positions are read in batches.
func TestPositionsAreReadInBatches(t *testing.T) {
	const channels = 600
	r := newRemoteRig(t, func(o *Options) {
		o.PresenceUpdateInterval, o.PositionCheckDelay, o.ChannelLimit = 50*time.Millisecond, time.Hour, channels
	})
	var grants []Grant
	for i := range channels {
		grants = append(grants, positioned(fmt.Sprint("ch", i)))
	}
	c := r.open(t, &auth.Identity{}, grants...)
	require.NoError(t, <-c.opened)
	opened := len(r.node.Calls("Histories"))
	r.do(func(a *Agent) { // as a tick does
		for i := range channels {
			a.m.checker.Post(checkOp{channel: fmt.Sprint("ch", i)})
		}
	})
	seen := map[string]int{}
	testkit.Eventually(t, func() bool {
		clear(seen)
		for _, call := range r.node.Calls("Histories")[opened:] {
			require.LessOrEqual(t, len(call.Channels), checkBatch)
			for _, ch := range call.Channels {
				seen[ch]++
				require.Equal(t, 1, seen[ch], ch)
			}
		}
		return len(seen) == channels
	}, "all positions to be read")
	// The first are read while the others are still asked for.
	require.Less(t, len(r.node.Calls("Histories"))-opened, channels/10)
}

// What an engine missed it brings, in order; what it cannot bring is told, to streams that
// are open and to those that open.
func TestAnOutageCostsDelayOrIsTold(t *testing.T) {
	r := newRemoteRig(t, nil)
	whole, holed := r.open(t, &auth.Identity{}, positioned("whole")), r.open(t, &auth.Identity{}, positioned("holed"))
	require.NoError(t, <-whole.opened)
	require.NoError(t, <-holed.opened)
	up := r.node.Down()
	for i := range 5 {
		r.publish(t, "whole", fmt.Sprint("w", i), 10)
		r.publish(t, "holed", fmt.Sprint("h", i), 3)
	}
	up()
	r.publish(t, "whole", "after", 10)
	whole.expect(t, "after")
	require.Contains(t, holed.rest(t), `"code":3010`)
}

// A channel that is lost while a connect reads its history.
func TestAConnectIsNotOpenedIntoAHole(t *testing.T) {
	f := func(name, during string, told bool) {
		t.Run(name, func(t *testing.T) {
			r := newRemoteRig(t, nil)
			other := r.open(t, &auth.Identity{}, positioned("room"))
			require.NoError(t, <-other.opened)
			lose := func() { r.hub.Lost("room") }
			r.node.SetFaults(func(c remotetest.Call) remotetest.Fault {
				if c.Method == "Histories" && during == "read" {
					lose()
				}
				return remotetest.Works
			})
			if during == "before" {
				lose()
				require.NoError(t, r.hub.Arrived(t.Context()))
			}
			c := r.open(t, &auth.Identity{}, positioned("room"))
			err := <-c.opened
			r.node.SetFaults(func(remotetest.Call) remotetest.Fault { return remotetest.Works })
			require.NoError(t, err, "its loop tells it")
			if told {
				require.Contains(t, c.rest(t), "3010")
				return
			}
			r.publish(t, "room", "after", 10)
			c.expect(t, "after")
		})
	}
	f("before it came", "before", false)
	f("while it read", "read", true)
}
