package redis

import (
	"slices"

	"sluice/codec"
	"sluice/gateway/broker"
)

// message is what came in a channel, decoded.
type message struct {
	kind messageKind
	// pub is nil for a publication that cannot be shown, whose place counts all the same.
	pub, prev *codec.Publication
	info      *codec.ClientInfo
	at        broker.Position // of a publication with history, else zero
	sum       uint64          // of its stored bytes
	size      int             // for credit
}

type messageKind uint8

const (
	messagePublication messageKind = iota
	messageJoin
	messageLeave
)

// proof says what is known of the history at a place, beyond that it was there.
type proof uint8

const (
	proofNone  proof = iota // nothing
	proofSum                // the sum of the publication there
	proofEmpty              // no publication was kept there
)

// phase is where a place stands with its comparison.
type phase uint8

const (
	phaseLive    phase = iota // messages pass, unless a loss came since it was compared
	phaseQueued               // to be compared
	phaseReading              // its history is being read
	phaseReplay               // what was read, and then what was held, goes into the Sink
)

// place is what the engine knows of a subscribed channel. All fields but name and slot are
// guarded by the follower's mu.
type place struct {
	channel string
	slot    int
	// at is the place of the last publication that entered the Sink, or of the
	// first read since the channel was subscribed; known says that there is one.
	at    broker.Position
	sum   uint64
	proof proof
	known bool
	// read says that at is of a read: what was published before it may still come.
	read bool
	// repeats says up to which offset live messages may repeat a replay; 0: none.
	repeats uint64
	// span is that of the reader in which it was compared last, or became known; nil: in none.
	span *span
	// asked is how far reads had seen the history when the one that it is compared with
	// was asked for.
	asked uint64
	// marks are ends of the history that reads found ahead of at, lowest first: what comes
	// must be what they saw. dim is the furthest one that there was no room for, 0: none.
	marks []mark
	dim   uint64
	// other are marks of another epoch than that of at, nil for none: a read saw an epoch of
	// which nothing has come yet.
	other  *otherEpoch
	phase  phase
	gone   bool // unsubscribed
	caught bool // counts in the follower's catching
	hold   *hold
	// refused is how often in a row its comparison was refused.
	refused int
}

// mark is a publication that a read found at the end of a history.
type mark struct{ offset, sum uint64 }

// otherEpoch is what reads found of an epoch that the place is not in, lowest first.
type otherEpoch struct {
	epoch string
	marks []mark
}

// marksMost bounds the marks of a place. More are there only while it lags behind, one for
// each end at which connects found it; beyond them its subscribers are told that they lost
// their place.
const marksMost = 256

// verdict is what becomes of a message.
type verdict uint8

const (
	pass   verdict = iota
	repeat         // drop it, it was delivered before
	doubt          // something is missing, or went back: compare
)

// judge says what becomes of a live message where nothing is to be compared.
func (p *place) judge(m *message) verdict {
	switch {
	case m.at.Offset == 0 || !p.known:
		return pass
	case m.at.Epoch != p.at.Epoch:
		if o := p.other; o != nil && o.epoch == m.at.Epoch && clashes(o.marks, m) {
			return doubt
		}
		return pass
	case m.at.Offset == p.at.Offset+1:
		if p.clashes(m) {
			return doubt
		}
		return pass
	case m.at.Offset > p.at.Offset:
		return doubt
	case m.at.Offset <= p.repeats || m.at.Offset == p.at.Offset && p.proof == proofSum && m.sum == p.sum:
		return repeat
	case p.read:
		return pass // published before the read that made the place: who has it drops it
	}
	return doubt
}

// moved takes the place of a publication that entered the Sink.
func (p *place) moved(m *message) {
	if m.at.Offset == 0 {
		return
	}
	if m.at.Offset > p.repeats || m.at.Epoch != p.at.Epoch {
		p.repeats = 0
	}
	if m.at.Epoch != p.at.Epoch {
		p.enter(m.at.Epoch)
	}
	for len(p.marks) > 0 && p.marks[0].offset <= m.at.Offset {
		if p.marks = p.marks[1:]; len(p.marks) == 0 {
			p.marks = nil
		}
	}
	if p.dim <= m.at.Offset {
		p.dim = 0
	}
	if p.known && m.at.Epoch == p.at.Epoch && m.at.Offset < p.at.Offset { // published before the read that made the place
		p.saw(tip{p.at, p.proof, p.sum})
	}
	p.at, p.sum, p.proof = m.at, m.sum, proofSum
	p.known, p.read = true, false
}

