package sse_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/remotetest"
	"sluice/gateway/testkit"
)

// remote makes an engine outside the process of the memory engine: its calls
// take time.
type remote struct{ broker.Broker }

func (remote) Abilities() broker.Abilities { return broker.Abilities{History: true} }

func (r remote) wait() { time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) }

func (r remote) Subscribe(ctx context.Context, channels []string) error {
	r.wait()
	return r.Broker.Subscribe(ctx, channels)
}

func (r remote) Unsubscribe(ctx context.Context, channels []string) error {
	r.wait()
	return r.Broker.Unsubscribe(ctx, channels)
}

func (r remote) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	r.wait()
	answers := r.Broker.Histories(ctx, queries)
	r.wait() // the answer is old by the time it arrives
	return answers
}

// tellsLoss reports whether a push tells that a position is lost.
func tellsLoss(t *testing.T, p testkit.Push) bool {
	if p.Kind != "disconnect" {
		return false
	}
	var d testkit.Disconnect
	p.Decode(t, &d)
	return d.Code == 3010
}

// An engine that is late costs delay and nothing else; one whose connections break costs
// nothing in channels with positions, or it is told.
func TestNothingIsLostThroughAnEngineElsewhere(t *testing.T) {
	positioned := []string{"rec:a", "rec:b", "pos:a"}
	t.Run("late", func(t *testing.T) {
		through(t, append(positioned, "hist:a", "plain:a", "present:a"), false, func(n *remotetest.Node) {
			on := n.Late()
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			on()
		})
	})
	t.Run("cut", func(t *testing.T) {
		through(t, positioned, true, (*remotetest.Node).Cut)
	})
	t.Run("late and cut", func(t *testing.T) {
		through(t, positioned, true, func(n *remotetest.Node) {
			on := n.Late()
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			n.Cut()
			on()
		})
	})
}

// through has clients come and go while the engine is disturbed again and again.
func through(t *testing.T, channels []string, mayBeTold bool, disturb func(n *remotetest.Node)) {
	t.Helper()
	var engine *remotetest.Node
	n := newNode(t, func(s *settings) {
		deep(s)
		engine = remotetest.New(t).Node()
		s.broker = engine
		s.hub.UnsubscribeAfter = 5 * time.Millisecond
	})
	p := startPublishers(n, channels...)
	deadline := time.Now().Add(storm)
	var wg, disturbing sync.WaitGroup
	var done atomic.Bool
	disturbing.Go(func() {
		for !done.Load() {
			disturb(engine)
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	})
	errs := make(chan error, 64)
	var told atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			f := following(channels...)
			f.mayBeTold = mayBeTold
			for k := 0; k < 3 || time.Now().Before(deadline); k++ {
				if err := f.run(t, n.addr, (i*k*37)%400); err != nil {
					errs <- err
					return
				}
			}
			told.Add(int64(f.told))
		})
	}
	wg.Wait()
	done.Store(true)
	disturbing.Wait()
	p.end(t)
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	t.Logf("%d were told that they lost their position, in %d histories", told.Load(), len(engine.Calls("Histories")))
	n.sessionsOpen(t, 0)
	testkit.Eventually(t, func() bool { return engine.Subscribed() == 0 }, "the engine to be told that nobody is left")
}

func TestSubscribeStormThroughAnEngineThatIsLate(t *testing.T) {
	var done atomic.Bool
	var late sync.WaitGroup
	subscribeStorm(t, func(s *settings) {
		deep(s)
		engine := remotetest.New(t).Node()
		s.broker = engine
		late.Go(func() {
			for !done.Load() {
				on := engine.Late()
				time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
				on()
				time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
			}
		})
	})
	done.Store(true)
	late.Wait()
}
