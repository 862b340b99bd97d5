package gate

import "sync"

// sizes are those of buffers: most heads fit into the first.
var sizes = [...]int{2 << 10, 8 << 10, 32 << 10, 128 << 10, MostHead}

// buffer has what came of a request before a worker reads it.
type buffer struct {
	b    []byte // what came
	from int    // of it, what was read
	kind int    // its size is that of sizes
}

// buffers has those that nobody uses, by size.
var buffers [len(sizes)]sync.Pool

func newBuffer(kind int) *buffer {
	if b, ok := buffers[kind].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 0, sizes[kind]), kind: kind}
}

func (b *buffer) free() {
	b.b, b.from = b.b[:0], 0
	buffers[b.kind].Put(b)
}

// size is how much memory it takes.
func (b *buffer) size() int64 { return int64(sizes[b.kind]) }

// rest is what was not read yet.
func (b *buffer) rest() []byte { return b.b[b.from:] }

// room returns a buffer with what b has not been read of, and space for more: b itself,
// or one that takes its place. There is none beyond most bytes, or the largest size.
func (b *buffer) room(most int) (*buffer, []byte) {
	if b.from > 0 {
		b.b = b.b[:copy(b.b, b.rest())]
		b.from = 0
	}
	if len(b.b) == cap(b.b) && b.kind+1 < len(sizes) && len(b.b) < most {
		g := newBuffer(b.kind + 1)
		g.b = append(g.b, b.b...)
		b.free()
		b = g
	}
	return b, b.b[len(b.b):max(min(cap(b.b), most), len(b.b))]
}
