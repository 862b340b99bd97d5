package front

import "net"

// Known reports whether [SetKnown] was called for c. Any goroutine.
func Known(c net.Conn) bool {
	f, ok := c.(fronted)
	return ok && f.bottom().place.known.Load()
}

// SetKnown says that the client of c, a connection of a [Listener], has proved to be one
// of the operator's own, by the key of the API for example. It is closed for others last
// of all: a backend that keeps its connections looks like whoever has the most of them,
// and a flood from many addresses looks like nobody's. Any goroutine. Other connections
// are let be.
func SetKnown(c net.Conn) {
	if f, ok := c.(fronted); ok {
		f.bottom().place.known.Store(true)
	}
}

// standing is what decides who goes first.
type standing struct {
	known bool
	n     int   // how many connections of its address wait for their clients
	since int64 // ns of the wall clock
}

// behind reports whether a connection goes before another: one of a stranger, then one
// whose address has more, then the one that has waited longer.
func (s standing) behind(o standing) bool {
	switch {
	case s.known != o.known:
		return o.known
	case s.n != o.n:
		return s.n > o.n
	}
	return s.since < o.since
}

func (w *Waiting) standing(c *Conn) standing {
	s := standing{known: c.place.known.Load(), n: 1, since: c.place.since.Load()}
	if c.place.counted {
		s.n = w.has(c.place.key)
	}
	return s
}
