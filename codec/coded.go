package codec

import (
	"bytes"
	"sync/atomic"

	"sluice/codec/coding"
)

// codedForms are the forms of a frame on coded streams.
type codedForms struct {
	of       [2]atomic.Pointer[coded] // by coding, the first one being gzip
	stored   [2]atomic.Pointer[shape] // in place of a coded.event that was not made, by coding
	referred atomic.Pointer[referring]
}

// coded is what a frame is on streams of one coding. Of a raw frame it has the sum of the whole alone.
type coded struct {
	// event shares no context with others; empty if none was made, see coded.alone. The data
	// lines of an open frame are open in the sense of package coding too.
	event shape
	// bare and withID are the event in groups, without its id and with it, if it has one.
	bare, withID grouped
	silent       bool
	// lines and whole are, of gzip, the sums of the data lines, and of the event as the
	// frame has it.
	lines, whole coding.TextSum
}

// grouped is an event behind those of its group that were before it, if at is not 0.
type grouped struct {
	event       shape
	at, prev    uint64 // its token, and the one it must stand behind
	first, last bool   // of those that share a context
}

// in returns what the event is in groups of one kind.
func (c *coded) in(withID bool) *grouped {
	if withID {
		return &c.withID
	}
	return &c.bare
}

func (f *Frame) codedAs(c Coding) *coded {
	all := f.codings.Load()
	if all == nil {
		return nil
	}
	return all.of[c-1].Load()
}

// setCoded sets the form for a coding if there is none, and returns the one that there is.
func (f *Frame) setCoded(c Coding, made *coded) *coded {
	all := f.allForms()
	if c == CodingGzip && !f.raw() {
		lines := f.buf[f.lo:f.hi]
		made.lines, made.whole = coding.SumText(lines, nil), coding.SumText(lines, f.end())
	}
	all.of[c-1].CompareAndSwap(nil, made)
	return all.of[c-1].Load()
}

// allForms returns where the forms of the frame are kept.
func (f *Frame) allForms() *codedForms {
	if all := f.codings.Load(); all != nil {
		return all
	}
	f.codings.CompareAndSwap(nil, new(codedForms))
	return f.codings.Load()
}

// Code gives the frame its form for streams of the coding that share no context. One
// that has none when a loop sends it goes uncompressed, and stays so: code it before.
// Any goroutine but a loop's.
func (f *Frame) Code(c Coding) {
	if c != CodingIdentity && !f.raw() {
		f.code(c, true)
	}
}

// code returns the form of a frame that is not raw, and makes it if there is none.
func (f *Frame) code(c Coding, compress bool) *coded {
	if made := f.codedAs(c); made != nil {
		return made
	}
	return f.setCoded(c, &coded{event: f.codedShape(c, nil, compress && int(f.hi-f.lo) >= CodeMin)})
}

// alone returns the event as it goes where it shares no context. If there is no such form
// it is not compressed: for a loop's turn, too.
func (c *coded) alone(f *Frame, in Coding) *shape {
	if c.event.buf != nil {
		return &c.event
	}
	at := &f.allForms().stored[in-1]
	if at.Load() == nil {
		made := f.codedShape(in, nil, false)
		at.CompareAndSwap(nil, &made)
	}
	return at.Load()
}

// codedShape makes the form of an event that shares no context with others, but for a
// dictionary if there is one.
func (f *Frame) codedShape(c Coding, d *Dictionary, compress bool) shape {
	scratch := takeScratch()
	defer scratch.give()
	lines := f.buf[f.lo:f.hi]
	b := append(scratch.b, make([]byte, maxChunkHead)...)
	switch {
	case d != nil && f.open():
		b = d.AppendOpen(b, lines)
	case d != nil:
		b = d.AppendWhole(b, lines)
	case f.open():
		b = c.AppendOpen(b, lines, compress)
	default:
		b = c.AppendWhole(b, lines, compress)
	}
	s := chunkShape(b)
	switch {
	case f.HasID():
		s.buf = appendCodedEnd(s.buf, c, FramingChunked, f.buf[f.idLo:f.idHi])
		s.idHi = int32(len(s.buf) - len("\r\n"))
		s.idLo = s.idHi - int32(len(codedEnd(s.buf[s.mid:], FramingChunked)))
	case f.open():
		s.buf = append(s.buf, codedBlanks[c][FramingChunked]...)
	}
	scratch.b = s.buf
	s.buf = bytes.Clone(s.buf)
	return s
}

