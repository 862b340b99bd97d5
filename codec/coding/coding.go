// Package coding writes content codings (RFC 9110 section 8.4) in pieces that can be
// shared: each is whole bytes, and means the same wherever in a body it stands.
//
//	gzip: head, then for each text: its blocks, open | the last block of the text
//	      at the end: an empty block that says so, checksum, length
//	zstd: nothing, then for each text: a frame's head, its blocks, open | the last block
//
// Open means that one block more must follow, which [Coding.AppendEnd] makes: the lines
// of an event are compressed once, and behind them goes this or that id. What a
// [Context] makes refers to the texts before, and means something only behind them.
//
// It knows nothing of events, frames or chunks. Every function may be called from any
// goroutine; a Context has one owner.
package coding

import "encoding/binary"

// Coding is a content coding of a response body.
type Coding uint8

const (
	// Identity is none: the body is the text itself. The functions that write pieces
	// are for the others.
	Identity Coding = iota
	// Gzip is one member (RFC 1952) for each body.
	Gzip
	// Zstd is a row of frames (RFC 8878).
	Zstd
	// Dcz is Zstd with a [Dictionary], as clients and operators call it. Those who write
	// pieces write Zstd's, and what the Dictionary makes of texts.
	Dcz
)

// String returns the coding as Content-Encoding has it.
func (c Coding) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	case Dcz:
		return "dcz"
	}
	return "identity"
}

const (
	// maxStored bounds a stored block of deflate, whose length is a number of 16 bits.
	maxStored = 1<<16 - 1
	// zstdWindow is the window of all frames, and so the most that a block may have
	// (RFC 8878 section 3.1.1.2.4).
	zstdWindow = 32 << 10
	// zstdHead is the magic number, a descriptor that says nothing (no size, no
	// checksum, no dictionary), and the one of the window: 2^(10+5).
	zstdHead = "\x28\xb5\x2f\xfd\x00\x28"
	// gzipHead is the magic number, deflate, and that nothing else is known
	// (RFC 1952 section 2.3).
	gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

	// The size of a block of Zstandard stands above three bits: its kind, raw, and
	// whether it is the last one of its frame.
	zstdLast = 1
	zstdBits = 3
)

// Leave ends a frame of Zstandard that a [Context] left open: an empty last block. It must
// not be written to.
var Leave = []byte{zstdLast, 0, 0}

// AppendHead appends what a body begins with.
func (c Coding) AppendHead(dst []byte) []byte {
	if c == Gzip {
		return append(dst, gzipHead...)
	}
	return dst
}

// AppendTail appends what a body ends with, which had all the texts of sum.
func (c Coding) AppendTail(dst []byte, sum Sum) []byte {
	if c != Gzip {
		return dst
	}
	dst = append(dst, 0x03, 0x00) // a last block that has nothing but its end
	dst = binary.LittleEndian.AppendUint32(dst, sum.crc)
	return binary.LittleEndian.AppendUint32(dst, sum.size)
}

// appendStored appends a text as it is, open.
func (c Coding) appendStored(dst, text []byte) []byte {
	if c == Zstd {
		dst = append(dst, zstdHead...)
		for len(text) > 0 {
			n := min(len(text), zstdWindow)
			dst = append(appendZstdBlock(dst, n, 0), text[:n]...)
			text = text[n:]
		}
		return dst
	}
	for len(text) > 0 {
		n := min(len(text), maxStored)
		dst = append(appendStoredSize(append(dst, 0), n), text[:n]...)
		text = text[n:]
	}
	return append(dst, 0) // a stored block that is not the last one
}

// AppendEnd appends the last block of a text that is open: what it has yet to say, maybe
// nothing.
func (c Coding) AppendEnd(dst, text []byte) []byte {
	if c == Zstd {
		for len(text) > zstdWindow {
			dst = append(appendZstdBlock(dst, zstdWindow, 0), text[:zstdWindow]...)
			text = text[zstdWindow:]
		}
		return append(appendZstdBlock(dst, len(text), zstdLast), text...)
	}
	for len(text) > maxStored {
		dst = append(append(appendStoredSize(dst, maxStored), text[:maxStored]...), 0)
		text = text[maxStored:]
	}
	dst = append(appendStoredSize(dst, len(text)), text...)
	if len(text) > 0 {
		dst = append(dst, emptyBlock...)
	}
	return dst
}

// AppendEndHead appends what AppendEnd puts before a text of n bytes, from 1 to EndMax, and
// AppendEndTail what it puts behind it: EndExtra bytes together.
func (c Coding) AppendEndHead(dst []byte, n int) []byte {
	if c == Zstd {
		return appendZstdBlock(dst, n, zstdLast)
	}
	return appendStoredSize(dst, n)
}

// AppendEndTail is told of at AppendEndHead.
func (c Coding) AppendEndTail(dst []byte) []byte {
	if c == Zstd {
		return dst
	}
	return append(dst, emptyBlock...)
}

// EndExtra is told of at AppendEndHead.
func (c Coding) EndExtra() int {
	if c == Zstd {
		return 3
	}
	return EndOverhead
}

const (
	// EndMax is for how long a text AppendEndHead is made.
	EndMax = zstdWindow
	// EndOverhead is the most that AppendEnd adds to such a text.
	EndOverhead = 4 + len(emptyBlock)
)

// emptyBlock is a stored block without text. Why it follows each one that has some: there
// are decoders, that of Go's standard library among them, which keep a text back until a
// block is empty.
const emptyBlock = "\x00\x00\x00\xff\xff"

// AppendOpen appends a text of its own, compressed if that is asked for and pays, open.
func (c Coding) AppendOpen(dst, text []byte, compress bool) []byte {
	if compress {
		if out, ok := c.appendCompressed(dst, text); ok {
			return out
		}
	}
	return c.appendStored(dst, text)
}

// AppendWhole is AppendOpen and AppendEnd.
func (c Coding) AppendWhole(dst, text []byte, compress bool) []byte {
	if compress {
		if out, ok := c.appendCompressed(dst, text); ok {
			return c.AppendEnd(out, nil)
		}
	}
	return c.AppendEnd(c.appendStored(dst, nil), text)
}

// AppendEmpty appends a block without text; open says that it stands behind a piece of a
// [Context], which then goes on behind it.
func (c Coding) AppendEmpty(dst []byte, open bool) []byte {
	if c == Zstd && open {
		return appendZstdBlock(dst, 0, 0)
	}
	return c.AppendWhole(dst, nil, false)
}

func appendStoredSize(dst []byte, n int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	return binary.LittleEndian.AppendUint16(dst, ^uint16(n))
}

func appendZstdBlock(dst []byte, n int, last byte) []byte {
	v := uint32(n)<<zstdBits | uint32(last)
	return append(dst, byte(v), byte(v>>8), byte(v>>16))
}
