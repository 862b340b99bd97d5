package hub

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// What nobody here is subscribed to has no work for a lane, unless it has to know where
// the channel stands, or when something was published.
func TestAPublicationForNobodyPassesNoLane(t *testing.T) {
	r := newRig(t, 1, Options{})
	a := r.stream(0)
	a.subscribe("somebody", 0)
	busy := make(chan struct{})
	r.hub.lanes[0].Post(event{kind: eventBarrier, reached: busy})
	backlog := func() int { return r.hub.Stats().LaneBacklog }
	waits := func(channel string) bool {
		before := backlog()
		r.publish(channel, at(1))
		return backlog() > before
	}
	require.False(t, waits("nobody"))
	require.Zero(t, r.hub.Stats().CreditUsed)
	require.True(t, waits("somebody"))
	r.hub.Track("nobody")
	require.True(t, waits("nobody"), "its lane notes where it stands")
	r.hub.Untrack("nobody")
	require.False(t, waits("nobody"))
	r.hub.SetPolicy(func(string) Policy { return Policy{MaxRate: time.Second} })
	require.True(t, waits("nobody"), "it counts for the rate")
	r.hub.SetPolicy(nil)
	require.False(t, waits("nobody"))
	require.EqualValues(t, 6, r.hub.Stats().Published)
	<-busy
	a.expect(event1("somebody", 1))
	r.noCredit("all")
}

// A publisher that waits for nobody, and subscribers that come and go: who has come
// misses nothing from there on, though the one before may have been for nobody.
func TestNothingIsMissedBehindTheFirstSubscriber(t *testing.T) {
	r := newRig(t, 2, Options{})
	var begun atomic.Int64
	var publisher sync.WaitGroup
	stop := make(chan struct{})
	publisher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				n := begun.Add(1)
				r.publish("ch", &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint(n))})
			}
		}
	})
	for round := range 50 {
		p := r.stream(round % 2)
		p.subscribe("ch", 0)
		from := begun.Load() + 1 // the first that cannot have begun before
		testkit.EventuallyWithin(t, patience, func() bool { return strings.Count(p.read(), "\n\n") >= 3 }, "three publications")
		p.do(func(s *Shard) { s.Unsubscribe(p.ref.Slot, "ch") })
		var last int64
		events := strings.Split(p.read(), "\n\n")
		for _, line := range events[:len(events)-1] { // the last may not be whole
			var n int64
			_, err := fmt.Sscanf(line, `data: {"channel":"ch","pub":{"data":"%d"}}`, &n)
			require.NoError(t, err, line)
			if last == 0 {
				require.LessOrEqual(t, n, from)
			} else {
				require.Equal(t, last+1, n)
			}
			last = n
		}
		p.do(func(*Shard) { p.l.Cut(p.ref, loop.ReasonDisconnect) })
	}
	close(stop)
	publisher.Wait()
	r.noCredit("the last publications")
}