// end returns the text of what comes behind the data lines.
func (s *shape) end() []byte {
	switch {
	case s.HasID():
		return s.buf[s.idLo:s.idHi]
	case s.open():
		return plainBlanks[FramingClose]
	}
	return nil
}

// silence has coded streams be sent an empty block in place of the frame, which means
// nothing to clients and never has an id.
func (f *Frame) silence() *Frame {
	for _, c := range []Coding{CodingGzip, CodingZstd} {
		b := c.AppendEmpty(make([]byte, maxChunkHead), false)
		f.setCoded(c, &coded{silent: true, event: chunkShape(b)})
	}
	return f
}

// Group compresses the frames of a channel one behind the other, so that each may refer to
// those before it, up to [coding.ContextTexts] of them. A stream gets this form of a frame
// exactly if the one before it in the group was the last thing it was sent, or if it is
// the first one of those: see [Body]. It is owned by whoever makes it, and has about
// 8 KiB of memory for gzip and 0.5 MiB for zstd.
type Group struct {
	coding  Coding
	withID  bool
	context *coding.Context
	at      uint64 // token of the last frame
}

// groupTokens has the last token that a group took. Why 64: more than there are texts.
var groupTokens atomic.Uint64

const tokensOfGroup = 64

// NewGroup makes a Group of a coding that is not CodingIdentity: for streams that have the
// id lines that frames bring, or for those that have none.
func NewGroup(c Coding, withID bool) *Group {
	return &Group{coding: c, withID: withID, context: coding.NewContext(c)}
}

// Add gives the frame its form behind the one that was added before. Where streams are not
// where the group is, it goes as [Frame.Code] has made it before, or uncompressed. A frame is
// added to one Group of each kind, once, before it is given to any loop; a raw one is none of
// a group. Not for a loop's turn.
func (g *Group) Add(f *Frame) {
	if f.raw() {
		return
	}
	c := f.codedAs(g.coding)
	if c == nil {
		c = f.setCoded(g.coding, &coded{})
	}
	scratch := takeScratch()
	text := append(scratch.b, f.buf[f.lo:f.hi]...)
	if end := f.end(); g.withID || !f.HasID() {
		text = append(text, end...)
	} else {
		text = append(text, plainBlanks[FramingClose]...)
	}
	scratch.b = text
	b, first, last := g.context.Append(make([]byte, maxChunkHead, maxChunkHead+len(text)/2), text)
	scratch.give()
	in := c.in(g.withID)
	in.event, in.first, in.last = chunkShape(b), first, last
	in.prev = g.at
	if first {
		in.prev, g.at = 0, groupTokens.Add(tokensOfGroup)
	}
	g.at++
	in.at = g.at
}

// Close ends the group, whose memory others may use: nothing is added to it any more.
func (g *Group) Close() { g.context.Close() }

// CodedLen returns how many bytes the frame has in a coding, at most: where it shares no
// context, and in groups of one kind; 0 where there is no such form.
func (f *Frame) CodedLen(c Coding, withID bool) (alone, grouped int) {
	if c == CodingIdentity {
		return 0, 0
	}
	if made := f.codedAs(c); made != nil {
		return len(made.event.buf), len(made.in(withID).event.buf)
	}
	return 0, 0
}

// Part is what a coded body gets next.
type Part struct {
	Frame *Frame
	Own   []byte // the end of the event, of [AppendCodedEnd]; nil: as the frame has it
	// WithID keeps the frame's own id line, and Alone keeps it out of groups.
	WithID, Alone bool
}

