package hub

import (
	"context"
	"time"

	"sluice/gateway/actor"
	"sluice/gateway/shrink"
)

// DefaultUnsubscribeAfter is Options.UnsubscribeAfter where it is 0.
const DefaultUnsubscribeAfter = time.Second

const (
	// unsubscribeBatch is for how many channels the engine is told at once at most.
	unsubscribeBatch = 1000
	// unsubscribeWait is how long that may take.
	unsubscribeWait = 5 * time.Second
	// unsubscribeRetryMax is how long it waits at most after a failure; after the first
	// as long as after the last subscriber, and twice as long after each further one.
	unsubscribeRetryMax = 30 * time.Second
)

// unsubscriber tells the engine which channels have no subscriber any more. It does so
// some time after the last one left: clients that come back at once, as for another page,
// cost no call. What the engine could not be told it is told later: until then it
// delivers what nobody wants. It is the behavior of an actor on the blocking pool.
type unsubscriber struct {
	// Immutable after New.
	hub   *Hub
	after time.Duration
	self  *actor.Actor[string]
	quit  context.Context // nothing is told any more when it is done

	// Owned by the turn.
	list  shrink.Queue[leaving] // in the order in which they are due, but for those that failed
	retry time.Duration         // how long it waits after a failure, 0 without one
	until time.Duration         // on the hub's clock: nothing is told before
	timer *time.Timer
}

// leaving is a channel without a subscriber, and when the engine is to be told.
type leaving struct {
	channel string
	due     time.Duration // on the hub's clock
}

func (u *unsubscriber) Begin()         {}
func (u *unsubscriber) Panicked(v any) { u.hub.panicked(v) }

func (u *unsubscriber) Handle(channel string) {
	u.list.Push(leaving{channel, u.hub.clock() + u.after})
}

// Flush tells the engine of a batch.
func (u *unsubscriber) Flush() (more bool) {
	if u.timer != nil {
		u.timer.Stop()
	}
	if u.quit.Err() != nil {
		return false
	}
	now := u.hub.clock()
	if now < u.until {
		u.arm(u.until - now)
		return false
	}
	busy := make(chan struct{})
	batch := u.take(now, busy)
	if len(batch) == 0 {
		if u.list.Len() > 0 {
			u.arm(u.list.Front().due - now)
		}
		return false
	}
	ctx, cancel := context.WithTimeout(u.quit, unsubscribeWait)
	defer cancel()
	err := u.hub.engineCall(func() error { return u.hub.broker.Unsubscribe(ctx, batch) })
	u.settle(batch, err)
	close(busy)
	return true
}

func (u *unsubscriber) arm(d time.Duration) {
	if u.timer == nil {
		u.timer = time.AfterFunc(d, u.self.Wake)
		return
	}
	u.timer.Reset(d)
}

// take takes the channels that are due off the list and marks those that nobody has come
// back for.
func (u *unsubscriber) take(now time.Duration, busy chan struct{}) (batch []string) {
	for u.list.Len() > 0 && u.list.Front().due <= now && len(batch) < unsubscribeBatch {
		ch := u.list.Pop().channel
		s := u.hub.interestStripe(ch)
		s.mu.Lock()
		switch in := s.channels.Value(ch); {
		case in == nil:
		case in.total > 0:
			in.leaving, in.again = false, false
		case in.again:
			in.again = false
			u.Handle(ch)
		default:
			in.busy, batch = busy, append(batch, ch)
		}
		s.mu.Unlock()
	}
	return batch
}

// settle notes what became of a call. On an error the channels are due at once, when the
// wait for the next try is over.
func (u *unsubscriber) settle(batch []string, err error) {
	if err == nil {
		u.retry, u.until = 0, 0
	} else {
		u.hub.unsubscribeFails.Add(1)
		u.retry = min(max(2*u.retry, u.after), unsubscribeRetryMax)
		u.until = u.hub.clock() + u.retry
	}
	for _, ch := range batch {
		s := u.hub.interestStripe(ch)
		s.mu.Lock()
		in := s.channels.Value(ch)
		in.called(engineOff, err)
		switch {
		case in.total > 0: // somebody waits, and subscribes again
			in.leaving, in.again = false, false
		case err != nil:
			in.again = false
			u.list.Push(leaving{channel: ch})
		default:
			s.idle--
			s.channels.Delete(ch)
		}
		s.mu.Unlock()
	}
}

// Quiet returns when the engine is told nothing any more of channels that nobody wants.
// Call it after the loops have stopped, before the engine is closed.
func (h *Hub) Quiet() {
	h.endUnsubscribe()
	h.unsub.Wake()
	for deadline := time.Now().Add(unsubscribeWait); !h.unsub.Idle() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}
