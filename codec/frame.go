package codec

import (
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec/coding"
)

// Frame is the immutable bytes of one push as an SSE event, in every form that
// a stream may need. It is made once and then shared by all streams; nothing
// may write to the slices it returns.
//
// In every form the data lines come first, and behind them the id line if there is
// one. An event is what it is only once its blank line is there, so the order makes
// no difference (WHATWG HTML section 9.2.6), but there are clients that take an id
// as soon as they have read its line: a connection that breaks behind it would make
// them resume behind an event that they never saw.
type Frame struct {
	shape
	// Atomic.
	kept    atomic.Uint64              // by how many queues, and in the lower half how many bytes: see Keep
	codings atomic.Pointer[codedForms] // nil until a coded stream needs them
}

// shape is the bytes of an event in both framings. The chunk with the data lines, which
// are buf[lo:hi], is buf[start:mid]. What ends the event stands behind it: the chunk of an
// id line and a blank line, which are buf[idLo:idHi], or of the blank line alone. If closed
// the data lines have the blank line themselves, and mid is len(buf).
type shape struct {
	buf                            []byte
	start, mid, lo, hi, idLo, idHi int32
}

const (
	dataField = "data: "
	idField   = "id: "
	// maxFrameID bounds the id of a shared frame: one channel's cursor.
	maxFrameID = 48
	blankChunk = "1\r\n\n\r\n"
	// frameTail is the most that EndFrame puts behind a push: the ends of its line
	// and chunk, and the chunk of the id, whose size line is of two digits.
	frameTail = len("\n\r\n") + len("36\r\n") + len(idField) + maxFrameID + len("\n\n\r\n")
)

// StartFrame returns a buffer to append one push (one line of JSON) to, with
// room for about size bytes of it. The result goes to [EndFrame] or
// [EndOpenFrame].
func StartFrame(size int) []byte {
	buf := make([]byte, maxChunkHead, maxChunkHead+len(dataField)+size+frameTail)
	return append(buf, dataField...)
}

// EndFrame makes the frame of a push that was appended to a buffer of
// [StartFrame]. A non-empty id becomes the event's id line; it must be ASCII
// without control bytes and at most 48 bytes long. Without one the frame is
// closed: no stream can send it with an id. buf must not be used afterwards.
func EndFrame(buf []byte, id string) *Frame {
	if id == "" {
		return dataChunk(buf, "\n\n")
	}
	if !validFrameID(id) {
		panic("BUG: codec: frame id is not at most 48 bytes of printable ASCII: " + strconv.Quote(id))
	}
	f := dataChunk(buf, "\n")
	buf = strconv.AppendUint(f.buf, uint64(len(idField)+len(id)+len("\n\n")), 16)
	buf = append(buf, "\r\n"...)
	f.idLo = int32(len(buf))
	buf = append(append(append(buf, idField...), id...), "\n\n"...)
	f.idHi = int32(len(buf))
	f.buf = append(buf, "\r\n"...)
	return f
}

// EndOpenFrame is [EndFrame] for a push that has no id for all streams, but may be
// sent with one of a stream's own.
func EndOpenFrame(buf []byte) *Frame {
	f := dataChunk(buf, "\n")
	f.buf = append(f.buf, blankChunk...)
	return f
}

// dataChunk makes the frame of a chunk that ends with tail.
func dataChunk(buf []byte, tail string) *Frame {
	return &Frame{shape: chunkShape(append(buf, tail...))}
}

// chunkShape makes one chunk of what stands in buf behind room for its size line.
func chunkShape(buf []byte) shape {
	hi := len(buf)
	buf = append(buf, "\r\n"...)
	start := putChunkHead(buf, maxChunkHead, hi-maxChunkHead)
	return shape{buf: buf, start: int32(start), mid: int32(len(buf)), lo: maxChunkHead, hi: int32(hi)}
}

func validFrameID(id string) bool {
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return false
		}
	}
	return len(id) <= maxFrameID
}

// RawFrame wraps bytes that one stream gets exactly as they are: a response
// head with the first events behind it, a terminator. b is not copied.
func RawFrame(b []byte) *Frame {
	return &Frame{shape: shape{buf: b, mid: int32(len(b)), hi: int32(len(b))}}
}

// raw reports whether the frame is one of [RawFrame].
func (f *Frame) raw() bool { return f.lo == 0 }

// StartText returns a buffer to append a piece of an event to, with room for size
// bytes of it. The result goes to [EndText].
func StartText(size int) []byte {
	return make([]byte, maxChunkHead, maxChunkHead+size+len("\r\n"))
}

// EndText makes the frame of a piece of an event, which is not empty: what was
// appended to a buffer of [StartText], and nothing around it. buf must not be used
// afterwards.
func EndText(buf []byte) *Frame { return dataChunk(buf, "") }

// Len is what the frame counts for in byte limits: the longest form.
func (f *Frame) Len() int { return len(f.buf) - int(f.start) }

