package front

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// firstRead is how much is read of a request at once when its first byte is waited
// for: most heads whole.
const firstRead = 2 << 10

// firstPool has the buffers for that. Why not one for each connection: it would be
// held by those that are idle.
var firstPool = sync.Pool{New: func() any { return new([firstRead]byte) }}

// firstBytes is how a connection reads the beginning of a request.
//
// Why not only the byte that the HTTP server asks for: it takes its read buffer, of
// the size of the largest head, when it has that. With the request at hand it is
// done with it without a system call, so a storm of connects makes do with a few
// of them (storm mode of the bench).
type firstBytes struct {
	raw  syscall.RawConn       // of the connection; nil before the first read
	read func(fd uintptr) bool // try, bound once: a method value allocates
	buf  *[firstRead]byte      // what is read; nil if nothing is
	n    int                   // how much it is
	err  error                 // of the system call

	behind []byte // of what was read, here or behind a PROXY header, what was not asked for yet
}

// has reports whether something was read that was not asked for yet.
func (f *firstBytes) has() bool { return f != nil && len(f.behind) > 0 }

// take copies what was read, as much as there is room for.
func (f *firstBytes) take(p []byte) int {
	n := copy(p, f.behind)
	if f.behind = f.behind[n:]; len(f.behind) == 0 {
		f.behind = nil
		f.done()
	}
	return n
}

// readFirst waits for the first byte of a request, which is all that is asked for,
// and takes what came with it.
func (c *Conn) readFirst(p []byte) (int, error) {
	if c.first == nil {
		c.first = new(firstBytes)
	}
	f := c.first
	if f.raw == nil {
		sc, ok := c.Conn.(syscall.Conn)
		if !ok {
			return c.Conn.Read(p)
		}
		var err error
		if f.raw, err = sc.SyscallConn(); err != nil {
			return 0, err
		}
		f.read = f.try
	}
	if err := f.raw.Read(f.read); err != nil { // closed, or too late
		return 0, err
	}
	switch {
	case f.err != nil:
		return 0, os.NewSyscallError("read", f.err)
	case f.n == 0:
		return 0, io.EOF
	}
	f.behind = f.buf[:f.n]
	return f.take(p), nil
}

// try reads what is there; done is false if nothing is.
func (f *firstBytes) try(fd uintptr) (done bool) {
	buf := firstPool.Get().(*[firstRead]byte)
	for {
		if f.n, f.err = syscall.Read(int(fd), buf[:]); !errors.Is(f.err, syscall.EINTR) {
			break
		}
	}
	if f.n > 0 {
		f.buf = buf
		return true
	}
	firstPool.Put(buf)
	return !errors.Is(f.err, syscall.EAGAIN)
}

// done gives the buffer back: all of it was taken.
func (f *firstBytes) done() {
	if f.buf != nil {
		firstPool.Put(f.buf)
		f.buf = nil
	}
}
