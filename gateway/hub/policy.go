package hub

import (
	"container/heap"
	"hash/maphash"
	"time"

	"sluice/codec"
)

// Policy is what a namespace allows to be left out for the sake of subscribers
// that do not keep up. It excludes recovery, positioning and deltas, which need
// every publication.
type Policy struct {
	// DropOldest: the oldest unsent publications of a slow stream are
	// dropped, and its client is told how many, instead of being cut.
	DropOldest bool
	// ConflateKey names a top-level field of the data, or else a tag, that
	// says what a publication is about: on a stream that lags, a newer one
	// takes the place of the unsent one of the same key.
	ConflateKey string
	// MaxRate: at most one publication of a key (without ConflateKey: of the
	// channel) in this time, always the newest.
	MaxRate time.Duration
}

func (p *Policy) none() bool { return *p == Policy{} }

// policies are what one call of SetPolicy said. Lanes know it by its address.
type policies struct {
	// Immutable after SetPolicy.
	of func(channel string) Policy
}

// SetPolicy says what channels allow to be left out from here on: of is called
// for each publication, from any goroutine; nil if no channel allows anything,
// which costs nothing. What a former MaxRate held back goes out with the next
// publication of its lane, before it, or when it is due. Any goroutine.
func (h *Hub) SetPolicy(of func(channel string) Policy) {
	if of == nil {
		h.policies.Store(nil)
		return
	}
	h.policies.Store(&policies{of})
}

// key returns what a publication is about, "" if it does not say.
func (p *Policy) key(pub *codec.Publication) string {
	if p.ConflateKey == "" {
		return ""
	}
	if text, ok := pub.Data.Field(p.ConflateKey); ok {
		return text
	}
	for _, t := range pub.Tags {
		if t.Key == p.ConflateKey {
			return t.Value
		}
	}
	return ""
}

// keyHash is a key as an out-queue compares it, 0 for none.
func (h *Hub) keyHash(key string) uint64 {
	if key == "" {
		return 0
	}
	return maphash.String(h.seed, key) | 1
}

// pacer keeps the publications of a lane's channels below their MaxRate. One
// that comes too early waits, and is replaced by any newer one of its key.
// Owned by the lane's turn.
type pacer struct {
	keys  map[paceKey]*paced
	due   paceHeap
	bytes int // of what waits
	// timer posts into the lane when the first entry of due is.
	timer *time.Timer
	armed time.Time // when it fires, zero while it does not
}

// paceKey names a key by its hash: the text is part of a payload, which would
// stay in memory with it.
type paceKey struct {
	channel string
	key     uint64
}

// paced is a key that was published within its interval.
type paced struct {
	paceKey
	every time.Duration
	next  time.Time
	ev    event // waits, if held
	held  bool
}

// maxPaced bounds the keys that a lane remembers; publications of further ones
// are passed on unpaced.
const maxPaced = 1 << 16

// cost is what an event that waits counts for.
func (e *paced) cost() int {
	if !e.held {
		return 0
	}
	return e.ev.pub.Size() + creditCost
}

// maxWaiting is how many bytes may wait in a lane: all lanes together hold as
// much as publishers have credit for.
func (ln *lane) maxWaiting() int { return int(ln.hub.opt.CreditBytes) / len(ln.hub.lanes) }

// pass reports whether a publication may go out now. Otherwise the pacer has
// it, and its credit was returned. Without room for it, it goes out unpaced.
func (ln *lane) pass(ev *event, p *Policy) bool {
	pc, now := &ln.pace, time.Now()
	k := paceKey{ev.channel, ln.hub.keyHash(p.key(ev.pub))}
	e := pc.keys[k]
	if e == nil {
		if len(pc.keys) >= maxPaced {
			ln.hub.unpaced.Add(1)
			return true
		}
		e = &paced{paceKey: k, every: p.MaxRate, next: now.Add(p.MaxRate)}
		if pc.keys == nil {
			pc.keys = make(map[paceKey]*paced)
		}
		pc.keys[k] = e
		heap.Push(&pc.due, e)
		ln.armPacer(now)
		return true
	}
	if e.held { // also if the newer one cannot wait: it must not be overtaken
		ln.hub.conflated.Add(1)
		pc.take(e)
	}
	if pc.bytes+ev.pub.Size()+creditCost > ln.maxWaiting() {
		ln.hub.unpaced.Add(1)
		return true
	}
	ev.credit.Release()
	e.ev, e.held = *ev, true
	e.ev.credit = nil
	pc.bytes += e.cost()
	return false
}

// take returns what waits in an entry, which then has nothing.
func (pc *pacer) take(e *paced) event {
	pc.bytes -= e.cost()
	ev := e.ev
	e.ev, e.held = event{}, false
	return ev
}

// release delivers what has waited for its time; with all set, everything, and
// forgets the times: the hub is about to end, and no timer may outlive it.
func (ln *lane) release(now time.Time, all bool) {
	pc := &ln.pace
	if all {
		for _, e := range pc.due {
			ln.releaseOne(e)
		}
		if pc.timer != nil {
			pc.timer.Stop()
		}
		*pc = pacer{}
		return
	}
	for len(pc.due) > 0 && !pc.due[0].next.After(now) {
		e := pc.due[0]
		if !e.held {
			heap.Pop(&pc.due)
			delete(pc.keys, e.paceKey)
			continue
		}
		e.next = now.Add(e.every)
		heap.Fix(&pc.due, 0)
		ln.releaseOne(e)
	}
	pc.armed = time.Time{}
	ln.armPacer(now)
}

func (ln *lane) releaseOne(e *paced) {
	if e.held {
		ev := ln.pace.take(e)
		ev.at = ln.hub.clock() // what it waited for is no lag
		ln.self.Try(func() { ln.deliver(&ev) })
	}
}

// armPacer sets the lane's one timer to the first entry that is due.
func (ln *lane) armPacer(now time.Time) {
	pc := &ln.pace
	if len(pc.due) == 0 || !pc.armed.IsZero() && !pc.due[0].next.Before(pc.armed) {
		return
	}
	pc.armed = pc.due[0].next
	wait := max(pc.armed.Sub(now), 0)
	if pc.timer == nil {
		pc.timer = time.AfterFunc(wait, func() { ln.self.Post(event{kind: eventPace}) })
		return
	}
	pc.timer.Reset(wait)
}

// paceHeap implements heap.Interface over entries by next.
type paceHeap []*paced

func (h paceHeap) Len() int           { return len(h) }
func (h paceHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h paceHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *paceHeap) Push(x any)        { *h = append(*h, x.(*paced)) }
func (h *paceHeap) Pop() any {
	old := *h
	n := len(old) - 1
	e := old[n]
	old[n] = nil
	*h = old[:n]
	return e
}