// size is what the frame has in memory by now, coded forms included.
func (f *Frame) size() int {
	n := f.Len()
	if all := f.codings.Load(); all != nil {
		for i := range all.of {
			if c := all.of[i].Load(); c != nil {
				n += len(c.event.buf) + len(c.bare.event.buf) + len(c.withID.event.buf)
			}
			if s := all.stored[i].Load(); s != nil {
				n += len(s.buf)
			}
		}
		for r := all.referred.Load(); r != nil; r = r.next {
			n += len(r.event.buf)
		}
	}
	return n
}

// keptOne is one queue in Frame.kept.
const keptOne = 1 << 32

// Keep notes that one more queue holds on to the frame, and reports whether it
// is the first, and how many bytes count then, once for all queues of the process.
// Every Keep is followed by one [Frame.Unkeep]. Any goroutine.
func (f *Frame) Keep() (first bool, bytes int) {
	for {
		old := f.kept.Load()
		now := old
		if first = old < keptOne; first {
			bytes = f.size()
			now = uint64(bytes)
		}
		if f.kept.CompareAndSwap(old, now+keptOne) {
			return first, bytes
		}
		bytes = 0
	}
}

// Unkeep undoes a Keep, and reports whether it was the last, and how many bytes count no
// more. Any goroutine.
func (f *Frame) Unkeep() (last bool, bytes int) {
	kept := f.kept.Add(^uint64(keptOne - 1))
	if last = kept < keptOne; last {
		bytes = int(kept)
	}
	return last, bytes
}

// Kept returns how many queues hold on to the frame. Any goroutine.
func (f *Frame) Kept() int { return int(f.kept.Load() / keptOne) }

// HasID reports whether the frame brings an id line of its own.
func (s *shape) HasID() bool { return s.idLo != s.idHi }

// open reports whether the data lines can be had without the end of the event.
func (s *shape) open() bool { return int(s.mid) != len(s.buf) }

// blanks are the ends of events without an id, by framing.
type blanks [2][]byte

var plainBlanks = blanks{FramingChunked: []byte(blankChunk), FramingClose: []byte("\n")}

// Event returns the event as a body of the framing has it, with the frame's own id
// line if there is one and withID is set: its data lines, and what comes behind
// them unless it is part of the first piece.
func (f *Frame) Event(fr Framing, withID bool) (lines, end []byte) {
	return f.event(fr, withID, &plainBlanks)
}

func (s *shape) event(fr Framing, withID bool, blank *blanks) (lines, end []byte) {
	if fr == FramingChunked {
		if withID || !s.HasID() {
			return s.buf[s.start:], nil
		}
		return s.buf[s.start:s.mid], blank[FramingChunked]
	}
	switch lines = s.buf[s.lo:s.hi]; {
	case !s.open():
		return lines, nil
	case withID && s.HasID():
		return lines, s.buf[s.idLo:s.idHi]
	}
	return lines, blank[FramingClose]
}

// Lines returns the data lines as a body of the framing has them, without the end
// of the event: [AppendEventEnd] makes one. Of a closed frame they can be had plain
// only.
func (f *Frame) Lines(fr Framing) []byte {
	if fr == FramingClose && !f.open() {
		return f.buf[f.lo : f.hi-1]
	}
	return f.lines(fr)
}

func (s *shape) lines(fr Framing) []byte {
	switch {
	case !s.open():
		panic("BUG: codec: a closed frame has no place for an id: make it with EndOpenFrame")
	case fr == FramingChunked:
		return s.buf[s.start:s.mid]
	}
	return s.buf[s.lo:s.hi]
}

var frameSeed = maphash.MakeSeed()

// Sum is a checksum over all bytes of the frame, for tests that prove nobody
// wrote to it. It differs from process to process.
func (f *Frame) Sum() uint64 { return maphash.Bytes(frameSeed, f.buf) }

// CodedSum is Sum of the forms for streams of a coding, 0 while there is none; with
// CodingDcz, of those with dictionaries.
func (f *Frame) CodedSum(c Coding) uint64 {
	if c == CodingDcz {
		return f.sumWith()
	}
	made := f.codedAs(c)
	if made == nil {
		return 0
	}
	sum := uint64(1)
	for _, form := range [][]byte{made.event.buf, made.bare.event.buf, made.withID.event.buf} {
		sum = sum*31 + maphash.Bytes(frameSeed, form)
	}
	return sum
}

// PubFrame makes the frame of a publication; of one with a Room the first of its
// channel is made there.
func PubFrame(channel string, p *Publication, id string) *Frame {
	return EndFrame(startPub(channel, p), id)
}

// OpenPubFrame is [PubFrame] for a publication that streams may be sent with ids of
// their own only.
func OpenPubFrame(channel string, p *Publication) *Frame { return EndOpenFrame(startPub(channel, p)) }