// enter takes another epoch, with what reads found of it.
func (p *place) enter(epoch string) {
	p.marks, p.dim = nil, 0
	if o := p.other; o != nil && o.epoch == epoch {
		p.marks = o.marks
	}
	p.other = nil
}

// clashes reports whether a read saw another publication there: it was lost since, and
// its offset given again.
func (p *place) clashes(m *message) bool { return clashes(p.marks, m) }

func clashes(marks []mark, m *message) bool {
	for i := range marks {
		if marks[i].offset >= m.at.Offset {
			return marks[i].offset == m.at.Offset && marks[i].sum != m.sum
		}
	}
	return false
}

// furthest is how far reads have seen the history.
func (p *place) furthest() uint64 {
	if len(p.marks) == 0 {
		return p.dim
	}
	return max(p.dim, p.marks[len(p.marks)-1].offset)
}

// saw takes the end of the history that a read found ahead of the place, or in another epoch.
func (p *place) saw(t tip) {
	if t.proof != proofSum {
		return
	}
	m := mark{t.top.Offset, t.sum}
	if t.top.Epoch == p.at.Epoch {
		if !insertMark(&p.marks, m) {
			p.dim = max(p.dim, t.top.Offset)
		}
		return
	}
	if p.other == nil || p.other.epoch != t.top.Epoch {
		p.other = &otherEpoch{epoch: t.top.Epoch}
	}
	if last := marksMost - 1; !insertMark(&p.other.marks, m) && p.other.marks[last].offset < m.offset {
		p.other.marks[last] = m // the furthest says the most
	}
}

// insertMark puts a mark in its place, unless there is one of its offset; false if there is no room.
func insertMark(marks *[]mark, m mark) bool {
	i := 0
	for i < len(*marks) && (*marks)[i].offset < m.offset {
		i++
	}
	switch {
	case i < len(*marks) && (*marks)[i].offset == m.offset:
	case len(*marks) == marksMost:
		return false
	default:
		*marks = slices.Insert(*marks, i, m)
	}
	return true
}

// stand takes a place that was read, or renewed; without an epoch it is none.
func (p *place) stand(at broker.Position, how proof, sum uint64) {
	if at.Epoch == "" { // an offset alone would be compared
		at = broker.Position{}
	}
	p.at, p.proof, p.sum = at, how, sum
	p.known, p.read, p.repeats = at.Epoch != "", true, 0
	p.enter(at.Epoch)
	for len(p.marks) > 0 && p.marks[0].offset <= at.Offset {
		p.marks = p.marks[1:]
	}
}

// read is what a comparison read: the publications from the place on, in order, as
// far as they were read.
type read struct {
	top  broker.Position // Epoch "" if the channel has no history
	list []message
	err  error
}

// finding is what a comparison found out.
type finding uint8

const (
	findNothing finding = iota // all that is known was delivered
	findMore                   // the messages behind skip follow
	findLost                   // publications are missing for good, or it is another history
	findBack                   // the history went back
)

// weigh compares a place with what was read from it on, itself included: at least one more
// publication if there is one. The messages to deliver are those from skip on.
func (p *place) weigh(r *read) (f finding, skip int) {
	switch {
	case r.top.Epoch != p.at.Epoch || p.dim != 0:
		return findLost, 0
	case r.top.Offset < max(p.at.Offset, p.asked):
		return findBack, 0
	}
	if len(r.list) > 0 && r.list[0].at.Offset == p.at.Offset {
		if p.proof == proofEmpty || p.proof == proofSum && p.sum != r.list[0].sum {
			return findBack, 0
		}
		skip = 1
	}
	if r.top.Offset == p.at.Offset {
		return findNothing, 0
	}
	if skip == len(r.list) || r.list[skip].at.Offset != p.at.Offset+1 {
		return findLost, 0
	}
	return findMore, skip
}
