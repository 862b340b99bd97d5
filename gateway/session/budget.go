package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/tally"
)

// budget is the memory that publications which clients missed may take on this
// node, from when they are read from a history until they have left for the
// sockets. Whoever recovers takes from it first and waits for room, first come
// first served; what many miss together is there once, and counts once.
type budget struct {
	// Immutable after newBudget.
	size int64
	sem  *semaphore.Weighted

	// Guarded by mu.
	mu      sync.Mutex
	blocks  map[blockKey]*block
	charged map[*codec.Frame]*charge

	// Atomic.
	used    atomic.Int64
	waiting atomic.Int64
	fails   atomic.Uint64
	waited  tally.Shared
}

// recoveryFactor is by how much more than its bytes what is recovered counts: the
// collector lets as much garbage stand beside what is alive (GOGC), so that much
// memory does the process take.
const recoveryFactor = 2

// littleShare is what part of all room is so little that nobody waits for it, if it
// is less than blockMin.
const littleShare = 1024

// charge is what was taken for a frame.
type charge struct {
	bytes int64
	refs  int            // those who may yet send it
	block *block         // nil if the frame belongs to one stream or call
	also  []*codec.Frame // blocks that the stream has until then, see chargeTail
}

// blockKey names publications of a channel that lie next to each other: what they
// are never changes.
type blockKey struct {
	channel, epoch string
	first, last    uint64
	deltas         bool
	coding         codec.Coding // of the streams
	dictionary     *codec.Dictionary
	events         bool // each an event of its own
	// inOrder: the streams send the events one behind the other, with the ids that they
	// bring, so that what is compressed shares a context.
	inOrder bool
	bare    bool // the events bring no ids
}

// block is such publications as they stand in a connect push, or as events behind one,
// shared by all streams that are being sent them.
type block struct {
	key    blockKey
	built  chan struct{}  // closed when frame is there, or is not
	frame  *codec.Frame   // nil if building it failed; of events an empty one
	events []*codec.Frame // with key.events
}

// keyOfMissed names what was missed in a channel that is granted.
func (op *opening) keyOfMissed(i int) blockKey {
	r := &op.results[i]
	return blockKey{
		channel: r.Channel, epoch: r.Epoch, deltas: r.Delta, coding: op.conn.Coding, dictionary: op.plan.Grants[i].dictionary(),
		first: r.Publications[0].Offset, last: r.Publications[len(r.Publications)-1].Offset,
	}
}

func newBudget(size int64) *budget {
	return &budget{
		size: size, sem: semaphore.NewWeighted(size),
		blocks: make(map[blockKey]*block), charged: make(map[*codec.Frame]*charge),
	}
}

// ticket is what was taken of a budget and not yet charged to frames. It belongs
// to one goroutine.
type ticket struct {
	b    *budget
	rest int64
}

// enter takes room for so many bytes that were missed, and waits for it until ctx
// ends; more than there is at all takes all, and little goes without where it would
// have to wait. Not from a turn.
func (b *budget) enter(ctx context.Context, missed int) (*ticket, error) {
	n := min(int64(missed)*recoveryFactor, b.size)
	if n <= 0 {
		return &ticket{b: b}, nil
	}
	if !b.sem.TryAcquire(n) {
		if int64(missed) < min(blockMin, b.size/littleShare) {
			return &ticket{b: b}, nil // it must not stand behind megabytes of others
		}
		b.waiting.Add(1)
		began := time.Now()
		err := b.sem.Acquire(ctx, n)
		b.waiting.Add(-1)
		b.waited.Add(time.Since(began))
		if err != nil {
			b.fails.Add(1)
			return nil, errNoMemory
		}
	}
	b.used.Add(n)
	return &ticket{b, n}, nil
}

func (b *budget) giveBack(n int64) {
	if n > 0 {
		b.used.Add(-n)
		b.sem.Release(n)
	}
}

// close gives back what no frame was charged.
func (t *ticket) close() {
	if t != nil {
		t.b.giveBack(t.rest)
		t.rest = 0
	}
}

// charge moves room from the ticket to a frame that the caller may send: until
// [budget.done], and until no queue holds it. What was published since the ticket
// was taken may be more than it has: then the frame is charged the rest.
func (t *ticket) charge(f *codec.Frame) {
	t.note(f, &charge{bytes: t.take(f.Len()), refs: 1})
}

func (t *ticket) note(f *codec.Frame, c *charge) {
	t.b.mu.Lock()
	t.b.charged[f] = c
	t.b.mu.Unlock()
}

// chargeTail is charge for the end of a run of events: so many bytes that are the
// stream's own, and the blocks that it was given by [ticket.run], which are done when
// the end is.
func (t *ticket) chargeTail(f *codec.Frame, own int, blocks []*codec.Frame) {
	t.note(f, &charge{bytes: t.take(own), refs: 1, also: blocks})
}

func (t *ticket) take(bytes int) int64 {
	n := min(int64(bytes)*recoveryFactor, t.rest)
	t.rest -= n
	return n
}

