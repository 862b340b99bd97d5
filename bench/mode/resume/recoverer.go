//go:build linux

package resume

import (
	"bytes"
	"cmp"
	"time"

	"sluice/bench/load"
)

// recoverer is the load.Handler of the recover mode's readers: every stream is
// to be told that it was recovered, and to get every message of the history,
// in the connect push or behind it. Pushes of megabytes are looked through as
// they come and not kept. It keeps the streams of one worker.
type recoverer struct {
	// Immutable after newRecoverer.
	messages int64
	again    time.Duration // when a stream comes back that was not told

	// Owned by the worker.
	streams []recoverStream
	count   recoverCount
	now     func() int64
}

// recoverStream is how far one stream is.
type recoverStream struct {
	carry     []byte // the last bytes of the piece before
	seq       load.Sequence
	got       int64
	pieces    bool // the event in hand comes in pieces
	opened    bool
	recovered bool
	done      bool // counted as complete or unrecovered
}

// recoverCount is what the streams of one worker or of all got.
type recoverCount struct {
	complete    int64
	unrecovered int64           // told that they cannot be recovered
	left        []time.Duration // by stream that ended before it had everything: when it comes back
	after       int64           // ended when they had everything
	inPush      int64           // messages in connect pushes
	tally       load.Tally
	foreign     int64
	lastAt      int64
	reasons     map[string]int64
}

func newRecoverCount() *recoverCount { return &recoverCount{reasons: map[string]int64{}} }

func (c *recoverCount) add(o *recoverCount) {
	c.complete += o.complete
	c.unrecovered += o.unrecovered
	c.left = append(c.left, o.left...)
	c.after += o.after
	c.inPush += o.inPush
	c.tally.Add(o.tally)
	c.foreign += o.foreign
	c.lastAt = max(c.lastAt, o.lastAt)
	for why, n := range o.reasons {
		c.reasons[why] += n
	}
}

func newRecoverer(messages int, again time.Duration) *recoverer {
	return &recoverer{messages: int64(messages), again: again, count: *newRecoverCount(), now: wallClock}
}

// carryBytes is one less than what a message is known by: a whole stamp never
// fits, and so is not seen twice.
const carryBytes = load.MinPayload - 1

var recoveredField = []byte(`"recovered":true`)

func (d *recoverer) stream(i int) *recoverStream {
	for len(d.streams) <= i {
		d.streams = append(d.streams, recoverStream{seq: load.StartSequence(0)})
	}
	return &d.streams[i]
}

// Piece implements load.pieceHandler.
func (d *recoverer) Piece(stream int, b []byte) {
	s := d.stream(stream)
	s.pieces = true
	d.look(s, b)
}

// look finds what matters in the next bytes of an event.
func (d *recoverer) look(s *recoverStream, b []byte) {
	before := len(s.carry)
	if before > 0 {
		s.carry = append(s.carry, b[:min(len(b), carryBytes)]...)
		d.find(s, s.carry, before)
	}
	d.find(s, b, len(b))
	switch over := len(s.carry) - carryBytes; {
	case len(b) >= carryBytes:
		s.carry = append(s.carry[:0], b[len(b)-carryBytes:]...)
	case before == 0:
		s.carry = append(s.carry, b...)
	case over > 0:
		s.carry = append(s.carry[:0], s.carry[over:]...)
	}
}

// find counts the messages of b that begin before limit.
func (d *recoverer) find(s *recoverStream, b []byte, limit int) {
	s.recovered = s.recovered || !s.opened && bytes.Contains(b, recoveredField)
	for from := 0; from < limit; {
		at := bytes.Index(b[from:], load.PayloadStart)
		if at < 0 || from+at >= limit {
			return
		}
		from += at
		m, ok := load.ParsePayload(b[from:min(len(b), from+load.MinPayload)])
		switch {
		case ok && m.Publisher == 0:
			if s.seq.Arrive(m.Seq, &d.count.tally) {
				s.got++
				if !s.opened {
					d.count.inPush++
				}
			}
			from += load.MinPayload
		case !ok && len(b)-from < load.MinPayload:
			return // cut off, and seen again with what follows
		default:
			d.count.foreign++
			from++
		}
	}
}

// Opened implements load.Handler.
func (d *recoverer) Opened(stream int, push []byte) {
	s := d.whole(stream, push)
	s.opened = true
	if !s.recovered {
		s.done = true
		d.count.unrecovered++
	}
	d.judge(s)
}

// Event implements load.Handler.
func (d *recoverer) Event(stream int, data []byte, _ int64) {
	if len(data) > len(`{}`) {
		d.judge(d.whole(stream, data))
	}
}

// whole takes the end of an event, which is known already if it came in pieces.
func (d *recoverer) whole(stream int, data []byte) *recoverStream {
	s := d.stream(stream)
	if !s.pieces {
		d.look(s, data)
	}
	s.pieces, s.carry = false, nil
	return s
}

// judge counts a stream that has everything.
func (d *recoverer) judge(s *recoverStream) {
	if !s.done && s.opened && s.recovered && s.got >= d.messages {
		s.done = true
		d.count.complete++
		d.count.lastAt = d.now()
	}
}

// Closed implements load.closeHandler.
func (d *recoverer) Closed(stream int, e load.Ending) bool {
	s := d.stream(stream)
	d.count.reasons[e.Why]++
	if s.done {
		d.count.after++
	} else {
		s.done = true
		d.count.left = append(d.count.left, cmp.Or(e.Retry, d.again))
	}
	s.carry = nil
	return true
}

// Flush implements load.Handler.
func (*recoverer) Flush() {}
