// Package memory is the engine within the process: histories in maps, order by
// a lock for each stripe of channels. It is lost with the process; its epochs
// are new after a restart, which clients are told (PROTOCOL 12.38).
//
// Giving a publication its offset, keeping it and posting it to its lane are
// one critical section under the channel's stripe, so publications reach the
// lane in the order of their offsets.
package memory

import (
	"container/heap"
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/history"
)

const (
	stripeCount    = 64
	idempotencyTTL = 5 * time.Minute
	sweepEvery     = time.Second
	defaultMetaTTL = 720 * time.Hour
)

// Engine implements broker.Broker. Make it with [New].
type Engine struct {
	// Immutable after Start.
	seed  maphash.Seed
	start time.Time
	sink  broker.Sink

	stripes [stripeCount]stripe

	stop chan struct{} // closed by Close
	done sync.WaitGroup

	// Atomic.
	repeated atomic.Uint64 // publications suppressed by their idempotency key
	outdated atomic.Uint64 // publications suppressed by their version
}

var (
	_ broker.Broker  = (*Engine)(nil)
	_ broker.Instant = (*Engine)(nil)
)

// stripe holds the channels of one hash value.
type stripe struct {
	// Guarded by mu.
	mu       sync.Mutex
	channels map[string]*entry
	due      dueHeap
	results  map[resultKey]result
	expiring []expiring // of results, oldest first
	expHead  int
}

// entry is a channel that has a position. Its deadlines only ever move
// forward, so its place in the heap may be early and is corrected when it comes
// up: a publish costs no heap operation.
type entry struct {
	stream  *history.Stream
	channel string
	listDue int64 // on the engine's clock, when the publications go, 0 for none
	metaDue int64 // when the position goes
	heapDue int64 // what the heap is ordered by, not after the two above
	index   int   // in the heap
}

type resultKey struct{ channel, key string }

type result struct {
	pos broker.Position
	due int64
}

// expiring says when a result goes. A key that was used anew stands in the
// queue twice, so each place has a deadline of its own.
type expiring struct {
	key resultKey
	due int64
}

// New returns an engine without any channel.
func New() *Engine {
	e := &Engine{seed: maphash.MakeSeed(), start: time.Now(), stop: make(chan struct{})}
	for i := range e.stripes {
		e.stripes[i].channels = make(map[string]*entry)
		e.stripes[i].results = make(map[resultKey]result)
	}
	return e
}

// clock returns the monotonic time since the engine was made, in ns. Why not the
// wall clock: all that goes here goes after a span, and a clock that is set must
// neither empty every history nor keep it for hours.
func (e *Engine) clock() int64 { return int64(time.Since(e.start)) }

// Instant implements broker.Instant.
func (e *Engine) Instant() {}

// Start implements broker.Broker.
func (e *Engine) Start(sink broker.Sink) error {
	e.sink = sink
	e.done.Add(1)
	go e.janitor()
	return nil
}

// Close implements broker.Broker.
func (e *Engine) Close(context.Context) error {
	close(e.stop)
	e.done.Wait()
	return nil
}

// Subscribe implements broker.Broker: everything published here arrives.
func (e *Engine) Subscribe(context.Context, string) error { return nil }

// Unsubscribe implements broker.Broker.
func (e *Engine) Unsubscribe(context.Context, string) error { return nil }

func (e *Engine) stripe(channel string) *stripe {
	return &e.stripes[maphash.String(e.seed, channel)%stripeCount]
}

// Publish implements broker.Broker.
func (e *Engine) Publish(_ context.Context, channel string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	now := e.clock()
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if opt.IdempotencyKey != "" {
		if r, ok := s.results[resultKey{channel, opt.IdempotencyKey}]; ok && r.due > now {
			e.repeated.Add(1)
			return broker.Result{Position: r.pos, Suppressed: true}, nil
		}
	}
	var pos broker.Position
	var prev *codec.Publication
	if opt.History.Enabled() {
		en := s.touch(channel, now, opt.History.MetaTTL)
		if en.stream.Stale(p.Version, opt.VersionEpoch) {
			e.outdated.Add(1)
			return broker.Result{Position: en.stream.Position(), Suppressed: true}, nil
		}
		prev = en.stream.Append(p, opt.VersionEpoch, opt.History.Size)
		en.listDue = now + int64(opt.History.TTL)
		s.schedule(en)
		pos = en.stream.Position()
	}
	if !p.Delta {
		prev = nil
	}
	e.sink.Publication(channel, p, prev, opt.Credit)
	if opt.IdempotencyKey != "" {
		s.remember(resultKey{channel, opt.IdempotencyKey}, result{pos, now + int64(idempotencyTTL)})
	}
	return broker.Result{Position: pos, CreditTaken: true}, nil
}

