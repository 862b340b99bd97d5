package follow

import (
	"context"
	"errors"
	"strings"
	"sync"

	"sluice/gateway/broker"
	"sluice/gateway/shrink"
)

// ErrRefused is wrapped by errors of a Source that time does not cure: after a few of them in a row
// the subscribers of the channel are told that they lost their place.
var ErrRefused = errors.New("follow: the history cannot be read")

// Source is where a follower reads what it compares with.
type Source interface {
	// Follow answers each want, in order.
	Follow(ctx context.Context, wants []Want) []Read
	// Slot returns the slot that parts of the reader know a channel by.
	Slot(channel string) int
	// Renew gives a channel another epoch if it still has this one, and returns the
	// one that it has then.
	Renew(ctx context.Context, channel, epoch string) (string, error)
}

// Want asks for the publications of a channel from an offset on.
type Want struct {
	Channel string
	From    uint64
	Epoch   string // the one it is expected to have
	One     bool   // one publication is enough
	// Ref is that of the publication at From, if it is known and there still; 0: unknown.
	Ref uint64
}

// Follower knows the subscribed channels of a shard and what of them entered the Sink.
// Messages come from the goroutines of the shard's reader, each channel from one at a
// time; comparisons run on the one goroutine of Run.
type Follower struct {
	// Immutable after New.
	sink   broker.Sink
	source Source
	stats  counters
	prevs  bool          // see KeepPrevious
	wake   chan struct{} // capacity 1: there may be something to compare

	// Guarded by mu. Why the Sink is called under it: whoever delivers, its order
	// and the places agree, and when stopped is set nothing enters any more. A Sink
	// does not block there.
	mu       sync.Mutex
	places   shrink.Map[string, *Place]
	queue    []*Place                   // to be compared
	parked   []*Place                   // the same, once their part of the reader is back
	batch    []*Place                   // being compared
	suspects map[*Place]broker.Position // behind what reads found
	past     past
	spans    []*Span       // those that are not over
	up       bool          // all parts of the reader are back
	upAgain  chan struct{} // closed when they are
	catching int           // places that the last loss left to be compared
	held     int           // bytes that wait in all places
	stopped  bool
}

// New returns a follower that compares nothing before Run.
func New(sink broker.Sink, source Source) *Follower {
	return &Follower{sink: sink, source: source, wake: make(chan struct{}, 1), suspects: make(map[*Place]broker.Position), upAgain: make(chan struct{})}
}

// KeepPrevious has the follower find the publication before one that asks for a delta, if it was delivered here:
// for engines whose messages do not bring it. Before Add.
func (f *Follower) KeepPrevious() { f.prevs = true }

// Add makes places for channels before they are subscribed.
func (f *Follower) Add(channels []string) {
	slots := make([]int, len(channels))
	for i, ch := range channels {
		slots[i] = f.source.Slot(ch)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, ch := range channels {
		if f.places.Value(ch) == nil {
			ch = strings.Clone(ch) // a name must not keep alive what it was cut from
			f.places.Set(ch, &Place{channel: ch, slot: slots[i], span: f.span(slots[i])})
		}
	}
}

// Remove forgets channels; what still comes for them is dropped.
func (f *Follower) Remove(channels []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ch := range channels {
		p := f.places.Value(ch)
		if p == nil {
			continue
		}
		f.places.Delete(ch)
		if !f.past.keep(p) {
			f.stats.forgotten.Add(1)
		}
		delete(f.suspects, p)
		p.gone = true
		f.settled(p)
		f.dropHold(p)
	}
}

// Channel returns the name of the channel, one text for all. Any goroutine.
func (p *Place) Channel() string { return p.channel }

// Find returns the place of a channel and its epoch. channel is not kept.
func (f *Follower) Find(channel string) (p *Place, epoch string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return nil, ""
	}
	if p = f.places.Value(channel); p != nil {
		epoch = p.at.Epoch
	}
	return p, epoch
}

// Message takes what came in the channel of a place, in order. It waits for credit,
// and for a replay under way that is far behind, until ctx ends.
func (f *Follower) Message(ctx context.Context, p *Place, m Message) {
	var credit *broker.Credit
	for {
		step, wait := f.take(p, m, credit)
		switch step {
		case stepTaken:
			return
		case stepDropped:
			credit.Release()
			return
		case stepWait:
			select {
			case <-wait:
			case <-ctx.Done():
				credit.Release()
				return
			}
		case stepPass:
			if f.passHeld(ctx, p); ctx.Err() != nil {
				credit.Release()
				return
			}
		case stepCredit:
			var err error
			if credit, err = f.sink.Credit(ctx, m.Size); err != nil {
				return
			}
		}
	}
}

