//go:build linux

package fanout

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"sluice/bench/figures"
	"sluice/bench/load"
)

// deliveries is the load.Handler of the modes that publish: every stream is to
// get every message, or every message on its own channel. It keeps lags and sequence numbers of one worker's streams.
type deliveries struct {
	// Immutable after newDeliveries.
	goal       *load.Goal
	publishers int
	own        *ownChannels // nil: every stream gets every message

	// Owned by the worker.
	next    []uint32        // per publisher: what a stream that opens now expects first
	seqs    []load.Sequence // stream × publishers + publisher; stream, where each has its own channel
	tally   load.Tally
	foreign int64
	lag     *hdrhistogram.Histogram
	last    [][]int64 // per publisher, per message of the round: lag at this worker's last stream
	batch   int64     // deliveries not yet added to goal
}

func newDeliveries(g *load.Goal, publishers int) *deliveries {
	return &deliveries{
		goal: g, publishers: publishers, next: make([]uint32, publishers),
		lag: figures.NewHistogram(), last: make([][]int64, publishers),
	}
}

// Opened implements load.Handler.
func (d *deliveries) Opened(stream int, _ []byte) {
	if d.own != nil {
		for len(d.seqs) <= stream {
			channel, n := d.own.publisher(len(d.seqs))
			d.seqs = append(d.seqs, load.StartSequence(n.Before(channel, d.next[n.First])))
		}
		return
	}
	for len(d.seqs) < (stream+1)*d.publishers {
		d.seqs = append(d.seqs, load.StartSequence(d.next[len(d.seqs)%d.publishers]))
	}
}

// Event implements load.Handler.
func (d *deliveries) Event(stream int, data []byte, now int64) {
	if len(data) <= len(`{}`) {
		return
	}
	m, ok := load.ParsePayload(data)
	if !ok || m.Publisher >= d.publishers {
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
	figures.RecordMicros(d.lag, now-m.Sent)
	// Why: now never falls within a worker, so the value that stays is the lag
	// at the last stream, without counting arrivals per message.
	i := int(m.Seq) - int(d.next[m.Publisher])
	if i < 0 {
		return
	}
	for len(d.last[m.Publisher]) <= i {
		d.last[m.Publisher] = append(d.last[m.Publisher], 0)
	}
	d.last[m.Publisher][i] = now - m.Sent
}

// arrive counts a message, and reports whether it is the first of its number,
// and meant for that stream at all.
func (d *deliveries) arrive(stream int, m load.Message) (fresh, meant bool) {
	if d.own == nil {
		return d.seqs[stream*d.publishers+m.Publisher].Arrive(m.Seq, &d.tally), true
	}
	channel, n := d.own.publisher(stream)
	if n.First != m.Publisher || n.Channel(m.Seq) != channel {
		return false, false
	}
	return d.seqs[stream].Arrive(n.Turn(m.Seq), &d.tally), true
}

// Flush implements load.Handler.
func (d *deliveries) Flush() {
	if d.batch > 0 {
		d.goal.Add(d.batch)
		d.batch = 0
	}
}

// begin starts a round at the given numbers sent so far. On the worker only.
func (d *deliveries) begin(sent []uint32) {
	copy(d.next, sent)
	d.tally, d.foreign = load.Tally{}, 0
	d.lag.Reset()
	for p := range d.last {
		d.last[p] = d.last[p][:0]
	}
}

// settle counts what did not arrive of the numbers sent. On the worker only.
func (d *deliveries) settle(sent []uint32) {
	for i := range d.seqs {
		if d.own == nil {
			d.seqs[i].Settle(sent[i%d.publishers], &d.tally)
			continue
		}
		channel, n := d.own.publisher(i)
		d.seqs[i].Settle(n.Before(channel, sent[n.First]), &d.tally)
	}
}

// arrivals is what one round brought, over all workers.
type arrivals struct {
	tally   load.Tally
	foreign int64
	lag     *hdrhistogram.Histogram // of every delivery
	worst   [][]int64               // per publisher, per message: lag at the last stream of all
}

func newArrivals(publishers int) *arrivals {
	return &arrivals{lag: figures.NewHistogram(), worst: make([][]int64, publishers)}
}

// take adds one worker's part. On that worker only, one worker at a time.
func (a *arrivals) take(d *deliveries) {
	a.tally.Add(d.tally)
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
	h := figures.NewHistogram()
	for _, lags := range a.worst {
		for _, lag := range lags {
			figures.RecordMicros(h, lag)
		}
	}
	return h
}
