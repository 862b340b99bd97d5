package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
)

// Group is the loops of a process.
type Group struct {
	// Immutable after NewGroup.
	Loops     []*Loop
	ringError error
	onFreed   func(f *codec.Frame) // immutable after Start; may be nil

	// Atomic.
	next  atomic.Uint64
	total atomic.Int64
}

// NewGroup makes n loops that run their turns on pool. They start with
// [Group.Start], when their handlers exist.
func NewGroup(n int, pool actor.Submitter, opt Options) (*Group, error) {
	g := &Group{}
	for i := range n {
		l, err := newLoop(i, pool, opt, g)
		if err != nil {
			g.Stop()
			return nil, err
		}
		g.Loops = append(g.Loops, l)
	}
	if opt.Ring {
		g.ringError = g.startRings()
	}
	return g, nil
}

// startRings gives every loop an io_uring, or none of them.
func (g *Group) startRings() (err error) {
	for _, l := range g.Loops {
		if l.batch, err = newBatch(); err != nil {
			break
		}
	}
	if err != nil {
		for _, l := range g.Loops {
			l.batch.close()
			l.batch = nil
		}
	}
	return err
}

// RingError returns why Options.Ring had no effect, nil if it has one. Any
// goroutine.
func (g *Group) RingError() error { return g.ringError }

// OnFreed makes the loops call f, on-loop, when no queue of any loop holds a frame
// any longer that was sent with [Loop.SendCharged] or [Loop.SendPieces]. It may be
// called again if the frame is sent again; a frame that was sent to nobody is not
// told of. f must not block. Call it before [Group.Start], once.
func (g *Group) OnFreed(f func(f *codec.Frame)) { g.onFreed = f }

// Start gives each loop its handler and begins to poll. Call it once.
func (g *Group) Start(handler func(l *Loop) Handler) {
	for _, l := range g.Loops {
		l.handler = handler(l)
		l.wg.Add(1)
		go l.poll()
	}
}

// Pick returns the loop for the next stream: each in turn. Any goroutine.
func (g *Group) Pick() *Loop {
	return g.Loops[g.next.Add(1)%uint64(len(g.Loops))]
}

// funcTask is a Task made of a function. As a Delivery it runs in the place of one.
type funcTask func(l *Loop)

// Run implements Task.
func (f funcTask) Run(l *Loop) { f(l) }

// Size implements Delivery.
func (f funcTask) Size() int { return 0 }

// Offered implements Delivery.
func (f funcTask) Offered(*Loop) {}

// Do runs f in the turn of every loop and waits until all have. It must not be
// called from a turn.
func (g *Group) Do(f func(l *Loop)) {
	done := make(chan struct{}, len(g.Loops))
	for _, l := range g.Loops {
		l.Post(funcTask(func(l *Loop) {
			defer func() { done <- struct{}{} }()
			f(l)
		}))
	}
	for range g.Loops {
		<-done
	}
}

// Turns waits until every loop has had a turn from now on, before it has all deliveries. The
// error is the cause of ctx, and says which has not. Not from a turn.
func (g *Group) Turns(ctx context.Context) error {
	done := make(chan int, len(g.Loops))
	for _, l := range g.Loops {
		l.Post(funcTask(func(l *Loop) { done <- l.id }))
	}
	turned := make([]bool, len(g.Loops))
	for range g.Loops {
		select {
		case id := <-done:
			turned[id] = true
		case <-ctx.Done():
			return fmt.Errorf("loop: loop %d does not turn: %w", slices.Index(turned, false), context.Cause(ctx))
		}
	}
	return nil
}

// DoBehind is Do behind every delivery that the loops have by now: f finds them
// queued for their streams. It returns early, with the cause, if ctx ends; f may
// run later then. It must not be called from a turn.
func (g *Group) DoBehind(ctx context.Context, f func(l *Loop)) error {
	done := make(chan struct{}, len(g.Loops))
	for _, l := range g.Loops {
		l.Deliver(funcTask(func(l *Loop) {
			defer func() { done <- struct{}{} }()
			f(l)
		}))
	}
	for range g.Loops {
		select {
		case <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Held returns the bytes that all loops hold, and how many they may. Any
// goroutine.
func (g *Group) Held() (bytes, most int64) { return g.total.Load(), g.Loops[0].opt.QueuesMaxTotal }

// Stats sums the counters of all loops. Not from a turn.
func (g *Group) Stats() Stats {
	parts := make([]Stats, len(g.Loops))
	g.Do(func(l *Loop) { parts[l.id] = *l.Stats() })
	var sum Stats
	for i := range parts {
		sum.Add(&parts[i])
	}
	return sum
}

// ErrStreamsLeft is returned by Drained when streams were still open.
var ErrStreamsLeft = errors.New("loop: streams are still open")

// Drained waits until no stream is left, at most so long. Not from a turn.
func (g *Group) Drained(within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		if g.Stats().Open == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return ErrStreamsLeft
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Stop ends the pollers, cuts every stream and waits for the last turns. Nothing
// may be posted afterwards. Call it once, not from a turn.
func (g *Group) Stop() {
	for _, l := range g.Loops {
		l.poller.close()
		l.wg.Wait()
	}
	done := make(chan struct{}, len(g.Loops))
	for _, l := range g.Loops {
		l.Post(stopTask{done: done})
	}
	for range g.Loops {
		<-done
	}
	for _, l := range g.Loops {
		// The turn that said done may still use the poller's descriptors.
		for !l.actor.Idle() {
			time.Sleep(time.Millisecond)
		}
		l.poller.release()
		l.batch.close()
	}
}

// stopTask cuts the streams of a loop, whatever their handler does.
type stopTask struct{ done chan<- struct{} }

// Run implements Task.
func (t stopTask) Run(l *Loop) {
	var w Walk
	l.Walk(&w, func() {
		for w.Next(len(l.slabs) << slabBits) {
			slot := uint32(w.Step())
			l.Hand(slot)
			if l.at(slot).state != stateFree {
				l.fail(slot, ReasonShutdown)
			}
		}
	})
	t.done <- struct{}{}
}