type step uint8

const (
	stepTaken   step = iota // it is in the Sink, with its credit
	stepDropped             // it is not, or waits without credit
	stepWait                // try again when the channel is closed
	stepCredit              // try again with credit
	stepPass                // try again when the first one that waits has passed
)

// take does one step for a message.
func (f *Follower) take(p *Place, m Message, credit *broker.Credit) (step, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.gone || f.stopped {
		return stepDropped, nil
	}
	if f.stale(p) {
		switch {
		case f.holdBack(p, m):
			return stepDropped, nil
		case p.phase > phaseQueued || f.span(p.slot) != nil:
			return stepWait, p.turn()
		case len(p.hold.list) > 0: // nothing is compared before Back, which comes behind this one
			return stepPass, nil
		}
		f.stats.overtook.Add(1)
		return f.pass(p, &m, credit), nil
	}
	switch p.judge(&m) {
	case repeat:
		f.stats.repeats.Add(1)
		return stepDropped, nil
	case doubt:
		f.stats.jumps.Add(1)
		f.enqueue(p)
		f.holdBack(p, m)
		return stepDropped, nil
	}
	return f.pass(p, &m, credit), nil
}

// pass delivers a message, if there is credit for it. Caller holds mu.
func (f *Follower) pass(p *Place, m *Message, credit *broker.Credit) step {
	if credit == nil && m.Size > 0 {
		return stepCredit
	}
	f.deliver(p, m, credit)
	return stepTaken
}

// stale reports whether the place must be compared before live messages may pass.
// Caller holds mu.
func (f *Follower) stale(p *Place) bool {
	return p.phase != phaseLive || p.known && !p.span.lasts()
}

// deliver hands a message to the Sink. Caller holds mu.
func (f *Follower) deliver(p *Place, m *Message, credit *broker.Credit) {
	p.moved(m)
	if f.prevs && m.Pub != nil && m.At.Offset != 0 {
		m.Prev = p.previous(m.Pub)
	}
	switch {
	case m.Kind == KindJoin:
		f.sink.Join(p.channel, m.Info, credit)
	case m.Kind == KindLeave:
		f.sink.Leave(p.channel, m.Info, credit)
	case m.Pub == nil:
		credit.Release()
	default:
		f.sink.Publication(p.channel, m.Pub, m.Prev, credit)
	}
}

// turn returns a channel that is closed when the comparison of the place got on.
// Caller holds the follower's mu.
func (p *Place) turn() <-chan struct{} {
	if p.hold == nil {
		p.hold = &hold{}
	}
	if p.hold.turn == nil {
		p.hold.turn = make(chan struct{})
	}
	return p.hold.turn
}

// progress wakes who waits for turn. Caller holds the follower's mu.
func (p *Place) progress() {
	if p.hold != nil && p.hold.turn != nil {
		close(p.hold.turn)
		p.hold.turn = nil
	}
}

// enqueue has a place compared. Caller holds mu.
func (f *Follower) enqueue(p *Place) {
	if p.phase != phaseLive {
		return
	}
	p.phase = phaseQueued
	f.queue = append(f.queue, p)
	f.signal()
}

func (f *Follower) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// AwaitUp waits for all parts of the reader to be there.
func (f *Follower) AwaitUp(ctx context.Context) error {
	f.mu.Lock()
	again := f.upAgain
	f.mu.Unlock()
	select {
	case <-again:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// catch has a place compared before the shard counts as ready. Caller holds mu.
func (f *Follower) catch(p *Place) {
	if !p.caught {
		p.caught = true
		f.catching++
	}
	f.enqueue(p)
}

// settled says that a place need not be waited for any more. Caller holds mu.
func (f *Follower) settled(p *Place) {
	if p.caught {
		p.caught = false
		f.catching--
	}
}

// Stop returns when nothing enters the Sink any more.
func (f *Follower) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// Counts returns how many channels there are, how many of them are to be compared, and how
// many bytes wait for that.
func (f *Follower) Counts() (channels, pending, held int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range [][]*Place{f.queue, f.parked, f.batch} {
		for _, p := range list {
			if !p.gone {
				pending++
			}
		}
	}
	return f.places.Len(), pending, f.held
}

// CaughtUp reports whether all parts of the reader are there and nothing of their last losses is left
// to be compared.
func (f *Follower) CaughtUp() (up bool, left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up, f.catching
}
