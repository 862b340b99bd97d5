package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/gateway/shrink"
)

const interestStripes = 256

// interestStripe is part of the table channel → loops that want it. Writers are
// subscribers on their way in and loops on their way out; lanes read it.
type interestStripe struct {
	// Guarded by mu.
	mu       sync.RWMutex
	channels shrink.Map[string, *interest]
}

// interest counts the subscribers of a channel on this node, those on their way
// included: a counted reference is taken before a subscription is posted to its
// loop and dropped after the loop removed it, so the count never passes through
// zero while someone is on the way. All fields are guarded by the stripe.
type interest struct {
	loops  []int32 // by loop
	total  int32
	deltas int32 // subscribers that negotiated deltas
	// busy is closed when the engine call under way ends; nil without one.
	busy chan struct{}
	// on says that the engine delivers the channel.
	on bool
}

func (h *Hub) interestStripe(channel string) *interestStripe {
	return &h.interests[h.hash(channel)%interestStripes]
}

// Acquire takes a reference on a channel for a subscriber on the given loop and
// returns once the engine delivers the channel. On error nothing is held. Not
// from a turn: it may wait for the engine until ctx ends.
func (h *Hub) Acquire(ctx context.Context, channel string, loopID int, delta bool) error {
	s := h.interestStripe(channel)
	s.mu.Lock()
	in := s.channels.Value(channel)
	if in == nil {
		in = &interest{loops: make([]int32, len(h.shards)), on: h.everything}
		s.channels.Set(channel, in)
	}
	in.loops[loopID]++
	in.total++
	if delta {
		in.deltas++
	}
	for !in.on {
		if wait := in.busy; wait != nil {
			s.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				h.Release(channel, loopID, delta)
				return context.Cause(ctx)
			}
			s.mu.Lock()
			continue
		}
		if err := h.engineCall(s, in, func() error { return h.broker.Subscribe(ctx, []string{channel}) }); err != nil {
			s.mu.Unlock()
			h.Release(channel, loopID, delta)
			return err
		}
		in.on = true
	}
	s.mu.Unlock()
	return nil
}

// errEnginePanic stands for a panic in an engine, which is a bug of the engine.
var errEnginePanic = errors.New("hub: the engine panicked")

// engineCall runs call without the stripe's lock, which the caller holds before
// and after; in.busy keeps others from calling meanwhile. A panic becomes an
// error: others wait for in.busy.
func (h *Hub) engineCall(s *interestStripe, in *interest, call func() error) (err error) {
	busy := make(chan struct{})
	in.busy = busy
	s.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			h.panicked(v)
			err = errEnginePanic
		}
		s.mu.Lock()
		in.busy = nil
		close(busy)
	}()
	return call()
}

// Release drops a reference taken by Acquire. The engine is told elsewhere that
// nobody is left. Any goroutine, turns included.
func (h *Hub) Release(channel string, loopID int, delta bool) {
	s := h.interestStripe(channel)
	s.mu.Lock()
	in := s.channels.Value(channel)
	in.loops[loopID]--
	in.total--
	if delta {
		in.deltas--
	}
	last := in.total == 0
	if last && (h.everything || !in.on && in.busy == nil) {
		s.channels.Delete(channel)
		last = false
	}
	s.mu.Unlock()
	if last {
		h.unsub.Post(channel)
	}
}

// unsubscriber is the Hub as the actor that ends engine subscriptions sees it.
type unsubscriber Hub

func (u *unsubscriber) Begin()             {}
func (u *unsubscriber) Flush() (more bool) { return false }
func (u *unsubscriber) Panicked(v any)     { (*Hub)(u).panicked(v) }
func (u *unsubscriber) Handle(ch string)   { (*Hub)(u).unsubscribe(ch) }

// unsubscribeWait is how long the engine may take to be told that a channel is
// not wanted any more.
const unsubscribeWait = 5 * time.Second

// unsubscribe tells the engine that a channel has no subscriber, unless one has
// come since.
func (h *Hub) unsubscribe(channel string) {
	s := h.interestStripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		in := s.channels.Value(channel)
		if in == nil || in.total > 0 {
			return
		}
		if wait := in.busy; wait != nil {
			s.mu.Unlock()
			<-wait
			s.mu.Lock()
			continue
		}
		if !in.on {
			s.channels.Delete(channel)
			return
		}
		in.on = false
		ctx, cancel := context.WithTimeout(context.Background(), unsubscribeWait)
		// An engine that cannot be told is gone: it will be asked for
		// the channel again if it is wanted again.
		_ = h.engineCall(s, in, func() error { return h.broker.Unsubscribe(ctx, []string{channel}) })
		cancel()
	}
}

// wanted appends the loops that want a channel to dst.
func (h *Hub) wanted(dst []int, channel string) (loops []int, deltas bool) {
	s := h.interestStripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	in := s.channels.Value(channel)
	if in == nil {
		return dst, false
	}
	for i, n := range in.loops {
		if n > 0 {
			dst = append(dst, i)
		}
	}
	return dst, in.deltas > 0
}

// Wanted reports whether a channel has a subscriber on this node, or one on its
// way. Any goroutine, an engine's under the lock of its stripe too: it takes
// that of an interest stripe and nothing else.
func (h *Hub) Wanted(channel string) bool {
	s := h.interestStripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	in := s.channels.Value(channel)
	return in != nil && in.total > 0
}

// Channels calls f for each channel with a subscriber on this node, until f
// returns false. f must not call the hub, nor the engine. Any goroutine.
func (h *Hub) Channels(f func(channel string, subscribers int) bool) {
	for i := range h.interests {
		s := &h.interests[i]
		s.mu.RLock()
		for ch, in := range s.channels.All() {
			if in.total > 0 && !f(ch, int(in.total)) {
				s.mu.RUnlock()
				return
			}
		}
		s.mu.RUnlock()
	}
}

// Interest returns how many channels have a subscriber, and how many
// subscribers they have together. Any goroutine.
func (h *Hub) Interest() (channels, subscribers int) {
	h.Channels(func(_ string, n int) bool {
		channels++
		subscribers += n
		return true
	})
	return channels, subscribers
}

// AcquireMore takes one more reference on a channel that the caller holds one
// on already, so that there is nothing to wait for. Any goroutine, turns
// included.
func (h *Hub) AcquireMore(channel string, loopID int) {
	s := h.interestStripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.channels.Value(channel)
	in.loops[loopID]++
	in.total++
}