// block returns the frame of publications that lie next to each other, made now
// unless some stream is being sent it. The caller may send it until [budget.done].
// It may wait for somebody else who is making it, but for nothing else.
func (t *ticket) block(key blockKey, pubs []*codec.Publication) *codec.Frame {
	b := t.b
	for {
		b.mu.Lock()
		blk := b.blocks[key]
		if blk == nil {
			blk = &block{key: key, built: make(chan struct{})}
			b.blocks[key] = blk
			b.mu.Unlock()
			return t.build(blk, pubs)
		}
		if c := b.charged[blk.frame]; blk.frame != nil && c != nil {
			c.refs++
			b.mu.Unlock()
			return blk.frame
		}
		b.mu.Unlock()
		<-blk.built
	}
}

// run is block for publications as events: it returns their frames too.
func (t *ticket) run(key blockKey, pubs []*codec.Publication) (block *codec.Frame, events []*codec.Frame) {
	block = t.block(key, pubs)
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	return block, t.b.charged[block].block.events
}

// build makes the frame of a block. If it panics, the next one who wants it tries.
func (t *ticket) build(blk *block, pubs []*codec.Publication) (f *codec.Frame) {
	b, bytes := t.b, 0
	defer func() {
		b.mu.Lock()
		if f == nil {
			delete(b.blocks, blk.key)
		} else {
			blk.frame = f
			b.charged[f] = &charge{bytes: t.take(bytes), refs: 1, block: blk}
		}
		b.mu.Unlock()
		close(blk.built)
	}()
	if blk.key.events {
		blk.events = blk.key.frames(pubs)
		blk.key.compress(blk.events)
		for _, e := range blk.events {
			bytes += blk.key.size(e)
		}
		return codec.RawFrame(nil)
	}
	size := 0
	for _, p := range pubs {
		size += p.Size() + recoveredCost
	}
	text := codec.EndText(codec.AppendPublications(codec.StartText(size), pubs, blk.key.deltas))
	blk.key.code(text)
	bytes = blk.key.size(text)
	return text
}

// size is what a frame of the block takes, in all its forms.
func (k *blockKey) size(f *codec.Frame) int {
	alone, grouped := f.CodedLen(k.coding, !k.bare)
	return f.Len() + alone + grouped + f.LenWith(k.dictionary)
}

// frames makes the events of the block. Of those without ids the first one says of which epoch
// it is: else nobody could tell a history that began anew from what he had before.
func (k *blockKey) frames(pubs []*codec.Publication) []*codec.Frame {
	if !k.bare {
		return codec.MissedFrames(k.channel, k.epoch, pubs, k.deltas)
	}
	frames := make([]*codec.Frame, len(pubs))
	for i, p := range pubs {
		if i == 0 {
			first := *p
			first.Epoch, first.Told, first.Room = k.epoch, true, nil
			p = &first
		}
		frames[i] = codec.PubFrame(k.channel, p, "")
	}
	return frames
}

// compress gives events the form that the streams of the block are sent.
func (k *blockKey) compress(events []*codec.Frame) {
	switch {
	case k.coding == codec.CodingIdentity:
	case k.inOrder:
		g := codec.NewGroup(k.coding, !k.bare)
		defer g.Close()
		for _, e := range events {
			g.Add(e)
		}
	default:
		for _, e := range events {
			k.code(e)
		}
	}
}

// code gives a frame the form that shares no context with others.
func (k *blockKey) code(f *codec.Frame) {
	if k.dictionary != nil {
		f.CodeWith(k.dictionary)
		return
	}
	f.Code(k.coding)
}

// done says that the caller will not send a frame any more that it charged, or got
// as a block. Any goroutine, turns included.
func (b *budget) done(f *codec.Frame) { b.drop(f, 1) }

// freed says that no queue holds a frame any more. Any goroutine, turns included.
func (b *budget) freed(f *codec.Frame) { b.drop(f, 0) }

// drop gives back what a frame was charged, once nobody may send it and no queue
// holds it.
func (b *budget) drop(f *codec.Frame, refs int) {
	b.mu.Lock()
	c := b.charged[f]
	if c == nil {
		b.mu.Unlock()
		return
	}
	c.refs -= refs
	gone := c.refs == 0 && f.Kept() == 0
	if gone {
		delete(b.charged, f)
		if c.block != nil {
			delete(b.blocks, c.block.key)
		}
	}
	b.mu.Unlock()
	if !gone {
		return
	}
	b.giveBack(c.bytes)
	for _, block := range c.also {
		b.done(block)
	}
}

const (
	// reclaimEvery is how often, while somebody waits for room, streams are looked
	// for that do not take what they missed, and reclaimAge how long their sockets
	// may take nothing: a slow line empties the kernel's buffer for seconds before it
	// takes more.
	reclaimEvery = 250 * time.Millisecond
	reclaimAge   = 3 * time.Second
)

// Reclaim ends streams that do not take what they missed while others wait for
// the memory. It runs until done is closed, on a goroutine of the caller's.
func (m *Manager) Reclaim(done <-chan struct{}) {
	tick := time.NewTicker(reclaimEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if m.budget.waiting.Load() == 0 {
				continue
			}
			for _, l := range m.group.Loops {
				l.Post(reclaimTask{})
			}
		}
	}
}

// reclaimTask implements loop.Task.
type reclaimTask struct{}

// Run implements loop.Task.
func (reclaimTask) Run(l *loop.Loop) { l.Reclaim(reclaimAge) }