// Join implements broker.Broker.
func (e *Engine) Join(_ context.Context, channel string, info *codec.ClientInfo) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.sink.Join(channel, info)
	return nil
}

// Leave implements broker.Broker.
func (e *Engine) Leave(_ context.Context, channel string, info *codec.ClientInfo) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.sink.Leave(channel, info)
	return nil
}

// History implements broker.Broker. A read keeps the position alive.
func (e *Engine) History(_ context.Context, channel string, q broker.HistoryQuery) ([]*codec.Publication, broker.Position, error) {
	now := e.clock()
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	en := s.touch(channel, now, q.MetaTTL)
	s.schedule(en)
	return en.stream.Query(q), en.stream.Position(), nil
}

// RemoveHistory implements broker.Broker.
func (e *Engine) RemoveHistory(_ context.Context, channel string) error {
	s := e.stripe(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if en := s.channels[channel]; en != nil {
		en.stream.Clear()
		en.listDue = 0
	}
	return nil
}

// Suppressed counts publications that were dropped because their idempotency
// key was used before, and because their version is not a newer one.
func (e *Engine) Suppressed() (repeated, outdated uint64) {
	return e.repeated.Load(), e.outdated.Load()
}

// touch returns the channel's entry with whatever has expired by now gone, and
// its position alive for metaTTL more.
func (s *stripe) touch(channel string, now int64, metaTTL time.Duration) *entry {
	if metaTTL <= 0 {
		metaTTL = defaultMetaTTL
	}
	en := s.channels[channel]
	if en == nil {
		en = &entry{stream: history.New(), channel: channel, index: -1}
		s.channels[channel] = en
	} else {
		en.expire(now)
		if en.metaDue <= now {
			en.stream = history.New()
		}
	}
	en.metaDue = max(now+int64(metaTTL), en.listDue)
	return en
}

// expire drops the publications when their time is over.
func (en *entry) expire(now int64) {
	if en.listDue != 0 && en.listDue <= now {
		en.stream.Clear()
		en.listDue = 0
	}
}

// next is when something of the entry is to go.
func (en *entry) next() int64 {
	if en.listDue != 0 {
		return min(en.listDue, en.metaDue)
	}
	return en.metaDue
}

// schedule puts the entry into the heap, or moves it up when something is due
// before the heap would look at it.
func (s *stripe) schedule(en *entry) {
	due := en.next()
	switch {
	case en.index < 0:
		en.heapDue = due
		heap.Push(&s.due, en)
	case due < en.heapDue:
		en.heapDue = due
		heap.Fix(&s.due, en.index)
	}
}

func (s *stripe) remember(k resultKey, r result) {
	s.results[k] = r
	s.expiring = append(s.expiring, expiring{k, r.due})
}

// janitor removes what has expired and nobody asked for since.
func (e *Engine) janitor() {
	defer e.done.Done()
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-t.C:
			for i := range e.stripes {
				e.stripes[i].sweep(e.clock())
			}
		}
	}
}

// sweepMost bounds how long one sweep holds a stripe.
const sweepMost = 1000

func (s *stripe) sweep(now int64) {
	for more := true; more; {
		s.mu.Lock()
		more = s.sweepSome(now)
		s.mu.Unlock()
	}
}

func (s *stripe) sweepSome(now int64) (more bool) {
	for range sweepMost {
		if len(s.due) == 0 || s.due[0].heapDue > now {
			s.sweepResults(now)
			return false
		}
		en := s.due[0]
		en.expire(now)
		if en.metaDue <= now {
			heap.Pop(&s.due)
			delete(s.channels, en.channel)
			continue
		}
		en.heapDue = en.next()
		heap.Fix(&s.due, 0)
	}
	return true
}

func (s *stripe) sweepResults(now int64) {
	for s.expHead < len(s.expiring) && s.expiring[s.expHead].due <= now {
		if k := s.expiring[s.expHead].key; s.results[k].due <= now {
			delete(s.results, k)
		}
		s.expiring[s.expHead] = expiring{}
		s.expHead++
	}
	if s.expHead > 0 && s.expHead*2 >= len(s.expiring) {
		n := copy(s.expiring, s.expiring[s.expHead:])
		clear(s.expiring[n:])
		s.expiring, s.expHead = s.expiring[:n], 0
	}
}

// dueHeap implements heap.Interface over entries by heapDue.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].heapDue < h[j].heapDue }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	en := x.(*entry)
	en.index = len(*h)
	*h = append(*h, en)
}
func (h *dueHeap) Pop() any {
	old := *h
	n := len(old) - 1
	en := old[n]
	old[n] = nil
	*h = old[:n]
	en.index = -1
	return en
}
