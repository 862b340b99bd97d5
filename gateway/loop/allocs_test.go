//go:build !race

package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// leastAllocs is AllocsPerRun at the best of some times: whatever else the process
// does meanwhile (a collection that empties a pool, memory that is given back
// after a pause) can only add.
func leastAllocs(runs int, f func()) float64 {
	least := testing.AllocsPerRun(runs, f)
	for n := 0; n < 4 && least > 0; n++ {
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}

func TestADeliveryAllocatesNothing(t *testing.T) {
	coding, group := codec.CodingIdentity, 1
	f := func(streams, burst int, mode IDMode, limit uint32) {
		t.Helper()
		c := newCodedCrowd(t, streams, mode, coding, group)
		c.h.do(func(l *Loop) {
			for _, slot := range c.task.slots {
				l.Limit(slot, limit)
			}
		})
		one := c.task.slots
		for range burst - 1 {
			c.task.slots = append(c.task.slots, one...)
		}
		for range 4 { // queues and lists find their size
			c.deliver()
		}
		if n := c.drain(); n != 4*burst*streams*len(c.frame) && coding == codec.CodingIdentity {
			t.Fatalf("expected %d frames at each of %d clients, got %d bytes", 4*burst, streams, n)
		}
		if n := leastAllocs(20, func() {
			c.deliver()
			c.deliver()
			c.drain()
		}); n != 0 {
			t.Errorf("expected no allocation for 2 deliveries of %d frames to %d streams, got %v", burst, streams, n)
		}
	}
	f(1, 1, NoID, 0)
	f(500, 1, SharedID, 0)
	f(100, 32, SharedID, 0)
	f(3*turnWrites, 1, NoID, 0)
	f(500, 1, SharedID, 1<<31)
	for _, coding = range []codec.Coding{codec.CodingGzip, codec.CodingZstd} {
		for _, group = range []int{1, 50} {
			f(500, 1, SharedID, 0)
			f(100, 32, SharedID, 0)
			f(100, 1, NoID, 0)
		}
	}
}

func TestAWaitAllocatesNothing(t *testing.T) {
	p, err := newPoller()
	require.NoError(t, err)
	t.Cleanup(p.release)
	var events [pollMost]event
	for _, most := range []time.Duration{time.Millisecond, pollCap} {
		require.Zero(t, leastAllocs(100, func() {
			p.wake()
			_, _ = p.wait(&events, most)
		}))
	}
}
