//go:build linux

package main

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLagMicros is the longest lag that is told apart; a longer one counts as this.
const maxLagMicros = 120_000_000

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLagMicros, 3) }

// recordMicros records a duration of ns, clamped to the histogram's range.
func recordMicros(h *hdrhistogram.Histogram, ns int64) {
	us := min(max(ns/1000, 1), maxLagMicros)
	if err := h.RecordValue(us); err != nil {
		panic(fmt.Sprintf("BUG: %d µs is outside the histogram: %v", us, err))
	}
}

// deliveries is the eventHandler of the modes that publish: every stream is to
// get every message, or every message on its own channel. It keeps lags and sequence numbers of one worker's streams.
type deliveries struct {
	// Immutable after newDeliveries.
	goal       *goal
	publishers int
	own        *ownChannels // nil: every stream gets every message

	// Owned by the worker.
	next    []uint32   // per publisher: what a stream that opens now expects first
	seqs    []sequence // stream × publishers + publisher; stream, where each has its own channel
	tally   tally
	foreign int64
	lag     *hdrhistogram.Histogram
	last    [][]int64 // per publisher, per message of the round: lag at this worker's last stream
	batch   int64     // deliveries not yet added to goal
}

func newDeliveries(g *goal, publishers int) *deliveries {
	return &deliveries{
		goal: g, publishers: publishers, next: make([]uint32, publishers),
		lag: newHistogram(), last: make([][]int64, publishers),
	}
}

// Opened implements eventHandler.
func (d *deliveries) Opened(stream int, _ []byte) {
	if d.own != nil {
		for len(d.seqs) <= stream {
			channel, n := d.own.publisher(len(d.seqs))
			d.seqs = append(d.seqs, startSequence(n.before(channel, d.next[n.first])))
		}
		return
	}
	for len(d.seqs) < (stream+1)*d.publishers {
		d.seqs = append(d.seqs, startSequence(d.next[len(d.seqs)%d.publishers]))
	}
}

// Event implements eventHandler.
func (d *deliveries) Event(stream int, data []byte, now int64) {
	if len(data) <= len(`{}`) {
		return
	}
	m, ok := parsePayload(data)
	if !ok || m.publisher >= d.publishers {
		d.foreign++
		return
	}
	fresh, meant := d.arrive(stream, m)
	if !meant {
		d.foreign++
	}
	if !fresh {
		return
	}
	d.batch++
	recordMicros(d.lag, now-m.sent)
	// Why: now never falls within a worker, so the value that stays is the lag
	// at the last stream, without counting arrivals per message.
	i := int(m.seq) - int(d.next[m.publisher])
	if i < 0 {
		return
	}
	for len(d.last[m.publisher]) <= i {
		d.last[m.publisher] = append(d.last[m.publisher], 0)
	}
	d.last[m.publisher][i] = now - m.sent
}

// arrive counts a message, and reports whether it is the first of its number,
// and meant for that stream at all.
func (d *deliveries) arrive(stream int, m message) (fresh, meant bool) {
	if d.own == nil {
		return d.seqs[stream*d.publishers+m.publisher].arrive(m.seq, &d.tally), true
	}
	channel, n := d.own.publisher(stream)
	if n.first != m.publisher || n.channel(m.seq) != channel {
		return false, false
	}
	return d.seqs[stream].arrive(n.turn(m.seq), &d.tally), true
}

// Flush implements eventHandler.
func (d *deliveries) Flush() {
	if d.batch > 0 {
		d.goal.add(d.batch)
		d.batch = 0
	}
}

// begin starts a round at the given numbers sent so far. On the worker only.
func (d *deliveries) begin(sent []uint32) {
	copy(d.next, sent)
	d.tally, d.foreign = tally{}, 0
	d.lag.Reset()
	for p := range d.last {
		d.last[p] = d.last[p][:0]
	}
}

// settle counts what did not arrive of the numbers sent. On the worker only.
func (d *deliveries) settle(sent []uint32) {
	for i := range d.seqs {
		if d.own == nil {
			d.seqs[i].settle(sent[i%d.publishers], &d.tally)
			continue
		}
		channel, n := d.own.publisher(i)
		d.seqs[i].settle(n.before(channel, sent[n.first]), &d.tally)
	}
}

// arrivals is what one round brought, over all workers.
type arrivals struct {
	tally   tally
	foreign int64
	lag     *hdrhistogram.Histogram // of every delivery
	worst   [][]int64               // per publisher, per message: lag at the last stream of all
}

func newArrivals(publishers int) *arrivals {
	return &arrivals{lag: newHistogram(), worst: make([][]int64, publishers)}
}

// take adds one worker's part. On that worker only, one worker at a time.
func (a *arrivals) take(d *deliveries) {
	a.tally.add(d.tally)
	a.foreign += d.foreign
	a.lag.Merge(d.lag)
	for p, lags := range d.last {
		for i, lag := range lags {
			if i == len(a.worst[p]) {
				a.worst[p] = append(a.worst[p], 0)
			}
			a.worst[p][i] = max(a.worst[p][i], lag)
		}
	}
}

// lastStream returns the lags of each message's last stream.
func (a *arrivals) lastStream() *hdrhistogram.Histogram {
	h := newHistogram()
	for _, lags := range a.worst {
		for _, lag := range lags {
			recordMicros(h, lag)
		}
	}
	return h
}
