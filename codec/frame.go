package codec

import (
	"hash/maphash"
	"strconv"
	"sync/atomic"
)

// Frame is the immutable bytes of one push as an SSE event, in every form that
// a stream may need. It is made once and then shared by all streams; nothing
// may write to the slices it returns.
type Frame struct {
	buf []byte
	// Where the chunks begin; idStart == dataStart without an id.
	idStart, dataStart int32
	// The plain bytes inside the chunks.
	idLo, idHi, dataLo, dataHi int32

	// Atomic.
	kept atomic.Int32 // see Keep
}

const (
	dataField = "data: "
	idField   = "id: "
	// maxFrameID bounds the id of a shared frame: one channel's cursor.
	maxFrameID = 48
	// frameRoom is what StartFrame leaves free before "data: ": an id chunk
	// and the size lines of both chunks.
	frameRoom = maxChunkHead + len(idField) + maxFrameID + 1 + 2 + maxChunkHead
	frameTail = "\n\n\r\n"
)

// StartFrame returns a buffer to append one push (one line of JSON) to, with
// room for about size bytes of it. The result goes to [EndFrame].
func StartFrame(size int) []byte {
	buf := make([]byte, frameRoom, frameRoom+len(dataField)+size+len(frameTail))
	return append(buf, dataField...)
}

// EndFrame makes the frame of a push that was appended to a buffer of
// [StartFrame]. A non-empty id becomes the event's id line; it must be ASCII
// without control bytes and at most 48 bytes long. buf must not be used
// afterwards.
func EndFrame(buf []byte, id string) *Frame {
	buf = append(buf, frameTail...)
	f := &Frame{buf: buf, dataLo: int32(frameRoom), dataHi: int32(len(buf) - 2)}
	start := putChunkHead(buf, frameRoom, int(f.dataHi-f.dataLo))
	f.dataStart, f.idStart = int32(start), int32(start)
	if id == "" {
		return f
	}
	if !validFrameID(id) {
		panic("BUG: codec: frame id is not at most 48 bytes of printable ASCII: " + strconv.Quote(id))
	}
	n := len(idField) + len(id) + 1
	lo := start - 2 - n
	copy(buf[lo:], idField)
	copy(buf[lo+len(idField):], id)
	copy(buf[start-3:], "\n\r\n")
	f.idLo, f.idHi = int32(lo), int32(lo+n)
	f.idStart = int32(putChunkHead(buf, lo, n))
	return f
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
	return &Frame{buf: b, dataHi: int32(len(b))}
}

// StartText returns a buffer to append a piece of an event to, with room for size
// bytes of it. The result goes to [EndText].
func StartText(size int) []byte {
	return make([]byte, maxChunkHead, maxChunkHead+size+len("\r\n"))
}

// EndText makes the frame of a piece of an event, which is not empty: what was
// appended to a buffer of [StartText], and nothing around it. buf must not be used
// afterwards.
func EndText(buf []byte) *Frame {
	n := len(buf) - maxChunkHead
	start := int32(putChunkHead(buf, maxChunkHead, n))
	buf = append(buf, "\r\n"...)
	return &Frame{buf: buf, idStart: start, dataStart: start, dataLo: maxChunkHead, dataHi: int32(maxChunkHead + n)}
}

// Len is what the frame counts for in byte limits: the longest form.
func (f *Frame) Len() int { return len(f.buf) - int(f.idStart) }

// Keep notes that one more queue holds on to the frame, and reports whether it
// is the first: its bytes are counted then, once for all queues of the process.
// Every Keep is followed by one [Frame.Unkeep]. Any goroutine.
func (f *Frame) Keep() (first bool) { return f.kept.Add(1) == 1 }

// Unkeep undoes a Keep, and reports whether it was the last. Any goroutine.
func (f *Frame) Unkeep() (last bool) { return f.kept.Add(-1) == 0 }

// Kept returns how many queues hold on to the frame. Any goroutine.
func (f *Frame) Kept() int { return int(f.kept.Load()) }

// HasID reports whether the frame brings an id line of its own.
func (f *Frame) HasID() bool { return f.idStart != f.dataStart }

// Chunked returns the frame for FramingChunked: with its id chunk if it has
// one and withID is set.
func (f *Frame) Chunked(withID bool) []byte {
	if withID {
		return f.buf[f.idStart:]
	}
	return f.buf[f.dataStart:]
}

// PlainID returns the id line for FramingClose, empty if there is none.
func (f *Frame) PlainID() []byte { return f.buf[f.idLo:f.idHi] }

// PlainData returns the data lines for FramingClose.
func (f *Frame) PlainData() []byte { return f.buf[f.dataLo:f.dataHi] }

// Event returns the event as plain bytes, id line and data lines, appended to
// dst: for bodies that are put together by hand.
func (f *Frame) Event(dst []byte) []byte {
	dst = append(dst, f.PlainID()...)
	return append(dst, f.PlainData()...)
}

var frameSeed = maphash.MakeSeed()

// Sum is a checksum over all bytes of the frame, for tests that prove nobody
// wrote to it. It differs from process to process.
func (f *Frame) Sum() uint64 { return maphash.Bytes(frameSeed, f.buf) }

// PubFrame makes the frame of a publication; of one with a Room the first of its
// channel is made there.
func PubFrame(channel string, p *Publication, id string) *Frame {
	if buf, ok := p.Room.take(channel, p); ok {
		return EndFrame(appendPubTail(buf, p), id)
	}
	return EndFrame(AppendPub(StartFrame(pubRoom(channel, p)), channel, p), id)
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

// PingFrame is the ping event, the same for all streams (PROTOCOL 1.5).
var PingFrame = EndFrame(append(StartFrame(2), "{}"...), "")

// IDOverhead is the most that [AppendIDLine] adds to the text of an id.
const IDOverhead = maxChunkHead + len(idField) + 1 + 2

// AppendIDLine appends an id line as a piece of a body in the framing: the
// beginning of an event whose data follows in the next piece. id must be ASCII
// without control bytes.
func AppendIDLine(dst []byte, f Framing, id []byte) []byte {
	if f == FramingChunked {
		dst = strconv.AppendUint(dst, uint64(len(idField)+len(id)+1), 16)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, idField...)
	dst = append(dst, id...)
	dst = append(dst, '\n')
	if f == FramingChunked {
		dst = append(dst, "\r\n"...)
	}
	return dst
}
