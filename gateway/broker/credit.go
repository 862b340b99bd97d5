package broker

import "sync/atomic"

// Credit is a publisher's share of the bytes that may be between the entrance
// of this node and the sockets of its subscribers. It travels with what was
// published, and whoever is done with that gives it back; so does whoever cannot
// tell, for of several releases only the first counts.
type Credit struct {
	// Immutable after Take.
	release func(bytes int64)

	// Atomic.
	bytes atomic.Int64 // 0 once given back
}

// Waiter is told that whoever has it is about to wait for others, so that nothing waits
// behind it: connections of the gate are, see gate.Conn.BeginWait.
type Waiter interface {
	// BeginWait reports whether EndWait is to be called, by the same goroutine.
	BeginWait() bool
	EndWait()
}

// NewCredit returns a credit of so many bytes, above 0, that are given back by
// release.
func NewCredit(bytes int64, release func(bytes int64)) *Credit {
	c := new(Credit)
	c.Take(bytes, release)
	return c
}

// Take makes a zero Credit what NewCredit returns, for who has memory for it.
func (c *Credit) Take(bytes int64, release func(bytes int64)) {
	c.release = release
	c.bytes.Store(bytes)
}

// Release gives the credit back, once; a nil Credit is none. Any goroutine,
// turns included.
func (c *Credit) Release() {
	if c == nil {
		return
	}
	if n := c.bytes.Swap(0); n > 0 {
		c.release(n)
	}
}
