//go:build e2e

package test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// Whoever comes and goes leaves nothing behind, neither here nor in Redis.
func TestLongSubscribingOnRedisStaysFlat(t *testing.T) {
	s := redisrig.Single(t)
	f := startFleet(t, 1, onSingle(t, s))
	g := f.gateways[0]
	user := testkit.Connect(t, g.addr, testkit.ConnectOptions{Token: testkit.HS256(t, testSecret, map[string]any{"sub": "u"})})
	user.ExpectConnect(t)
	cycle := func(i int) {
		// Not a client of testkit, which the test would keep to its end.
		c, err := follow(g.addr, subscribeTarget([]string{fmt.Sprint("rr:c", i), fmt.Sprint("plain", i), "rr:same"}), 0, "")
		require.NoError(t, err)
		go c.read(nil)
		<-c.opened
		_ = c.conn.Close()
		<-c.done
		ask := map[string]any{"user": "u", "channel": fmt.Sprint("rr:u", i)}
		g.api.MustResult(t, "subscribe", ask)
		user.NextKind(t, "subscribe")
		g.api.MustResult(t, "unsubscribe", ask)
		user.NextKind(t, "unsubscribe")
	}
	// settled waits until nobody listens to any channel of these, and counts what is in use.
	settled := func() (goroutines int, heap uint64, clients int) {
		testkit.Eventually(t, func() bool {
			channels, subs := g.hub.Interest()
			listened := 0
			for _, ch := range s.Do(t, "PUBSUB", "CHANNELS").([]any) {
				if strings.Contains(ch.(string), "rr:") || strings.Contains(ch.(string), "plain") {
					listened++
				}
			}
			return channels+subs+listened == 0
		}, "the last unsubscribe to arrive in Redis")
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		list := s.Do(t, "CLIENT", "LIST").(string)
		return runtime.NumGoroutine(), m.HeapAlloc, strings.Count(list, "\n")
	}
	const warm, cycles = 200, 1000
	for i := range warm {
		cycle(i)
	}
	goroutines, heap, clients := settled()
	for i := range cycles {
		cycle(warm + i)
	}
	var g2, c2 int
	var h2 uint64
	// Goroutines of the test's own clients may take a moment.
	testkit.EventuallyWithin(t, 20*time.Second, func() bool {
		g2, h2, c2 = settled()
		return g2 <= goroutines+5
	}, fmt.Sprintf("goroutines to come back to %d", goroutines))
	t.Logf("goroutines %d → %d, heap %d → %d KiB, connections to Redis %d → %d", goroutines, g2, heap>>10, h2>>10, clients, c2)
	require.LessOrEqual(t, h2, heap+heap/4+2<<20, "heap grew")
	require.LessOrEqual(t, c2, clients+1, "connections to Redis grew")
	user.Close()
}

// A gateway that stands still for five seconds harms no other, and goes on by itself.
func TestLongAFrozenGatewayHarmsNoOther(t *testing.T) {
	s := redisrig.Single(t)
	engine := onSingle(t, s)
	f := startFleet(t, 2, engine)
	addr, process := startStoppable(t, fleetConfig(engine))
	f.addrs = append(f.addrs, addr)
	f.awaitReady(t, true)
	r := begin(t, f, "rr", faultSubscribers)
	steady(beforeFault)
	stopProcess(t, process)
	steady(5 * time.Second)
	during := time.Now()
	for _, g := range f.gateways {
		for _, ch := range r.channels {
			g.api.Publish(t, ch, string(note{closingNote + 500, int(tick()), 10}.appendTo(nil)))
		}
	}
	t.Logf("%d publishes through the others took %v", len(f.gateways)*len(r.channels), time.Since(during))
	require.NoError(t, process.Signal(syscall.SIGCONT))
	steady(afterFault)
	r.longest += 5 * time.Second // of those who publish through the frozen one
	r.finish()
	for _, w := range r.watchers {
		if !w.restless && w.at != 2 && len(w.codes)+w.refused > 0 {
			t.Errorf("harmed: %v", w)
		}
	}
	for _, a := range r.attempts {
		if a.note.p%3 != 2 && a.note.p < closingNote {
			require.Zero(t, a.code, "%v failed at a gateway that was not frozen", a.note)
		}
	}
}
