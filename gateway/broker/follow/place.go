package follow

import (
	"hash/maphash"
	"slices"

	"sluice/codec"
	"sluice/gateway/broker"
)

// Message is what came in a channel, decoded.
type Message struct {
	Kind MessageKind
	// Pub is nil for a publication that cannot be shown, whose place counts all the same.
	Pub, Prev *codec.Publication
	Info      *codec.ClientInfo
	At        broker.Position // of a publication with history, else zero
	// Ref is where the engine keeps the publication, which the follower hands back in a Want; 0: unknown.
	Ref  uint64
	Sum  uint64 // of its stored bytes
	Size int    // for credit
}

type MessageKind uint8

const (
	KindPublication MessageKind = iota
	KindJoin
	KindLeave
)

// Proof says what is known of the history at a place, beyond that it was there.
type Proof uint8

const (
	ProofNone  Proof = iota // nothing
	ProofSum                // the sum of the publication there
	ProofEmpty              // no publication was kept there
)

// phase is where a place stands with its comparison.
type phase uint8

const (
	phaseLive    phase = iota // messages pass, unless a loss came since it was compared
	phaseQueued               // to be compared
	phaseReading              // its history is being read
	phaseReplay               // what was read, and then what was held, goes into the Sink
)

// Place is what a follower knows of a subscribed channel. All fields but name and slot are
// guarded by the follower's mu.
type Place struct {
	channel string
	slot    int
	// at is the place of the last publication that entered the Sink, or of the
	// first read since the channel was subscribed; known says that there is one.
	at    broker.Position
	ref   uint64 // where the engine keeps it, 0: unknown
	sum   uint64
	proof Proof
	known bool
	// read says that at is of a read: what was published before it may still come.
	read bool
	// repeats says up to which offset live messages may repeat a replay; 0: none.
	repeats uint64
	// span is that of the reader in which it was compared last, or became known; nil: in none.
	span *Span
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
	// last is the last publication, once one asked for a delta; see Follower.KeepPrevious.
	last *codec.Publication
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
func (p *Place) judge(m *Message) verdict {
	switch {
	case m.At.Offset == 0 || !p.known:
		return pass
	case m.At.Epoch != p.at.Epoch:
		if o := p.other; o != nil && o.epoch == m.At.Epoch && clashes(o.marks, m) {
			return doubt
		}
		return pass
	case m.At.Offset == p.at.Offset+1:
		if p.clashes(m) {
			return doubt
		}
		return pass
	case m.At.Offset > p.at.Offset:
		return doubt
	case m.At.Offset <= p.repeats || m.At.Offset == p.at.Offset && p.proof == ProofSum && m.Sum == p.sum:
		return repeat
	case p.read:
		return pass // published before the read that made the place: who has it drops it
	}
	return doubt
}

// moved takes the place of a publication that entered the Sink.
func (p *Place) moved(m *Message) {
	if m.At.Offset == 0 {
		return
	}
	if m.At.Offset > p.repeats || m.At.Epoch != p.at.Epoch {
		p.repeats = 0
	}
	if m.At.Epoch != p.at.Epoch {
		p.enter(m.At.Epoch)
	}
	for len(p.marks) > 0 && p.marks[0].offset <= m.At.Offset {
		if p.marks = p.marks[1:]; len(p.marks) == 0 {
			p.marks = nil
		}
	}
	if p.dim <= m.At.Offset {
		p.dim = 0
	}
	if p.known && m.At.Epoch == p.at.Epoch && m.At.Offset < p.at.Offset { // published before the read that made the place
		p.saw(Tip{p.at, p.ref, p.proof, p.sum})
	}
	p.at, p.ref, p.sum, p.proof = m.At, m.Ref, m.Sum, ProofSum
	p.known, p.read = true, false
}

// previous takes a publication that is delivered, and returns the one before it if it asks for a delta and
// that one is known.
func (p *Place) previous(now *codec.Publication) (prev *codec.Publication) {
	if last := p.last; last != nil && now.Delta && last.Epoch == now.Epoch && last.Offset+1 == now.Offset {
		prev = last
	}
	if p.last != nil || now.Delta {
		p.last = now
	}
	return prev
}

// enter takes another epoch, with what reads found of it.
func (p *Place) enter(epoch string) {
	p.marks, p.dim = nil, 0
	if o := p.other; o != nil && o.epoch == epoch {
		p.marks = o.marks
	}
	p.other = nil
}

// clashes reports whether a read saw another publication there: it was lost since, and
// its offset given again.
func (p *Place) clashes(m *Message) bool { return clashes(p.marks, m) }

func clashes(marks []mark, m *Message) bool {
	for i := range marks {
		if marks[i].offset >= m.At.Offset {
			return marks[i].offset == m.At.Offset && marks[i].sum != m.Sum
		}
	}
	return false
}

// furthest is how far reads have seen the history.
func (p *Place) furthest() uint64 {
	if len(p.marks) == 0 {
		return p.dim
	}
	return max(p.dim, p.marks[len(p.marks)-1].offset)
}

// saw takes the end of the history that a read found ahead of the place, or in another epoch.
func (p *Place) saw(t Tip) {
	if t.Proof != ProofSum {
		return
	}
	m := mark{t.Top.Offset, t.Sum}
	if t.Top.Epoch == p.at.Epoch {
		if !insertMark(&p.marks, m) {
			p.dim = max(p.dim, t.Top.Offset)
		}
		return
	}
	if p.other == nil || p.other.epoch != t.Top.Epoch {
		p.other = &otherEpoch{epoch: t.Top.Epoch}
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
func (p *Place) stand(at broker.Position, ref uint64, how Proof, sum uint64) {
	if at.Epoch == "" { // an offset alone would be compared
		at, ref = broker.Position{}, 0
	}
	p.at, p.ref, p.proof, p.sum = at, ref, how, sum
	p.known, p.read, p.repeats = at.Epoch != "", true, 0
	p.enter(at.Epoch)
	for len(p.marks) > 0 && p.marks[0].offset <= at.Offset {
		p.marks = p.marks[1:]
	}
}

// Read is what a comparison Read: the publications from the place on, in order, as
// far as they were Read.
type Read struct {
	Top  broker.Position // Epoch "" if the channel has no history
	List []Message
	Err  error
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
func (p *Place) weigh(r *Read) (f finding, skip int) {
	switch {
	case r.Top.Epoch != p.at.Epoch || p.dim != 0:
		return findLost, 0
	case r.Top.Offset < max(p.at.Offset, p.asked):
		return findBack, 0
	}
	if len(r.List) > 0 && r.List[0].At.Offset == p.at.Offset {
		if p.proof == ProofEmpty || p.proof == ProofSum && p.sum != r.List[0].Sum {
			return findBack, 0
		}
		skip = 1
	}
	if r.Top.Offset == p.at.Offset {
		return findNothing, 0
	}
	if skip == len(r.List) || r.List[skip].At.Offset != p.at.Offset+1 {
		return findLost, 0
	}
	return findMore, skip
}

var sumSeed = maphash.MakeSeed()

// Sum is what the bytes of a publication are recognised by, in this process.
func Sum(b []byte) uint64 { return maphash.Bytes(sumSeed, b) }