// Body is what must be known of the body of a coded stream to go on with it.
type Body struct {
	coding     Coding
	framing    Framing
	token      uint64 // of the group's frame that was sent last, 0 for something else
	sum        coding.Sum
	dictionary *Dictionary // of a stream in dcz, whose coding is CodingZstd; nil for none
}

// NewBody returns the Body of a stream that was sent nothing yet.
func NewBody(c Coding, f Framing) Body { return Body{coding: c, framing: f} }

// Coding returns the coding of the body.
func (b *Body) Coding() Coding { return b.coding }

// Form is the bytes of a part, in three pieces that may be empty.
type Form struct {
	Leave, Lines, End []byte
	next              uint64
}

// Len is the length of all pieces.
func (f *Form) Len() int { return len(f.Leave) + len(f.Lines) + len(f.End) }

// Form returns the bytes of the next part. They stay the same until Sent, whatever else
// becomes of the frame meanwhile.
func (b *Body) Form(p *Part) (form Form) {
	f := p.Frame
	if f.raw() {
		form.Lines = f.buf
		if len(f.buf) == 0 {
			form.next = b.token
			return form
		}
		form.Leave = b.leave()
		return form
	}
	c, with := f.codedAs(b.coding), f.with(b.dictionary)
	if c == nil && with == nil {
		c = f.code(b.coding, false)
	}
	if c != nil && c.goesOn(b, p, &form) {
		return form
	}
	var event *shape
	if with != nil {
		event = &with.event
	} else {
		event = c.alone(f, b.coding)
	}
	form.Leave = b.leave()
	if p.Own != nil {
		form.Lines, form.End = event.lines(b.framing), p.Own
		return form
	}
	form.Lines, form.End = event.event(b.framing, p.WithID, &codedBlanks[b.coding])
	return form
}

// goesOn makes it the form of a part that keeps the context which the body has, or begins
// one; not for others.
func (c *coded) goesOn(b *Body, p *Part, form *Form) bool {
	if c.silent {
		form.next = b.token
		form.Lines, _ = c.event.event(b.framing, false, nil)
		if b.coding == CodingZstd && b.token != 0 {
			form.Lines = emptyOpen[b.framing]
		}
		return true
	}
	in := c.in(p.WithID)
	if in.at == 0 || p.Own != nil || p.Alone || !in.first && in.prev != b.token {
		return false
	}
	if in.first {
		form.Leave = b.leave()
	}
	if !in.last {
		form.next = in.at
	}
	form.Lines, _ = in.event.event(b.framing, false, nil)
	return true
}

// leave returns what must be sent before anything that does not go on with a group.
func (b *Body) leave() []byte {
	if b.token == 0 || b.coding != CodingZstd {
		return nil
	}
	return leaves[b.framing]
}

// Skip goes on as if the part were sent, for the forms of those behind it.
func (b *Body) Skip(f *Form) { b.token = f.next }

// Sent goes on behind a part of which every byte was sent.
func (b *Body) Sent(p *Part, form *Form) {
	b.token = form.next
	if b.coding != CodingGzip {
		return
	}
	f := p.Frame
	c := f.codedAs(CodingGzip)
	if c == nil || c.silent { // a raw frame of no text
		return
	}
	switch {
	case p.Own != nil:
		b.sum.Join(&c.lines)
		b.sum.AddEnd(codedEnd(p.Own, b.framing))
	case f.HasID() && !p.WithID:
		b.sum.Join(&c.lines)
		b.sum.Add(plainBlanks[FramingClose])
	default:
		b.sum.Join(&c.whole)
	}
}

// Tail returns the frame that ends a body of which all was sent, and the response.
func (b *Body) Tail() *Frame {
	tail := bytes.Clone(b.leave())
	b.token = 0 // what a raw frame follows is left before it
	return RawFrame(append(AppendChunk(tail, b.framing, b.coding.AppendTail(nil, b.sum)), b.framing.Terminator()...))
}
