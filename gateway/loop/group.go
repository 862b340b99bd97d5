package loop

import (
	"errors"
	"sync/atomic"
	"time"

	"sluice/gateway/actor"
)

// Group is the loops of a process.
type Group struct {
	// Immutable after NewGroup.
	Loops []*Loop

	// Atomic.
	next  atomic.Uint64
	total atomic.Int64
}

// NewGroup makes n loops that run their turns on pool. They start with
// [Group.Start], when their handlers exist.
func NewGroup(n int, pool actor.Submitter, opt Options) (*Group, error) {
	g := &Group{}
	for i := range n {
		l, err := newLoop(i, pool, opt, &g.total)
		if err != nil {
			g.Stop()
			return nil, err
		}
		g.Loops = append(g.Loops, l)
	}
	return g, nil
}

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

// funcTask is a Task made of a function, for things done once.
type funcTask func(l *Loop)

func (f funcTask) Run(l *Loop, again bool) {
	if !again {
		f(l)
	}
}

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

// Stats sums the counters of all loops. Not from a turn.
func (g *Group) Stats() Stats {
	parts := make([]Stats, len(g.Loops))
	g.Do(func(l *Loop) { parts[l.id] = l.stats })
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

// Stop cuts every stream, ends the pollers and waits for them. Nothing may be
// posted afterwards. Call it once.
func (g *Group) Stop() {
	if len(g.Loops) == 0 {
		return
	}
	started := g.Loops[0].handler != nil
	if started {
		g.Do(func(l *Loop) {
			for i := range l.slabs {
				for j := range l.slabs[i] {
					if l.slabs[i][j].state != stateFree {
						l.fail(uint32(i<<slabBits+j), ReasonShutdown)
					}
				}
			}
		})
	}
	for _, l := range g.Loops {
		l.poller.close()
		l.wg.Wait()
		l.poller.release()
	}
}
