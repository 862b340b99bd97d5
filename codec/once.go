package codec

import (
	"slices"
	"sync"
)

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
	if cap(f.buf) <= onceMost {
		f.Fill(f.buf[:0])
		onces.Put(f)
	}
}