func startPub(channel string, p *Publication) []byte {
	if buf, ok := p.Room.take(channel, p); ok {
		return appendPubTail(buf, p)
	}
	return AppendPub(StartFrame(pubRoom(channel, p)), channel, p)
}

// Room for the names and numbers in a pub push.
const (
	pubOverhead = 64  // around a payload: channel, data, offset
	pubExtra    = 128 // the other members, without what is in them
	tagOverhead = 6   // the punctuation of one tag
)

// pubRoom returns at least the length of the push of p if nothing in it needs
// escaping. Why: growing would copy the payload; BenchmarkPubFrame.
func pubRoom(channel string, p *Publication) int {
	n := pubOverhead + len(channel) + p.Size() + tagOverhead*len(p.Tags)
	if p.Info != nil || len(p.Tags) > 0 || p.Offset == 1 || p.Version != 0 {
		n += pubExtra + len(p.Epoch)
	}
	return n
}

// DisconnectFrame makes the frame of a disconnect push.
func DisconnectFrame(d *Disconnect) *Frame {
	return EndFrame(AppendDisconnect(StartFrame(len(d.Reason)+48), d), "")
}

// EventEndOverhead is the most that [AppendCodedEnd] adds to the text of an id.
const EventEndOverhead = maxChunkHead + coding.EndOverhead + len(idField) + len("\n\n\r\n")

// AppendEventEnd appends the end of an event as a piece of a body in the framing:
// the id line, if id is not empty, and the blank line. The data lines are in the
// piece before. id must be ASCII without control bytes.
func AppendEventEnd(dst []byte, f Framing, id []byte) []byte {
	if f == FramingChunked {
		dst = strconv.AppendUint(dst, uint64(eventEnd(id)), 16)
		dst = append(dst, "\r\n"...)
	}
	if len(id) > 0 {
		dst = append(append(append(dst, idField...), id...), '\n')
	}
	dst = append(dst, '\n')
	if f == FramingChunked {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// eventEnd is the length of the end of an event with an id.
func eventEnd(id []byte) int {
	if len(id) == 0 {
		return len("\n")
	}
	return len(idField) + len(id) + len("\n\n")
}

// MissedFrames makes the frames of publications of one channel that a client missed, as
// events of their own, each with the channel's cursor as its id. With deltas, each after
// the first is the difference to the one before.
func MissedFrames(channel, epoch string, pubs []*Publication, deltas bool) []*Frame {
	frames := make([]*Frame, len(pubs))
	var work deltaWork
	e := CursorEntry{Channel: Tag32(channel), Epoch: Tag32(epoch)}
	for i, p := range pubs {
		e.Offset = p.Offset
		id := string(AppendCursorEntry(nil, e))
		if !deltas {
			frames[i] = PubFrame(channel, p, id)
			continue
		}
		delta := ""
		if i > 0 {
			delta = work.delta(pubs[i-1].Data, p.Data)
		}
		frames[i] = EndFrame(AppendDeltaPub(StartFrame(pubRoom(channel, p)), channel, p, delta), id)
	}
	return frames
}

// CommentFrame makes the frame of a block that says nothing: a line that clients skip.
func CommentFrame() *Frame { return blockFrame(":\n\n") }

// IDFrame makes the frame of a block that moves the last event id of its readers, and is
// no event to them. id is as for [EndFrame].
func IDFrame(id string) *Frame {
	if id == "" || !validFrameID(id) {
		panic("BUG: codec: frame id is not at most 48 bytes of printable ASCII: " + strconv.Quote(id))
	}
	return blockFrame(idField + id + "\n\n")
}

// RetryFrame makes the frame of a block that says how long to wait before coming back.
func RetryFrame(wait time.Duration) *Frame {
	return blockFrame(string(append(AppendRetry(nil, wait), '\n')))
}

func blockFrame(text string) *Frame { return EndText(append(StartText(len(text)), text...)) }

// A frame for once is a raw one that one stream gets and nobody else, in memory that the
// next one gets when it is written. Why: the frames that streams begin with are the largest
// part of what a storm of connects allocates.

var onces = sync.Pool{New: func() any { return new(Frame) }}

// onceMost is how large the memory is at most that is kept.
const onceMost = 2 << 10

// TakeOnce returns a frame for once, and an empty buffer with room for size bytes. What is
// appended to it goes to Fill.
func TakeOnce(size int) (f *Frame, buf []byte) {
	f = onces.Get().(*Frame)
	return f, slices.Grow(f.buf[:0], size)
}

// Fill makes the frame what [RawFrame] makes of b.
func (f *Frame) Fill(b []byte) { f.shape = shape{buf: b, mid: int32(len(b)), hi: int32(len(b))} }

// FreeOnce gives the memory of a frame for once to the next one. Nobody may have the frame, or
// any of its bytes, from here on.
func (f *Frame) FreeOnce() {
	b := f.buf[:0]
	if cap(b) > onceMost {
		b = nil
	}
	f.Fill(b)
	onces.Put(f)
}
