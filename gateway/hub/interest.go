package hub

import (
	"context"
	"errors"
	"sync"

	"sluice/gateway/shrink"
)

const interestStripes = 256

// interestStripe is part of the table channel → loops that want it. Writers are
// subscribers on their way in and loops on their way out; lanes read it.
type interestStripe struct {
	// Guarded by mu.
	mu       sync.RWMutex
	channels shrink.Map[string, *interest]
	idle     int // of channels, those without a subscriber: see unsubscriber
}

// interest counts the subscribers of a channel on this node, those on their way
// included: a counted reference is taken before a subscription is posted to its
// loop and dropped after the loop removed it, so the count never passes through
// zero while someone is on the way. All fields are guarded by the stripe.
type interest struct {
	loops []int32 // by loop
	total int32
	forms *formCounts // nil where nobody ever took another than the commonest
	// busy is closed when the engine call under way ends; nil without one.
	busy  chan struct{}
	state engineState
	// leaving: the unsubscriber has it on its list; again: somebody came and went since.
	leaving, again bool
}

// engineState is what is known of an engine's subscription to a channel.
type engineState uint8

const (
	engineOff    engineState = iota // the engine does not deliver it
	engineUnsure                    // a call failed: perhaps it does
	engineOn                        // it does
)

// ready reports whether the engine delivers the channel, and will.
func (in *interest) ready() bool { return in.state == engineOn && in.busy == nil }

// called notes the end of an engine call that was to bring about a state. Whatever the
// error says of the call as a whole, parts of it may have been done: an engine of several
// servers has reached some.
func (in *interest) called(state engineState, err error) {
	if in.busy, in.state = nil, state; err != nil {
		in.state = engineUnsure
	}
}

func (h *Hub) interestStripe(channel string) *interestStripe {
	return &h.interests[h.hash(channel)%interestStripes]
}

// Want is a channel that a subscriber is about to join.
type Want struct {
	Channel string
	Form
}

// Acquire is AcquireAll for one channel.
func (h *Hub) Acquire(ctx context.Context, channel string, loopID int, f Form) error {
	return h.AcquireAll(ctx, loopID, []Want{{channel, f}})
}

// AcquireAll takes a reference on each channel for a subscriber on the given loop and
// returns once the engine delivers them all: those that it does not deliver yet cost one
// call together. On error nothing is held. Not from a turn: it may wait for the engine
// until ctx ends.
func (h *Hub) AcquireAll(ctx context.Context, loopID int, wants []Want) error {
	ready := true
	for i := range wants {
		ready = h.refer(&wants[i], loopID) && ready
	}
	if ready {
		return nil
	}
	err := h.subscribe(ctx, wants)
	if err != nil {
		for i := range wants {
			h.Release(wants[i].Channel, loopID, wants[i].Form)
		}
	}
	return err
}

