//go:build !race

package loop

import "testing"

func TestADeliveryAllocatesNothing(t *testing.T) {
	f := func(streams, burst int, mode IDMode, limit uint32) {
		t.Helper()
		c := newCrowd(t, streams, mode)
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
		if n := c.drain(); n != 4*burst*streams*len(c.frame) {
			t.Fatalf("expected %d frames at each of %d clients, got %d bytes", 4*burst, streams, n)
		}
		if n := testing.AllocsPerRun(20, func() {
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
}
