package coding

import (
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// worthwhile is by what part of a text compressing must make it smaller.
const worthwhile = 16

// appendCompressed is appendStored for a compressed text; ok says whether it is smaller
// that way, and if it is not, nothing was appended.
func (c Coding) appendCompressed(dst, text []byte) (out []byte, ok bool) {
	before := len(dst)
	if c == Zstd {
		dst = appendZstd(dst, text)
	} else {
		dst = appendDeflated(dst, text, nil)
		dst = dst[:len(dst)-len(syncMark)] // what follows is its block
	}
	if len(dst)-before > len(text)-len(text)/worthwhile {
		return dst[:before], false
	}
	return dst, true
}

// syncMark is the length of the empty stored block that a flush ends with, and before
// which the bytes are whole.
const syncMark = "\x00\x00\xff\xff"

// appendDeflated appends the blocks of a text, which may refer to what is before it, and
// an empty one.
func appendDeflated(dst, text, before []byte) []byte {
	w := sink{dst}
	if err := flate.StatelessDeflate(&w, text, false, before); err != nil {
		panic("BUG: coding: deflate into memory failed: " + err.Error())
	}
	return w.b
}

// sink is an io.Writer that appends.
type sink struct{ b []byte }

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// zstdWriter is an encoder and where it writes to.
type zstdWriter struct {
	enc *zstd.Encoder
	out sink
}

var zstdWriters = sync.Pool{New: func() any { return newZstdWriter(zstdWindow) }}

func newZstdWriter(window int, more ...zstd.EOption) *zstdWriter {
	enc, err := zstd.NewWriter(nil, append([]zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedFastest), // on JSON no other is smaller in groups
		zstd.WithEncoderConcurrency(1),           // no goroutines
		zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(window),
		zstd.WithLowerEncoderMem(true),
	}, more...)...)
	if err != nil {
		panic("BUG: coding: options of zstd: " + err.Error())
	}
	return &zstdWriter{enc: enc}
}

// begin starts a frame.
func (w *zstdWriter) begin() { w.enc.Reset(&w.out) }

// append appends the blocks of a text, and before the first one the head of the frame.
func (w *zstdWriter) append(dst, text []byte) []byte {
	w.out.b = dst
	_, err := w.enc.Write(text)
	if err == nil {
		err = w.enc.Flush()
	}
	if err != nil {
		panic("BUG: coding: zstd into memory failed: " + err.Error())
	}
	dst, w.out.b = w.out.b, nil
	return dst
}

// appendZstd appends a frame's head and the blocks of a text.
func appendZstd(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, zstdHead...)
	}
	w := zstdWriters.Get().(*zstdWriter)
	w.begin()
	dst = w.append(dst, text)
	zstdWriters.Put(w) // not behind a panic: it would be in the midst of a frame
	return dst
}

// ContextTexts is how many texts refer to each other at most.
const ContextTexts = 50

// Context compresses texts of which each may refer to those before it. It holds about
// 8 KiB for gzip and 0.5 MiB for zstd, however large they are.
type Context struct {
	coding Coding
	texts  int
	inHand bool        // a text is being appended, or there was a panic
	tail   []byte      // gzip: the end of what there was
	zstd   *zstdWriter // zstd
}

// maxTail is how far back gzip looks: what flate.StatelessDeflate takes.
const maxTail = 8 << 10

// NewContext makes a Context of a coding that is not Identity.
func NewContext(c Coding) *Context { return &Context{coding: c} }

// Append appends a text, which is not empty, in bytes that are whole, but of Zstandard in
// a frame that is open until the last one. It reports whether it is the first or last one
// of those that refer to each other. Behind a panic the next one is a first one.
func (x *Context) Append(dst, text []byte) (out []byte, first, last bool) {
	if x.inHand {
		*x = Context{coding: x.coding} // nobody knows what it has of that text
	}
	x.inHand = true
	first = x.texts == 0
	x.texts++
	last = x.texts == ContextTexts
	if x.coding == Zstd {
		dst = x.appendZstd(dst, text, first, last)
	} else {
		dst = appendDeflated(dst, text, x.tail)
		x.tail = appendTail(x.tail, text)
	}
	if last {
		x.texts, x.tail = 0, x.tail[:0]
	}
	x.inHand = false
	return dst, first, last
}

func (x *Context) appendZstd(dst, text []byte, first, last bool) []byte {
	if x.zstd == nil {
		x.zstd = zstdWriters.Get().(*zstdWriter)
	}
	if first {
		x.zstd.begin()
	}
	if dst = x.zstd.append(dst, text); last {
		dst = append(dst, Leave...)
	}
	return dst
}

// Close gives back what the Context holds, which must not be used any more. It need not be
// called.
func (x *Context) Close() {
	if x.zstd != nil && !x.inHand { // not in the midst of a text, behind a panic
		zstdWriters.Put(x.zstd)
	}
	*x = Context{coding: x.coding}
}

// appendTail appends a text and forgets all but the last maxTail bytes.
func appendTail(tail, text []byte) []byte {
	if len(text) >= maxTail {
		return append(tail[:0], text[len(text)-maxTail:]...)
	}
	if over := len(tail) + len(text) - maxTail; over > 0 {
		tail = tail[:copy(tail, tail[over:])]
	}
	return append(tail, text...)
}
