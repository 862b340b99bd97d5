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

// readFirst waits for the first byte of a request, which is all that is asked for,
// and takes what came with it. Why: the HTTP server takes its read buffer, of the
// size of the largest head, only then; with the request at hand it is done with it
// without a system call, and a storm of connects makes do with a few of them
// (BenchmarkStorm of the bench: storm -streams 15000).
func (c *Conn) readFirst(p []byte) (int, error) {
	raw := c.raw
	if raw == nil {
		sc, ok := c.Conn.(syscall.Conn)
		if !ok {
			return c.Conn.Read(p)
		}
		var err error
		if raw, err = sc.SyscallConn(); err != nil {
			return 0, err
		}
		c.raw = raw
	}
	var n int
	var failed error
	err := raw.Read(func(fd uintptr) (done bool) {
		buf := firstPool.Get().(*[firstRead]byte)
		for {
			n, failed = syscall.Read(int(fd), buf[:])
			if !errors.Is(failed, syscall.EINTR) {
				break
			}
		}
		if n > 0 {
			c.first, c.behind = buf, buf[:n]
			return true
		}
		firstPool.Put(buf)
		return !errors.Is(failed, syscall.EAGAIN)
	})
	switch {
	case err != nil: // closed, or too late
		return 0, err
	case failed != nil:
		return 0, os.NewSyscallError("read", failed)
	case n == 0:
		return 0, io.EOF
	}
	return c.read(p)
}

// giveFirst gives the buffer of readFirst back.
func (c *Conn) giveFirst() {
	if c.first != nil {
		firstPool.Put(c.first)
		c.first = nil
	}
}
