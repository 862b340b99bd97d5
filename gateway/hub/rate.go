package hub

import (
	"context"
	"time"

	"sluice/gateway/loop"
)

// How often something is published in a channel is counted where its subscribers are: two
// windows in the memory that a topic takes anyway (its size class is 64 bytes), one add for
// each publication and loop. Nothing runs but while somebody asks.

const (
	// rateWindow is how long one window is, on the loop's clock.
	rateWindow = int64(10 * time.Second)
	// ratesStep is how many channels one task looks up: some tenths of a millisecond.
	ratesStep = 1024
)

// count counts a publication.
func (t *topic) count(now int64) {
	if w := uint32(now / rateWindow); w != t.window {
		t.roll(w)
	}
	t.counts[0]++
}

// roll begins another window.
func (t *topic) roll(window uint32) {
	t.counts[1] = 0
	if window == t.window+1 {
		t.counts[1] = t.counts[0]
	}
	t.counts[0], t.window = 0, window
}

// rate returns how many publications there were a second in about the last 10 s: of the
// window before as much counts as is not over that long.
func (t *topic) rate(now int64) float32 {
	if w := uint32(now / rateWindow); w != t.window {
		t.roll(w)
	}
	rest := 1 - float64(now%rateWindow)/float64(rateWindow)
	return float32((float64(t.counts[1])*rest + float64(t.counts[0])) / time.Duration(rateWindow).Seconds())
}

// Rates returns how many publications a second each channel had in about the last 10 s, as
// the loop that saw most of them counts; 0 for one without a subscriber here. names must not
// change any more. It costs each loop 100 ns or so for each name, some hundred names at a time. The
// error is ctx's cause. Any goroutine but a turn.
func (h *Hub) Rates(ctx context.Context, names []string) ([]float32, error) {
	done := make(chan []float32, len(h.shards))
	for _, s := range h.shards {
		s.loop.Post(&ratesWalk{shard: s, names: names, rates: make([]float32, len(names)), done: done})
	}
	all := make([]float32, len(names))
	for range h.shards {
		select {
		case part := <-done:
			for i, r := range part {
				all[i] = max(all[i], r)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return all, nil
}

// ratesWalk looks up the rates of channels on one loop, some at a time. It implements
// loop.Task.
type ratesWalk struct {
	shard *Shard
	names []string
	rates []float32
	next  int
	done  chan<- []float32
}

// Run implements loop.Task.
func (w *ratesWalk) Run(l *loop.Loop) {
	end := min(w.next+ratesStep, len(w.names))
	for ; w.next < end; w.next++ {
		if t := w.shard.topics.Value(w.names[w.next]); t != nil {
			w.rates[w.next] = t.rate(l.Now())
		}
	}
	if end < len(w.names) {
		l.Post(w)
		return
	}
	w.done <- w.rates
}
