//go:build linux

package open

import (
	"cmp"
	"slices"

	"sluice/bench/load"
)

// readers is the load.Handler of streams that read as fast as they can while an
// open loop publishes: every stream is to get every message that was
// acknowledged. Streams that the server ends are counted, and the others go on.
// It keeps the streams of one worker.
type readers struct {
	// Immutable after newReaders.
	goal       *load.Goal
	publishers int

	// Owned by the worker.
	next    []uint32        // per publisher: number of the turn's first message
	seqs    []load.Sequence // stream × publishers + publisher
	got     []int64         // by stream: messages of the turn
	reading []bool          // by stream: it is open
	open    int
	turn    readersTurn
	batch   int64 // deliveries not yet added to goal
}

// readersTurn is what the streams saw in one turn, of one worker or of all.
type readersTurn struct {
	tally   load.Tally // its lost counts refused messages too, and is not used
	foreign int64
	late    int64            // messages of an earlier turn
	closed  map[string]int64 // streams that the server ended, by its reason
	lastAt  int64            // wall clock of the last new message, ns
	count   [][]int64        // per publisher and message: streams that got it
	last    [][]int64        // per publisher and message: wall clock of the last of them
	gone    []int64          // by stream that was closed: the messages it got
}

func newReaders(g *load.Goal, publishers int) *readers {
	d := &readers{goal: g, publishers: publishers}
	d.begin(make([]uint32, publishers))
	return d
}

// Opened implements load.Handler.
func (d *readers) Opened(stream int, _ []byte) {
	d.grow(stream)
	d.reading[stream] = true
	d.open++
}

// grow makes room for a stream that expects the turn's messages.
func (d *readers) grow(stream int) {
	for len(d.got) <= stream {
		d.got, d.reading = append(d.got, 0), append(d.reading, false)
		for _, next := range d.next {
			d.seqs = append(d.seqs, load.StartSequence(next))
		}
	}
}

// Closed implements load.closeHandler: the run goes on, unless a stream could not be
// opened.
func (d *readers) Closed(stream int, e load.Ending) bool {
	if !e.Opened {
		return false
	}
	d.reading[stream] = false
	d.open--
	d.turn.closed[e.Why]++
	d.turn.gone = append(d.turn.gone, d.got[stream])
	return true
}

// Event implements load.Handler.
func (d *readers) Event(stream int, data []byte, now int64) {
	if len(data) <= len(`{}`) {
		return
	}
	m, ok := load.ParsePayload(data)
	if !ok || m.Publisher >= d.publishers {
		d.turn.foreign++
		return
	}
	if !d.seqs[stream*d.publishers+m.Publisher].Arrive(m.Seq, &d.turn.tally) {
		return
	}
	i := int(m.Seq) - int(d.next[m.Publisher])
	if i < 0 {
		d.turn.late++
		return
	}
	for len(d.turn.count[m.Publisher]) <= i {
		d.turn.count[m.Publisher] = append(d.turn.count[m.Publisher], 0)
		d.turn.last[m.Publisher] = append(d.turn.last[m.Publisher], 0)
	}
	d.turn.count[m.Publisher][i]++
	d.turn.last[m.Publisher][i] = now
	d.turn.lastAt = now
	d.got[stream]++
	d.batch++
}

// Flush implements load.Handler.
func (d *readers) Flush() {
	if d.batch > 0 {
		d.goal.Add(d.batch)
		d.batch = 0
	}
}

// begin starts a turn at the numbers sent so far. On the worker only.
func (d *readers) begin(sent []uint32) {
	d.next = sent
	d.turn = *newReadersTurn(d.publishers)
	clear(d.got)
	var old load.Tally // what was missing was counted in its own turn
	for i := range d.seqs {
		d.seqs[i].Settle(sent[i%d.publishers], &old)
	}
}

// missing is how many messages the open streams still lack if each is to have
// got n in this turn. On the worker only.
func (d *readers) missing(n int64) (sum int64) {
	for i, reading := range d.reading {
		if reading {
			sum += max(0, n-d.got[i])
		}
	}
	return sum
}

// newReadersTurn is an empty sum of what workers saw.
func newReadersTurn(publishers int) *readersTurn {
	return &readersTurn{closed: map[string]int64{}, count: make([][]int64, publishers), last: make([][]int64, publishers)}
}

// take adds one worker's part.
func (t *readersTurn) take(o *readersTurn) {
	t.tally.Add(o.tally)
	t.foreign += o.foreign
	t.late += o.late
	for why, n := range o.closed {
		t.closed[why] += n
	}
	t.lastAt = max(t.lastAt, o.lastAt)
	t.gone = append(t.gone, o.gone...)
	for p := range o.count {
		for i, n := range o.count[p] {
			if i == len(t.count[p]) {
				t.count[p], t.last[p] = append(t.count[p], 0), append(t.last[p], 0)
			}
			t.count[p][i] += n
			t.last[p][i] = max(t.last[p][i], o.last[p][i])
		}
	}
}

// closedStreams is how many streams the server ended.
func (t *readersTurn) closedStreams() (n int64) {
	for _, k := range t.closed {
		n += k
	}
	return n
}

// ghosts is how many deliveries there were of messages that were refused.
func (t *readersTurn) ghosts(p *load.Poured) (n int64) {
	for i, counts := range t.count {
		for k, c := range counts {
			if k >= len(p.Acked[i]) || p.Acked[i][k] == 0 {
				n += c
			}
		}
	}
	return n
}

// inFlight is the largest number of messages that were acknowledged and not yet
// with every stream that gets them, at any time of the turn.
func (t *readersTurn) inFlight(p *load.Poured) int {
	type change struct {
		at int64
		by int
	}
	var changes []change
	for i, times := range p.Acked {
		for k, at := range times {
			if at == 0 {
				continue
			}
			end := t.lastAt // nobody got it
			if k < len(t.last[i]) && t.last[i][k] != 0 {
				end = t.last[i][k]
			}
			if end > at {
				changes = append(changes, change{at, 1}, change{end, -1})
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	now, most := 0, 0
	for _, c := range changes {
		now += c.by
		most = max(most, now)
	}
	return most
}