// refer takes a reference, and reports whether the engine delivers the channel.
func (h *Hub) refer(w *Want, loopID int) (ready bool) {
	s := h.interestStripe(w.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.channels.Value(w.Channel)
	switch {
	case in == nil:
		in = &interest{loops: make([]int32, len(h.shards))}
		if h.everything {
			in.state = engineOn
		}
		s.channels.Set(w.Channel, in)
	case in.total == 0:
		s.idle--
	}
	in.loops[loopID]++
	in.total++
	in.countForm(w.Form, 1)
	return in.ready()
}

// subscribe returns once the engine delivers all channels, on which the caller has
// references. Nobody waits for another's call before its own has ended, so that two
// never wait for each other.
func (h *Hub) subscribe(ctx context.Context, wants []Want) error {
	for {
		mine, busy, wait := h.mark(wants)
		switch {
		case len(mine) > 0:
			err := h.engineCall(func() error { return h.broker.Subscribe(ctx, mine) })
			for _, ch := range mine {
				s := h.interestStripe(ch)
				s.mu.Lock()
				s.channels.Value(ch).called(engineOn, err)
				s.mu.Unlock()
			}
			if close(busy); err != nil {
				return err
			}
		case wait == nil:
			return nil
		default:
			select {
			case <-wait:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// mark marks the channels that are for the caller to subscribe to; wait is another's call
// for one of the others, nil if none is left.
func (h *Hub) mark(wants []Want) (mine []string, busy, wait chan struct{}) {
	for i := range wants {
		ch := wants[i].Channel
		s := h.interestStripe(ch)
		s.mu.Lock()
		switch in := s.channels.Value(ch); {
		case in.ready():
		case in.busy != nil:
			wait = in.busy
		default:
			if busy == nil {
				busy = make(chan struct{})
			}
			in.busy, mine = busy, append(mine, ch)
		}
		s.mu.Unlock()
	}
	return mine, busy, wait
}

// errEnginePanic stands for a panic in an engine, which is a bug of the engine.
var errEnginePanic = errors.New("hub: the engine panicked")

// engineCall makes a call; a panic becomes an error, for others wait for its end.
func (h *Hub) engineCall(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			h.panicked(v)
			err = errEnginePanic
		}
	}()
	return call()
}

// Release drops a reference taken by Acquire. The engine is told elsewhere that
// nobody is left. Any goroutine, turns included.
func (h *Hub) Release(channel string, loopID int, f Form) {
	s := h.interestStripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.channels.Value(channel)
	in.loops[loopID]--
	in.total--
	if left := in.countForm(f, -1); left == 0 && f.follows() {
		h.post(event{kind: eventUnfollowed, channel: channel})
	}
	switch {
	case in.total > 0:
	case h.everything || in.state == engineOff && in.busy == nil:
		s.channels.Delete(channel)
	default:
		s.idle++
		if in.leaving {
			in.again = true
			return
		}
		in.leaving = true
		h.unsub.Post(channel)
	}
}

// wanted appends the loops that want a channel to dst.
func (h *Hub) wanted(dst []int, channel string) (loops []int, taken forms) {
	s := h.interestStripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	in := s.channels.Value(channel)
	if in == nil {
		return dst, 0
	}
	for i, n := range in.loops {
		if n > 0 {
			dst = append(dst, i)
		}
	}
	return dst, in.taken()
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

// Count returns how many subscribers a channel has on this node. Any goroutine.
func (h *Hub) Count(channel string) int {
	s := h.interestStripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if in := s.channels.Value(channel); in != nil {
		return int(in.total)
	}
	return 0
}

// Channels calls f for each channel with a subscriber on this node, until f
// returns false. f may take its time: it is called without a lock. Any goroutine.
func (h *Hub) Channels(f func(channel string, subscribers int) bool) {
	type counted struct {
		channel string
		total   int
	}
	var some []counted
	for i := range h.interests {
		some = some[:0]
		h.interests[i].each(func(ch string, total int) { some = append(some, counted{ch, total}) })
		for _, c := range some {
			if !f(c.channel, c.total) {
				return
			}
		}
	}
}

// each calls f for each channel of the stripe with a subscriber, under its lock.
func (s *interestStripe) each(f func(channel string, subscribers int)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for ch, in := range s.channels.All() {
		if in.total > 0 {
			f(ch, int(in.total))
		}
	}
}

// Interest returns how many channels have a subscriber, and how many
// subscribers they have together. Any goroutine.
func (h *Hub) Interest() (channels, subscribers int) {
	for i := range h.interests {
		h.interests[i].each(func(_ string, n int) {
			channels++
			subscribers += n
		})
	}
	return channels, subscribers
}

// AcquireMore takes one more reference on a channel that the caller holds one
// on already, so that there is nothing to wait for. Any goroutine, turns
// included.
func (h *Hub) AcquireMore(channel string, loopID int, f Form) {
	s := h.interestStripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.channels.Value(channel)
	in.loops[loopID]++
	in.total++
	in.countForm(f, 1)
}
