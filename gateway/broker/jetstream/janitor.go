package jetstream

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// janitor removes from the streams what histories that are over left: messages are kept as long as the
// position of their channel is, which mostly is much longer. A node remembers that of channels into which it
// published; what it forgets, by a restart say, goes with the position, or with the next publications.
type janitor struct {
	// Immutable.
	engine *Engine

	// Guarded by mu.
	mu  sync.Mutex
	by  map[string]*overdue
	due dueHeap
}

// overdue is a channel whose history will be over.
type overdue struct {
	channel string
	at      time.Time // when to look
	last    time.Time // when it is over, as far as is known
	index   int
}

// janitorMost bounds the channels that are remembered: about 200 bytes each.
const janitorMost = 1 << 17

// janitorEvery is how often it is looked for what is over, janitorEach how many are looked at in one round
// trip, janitorSlack how long after its end a history is removed.
const (
	janitorEvery = time.Second
	janitorEach  = 128
	janitorSlack = 2 * time.Second
)

func newJanitor(e *Engine) *janitor { return &janitor{engine: e, by: make(map[string]*overdue)} }

// kept notes that a channel was published into.
func (j *janitor) kept(channel string, st *state) {
	end := st.at.Add(st.ttl + janitorSlack)
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.by[channel]
	switch {
	case o != nil:
		o.last = end
		if end.Before(o.at) {
			o.at = end
			heap.Fix(&j.due, o.index)
		}
	case st.ttl >= st.meta: // it goes with the position
	case len(j.by) >= janitorMost:
		j.engine.stats.purgesLeft.Add(1)
	default:
		o = &overdue{channel: channel, at: end, last: end}
		j.by[channel] = o
		heap.Push(&j.due, o)
	}
}

// take returns channels whose histories may be over.
func (j *janitor) take(now time.Time) (channels []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.due) > 0 && len(channels) < janitorEach && !now.Before(j.due[0].at) {
		o := j.due[0]
		if now.Before(o.last) {
			o.at = o.last
			heap.Fix(&j.due, 0)
			continue
		}
		heap.Pop(&j.due)
		delete(j.by, o.channel)
		channels = append(channels, o.channel)
	}
	return channels
}

func (j *janitor) run(ctx context.Context) {
	for pause.For(ctx, janitorEvery) {
		for {
			channels := j.take(j.engine.now())
			if len(channels) == 0 {
				break
			}
			j.clean(ctx, channels)
			if len(channels) < janitorEach {
				break
			}
		}
	}
}

// clean removes what is over of channels. What fails is not tried again: see above.
func (j *janitor) clean(ctx context.Context, channels []string) {
	e := j.engine
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	wanted := make([]nats.Wanted, len(channels))
	for i, ch := range channels {
		wanted[i] = e.wanted(ch)
	}
	for i, last := range e.api.Lasts(ctx, wanted) {
		st, _ := stateOf(&last.Stored)
		switch {
		case last.Err != nil:
			e.stats.purgesFailed.Add(1)
		case st.epoch == "" || st.kept(e.now()) <= st.top: // nothing there, or another node published
		case e.api.Purge(ctx, wanted[i].Stream, wanted[i].Subject, st.seq) != nil: // what was published meanwhile stays
			e.stats.purgesFailed.Add(1)
		default:
			e.stats.purged.Add(1)
		}
	}
}

// dueHeap is a heap of container/heap, the earliest first.
type dueHeap []*overdue

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, k int) bool { return h[i].at.Before(h[k].at) }
func (h dueHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i, k
}

// Push implements heap.Interface.
func (h *dueHeap) Push(v any) {
	o := v.(*overdue)
	o.index = len(*h)
	*h = append(*h, o)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	o := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return o
}
