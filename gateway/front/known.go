package front

import (
	"net"
	"net/netip"
)

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

// Peer returns the IP address that the RemoteAddr of c has, without a zone, and IPv4 never
// within IPv6; the zero Addr if it has none. For the goroutine that serves the connection.
func Peer(c net.Conn) netip.Addr {
	if f, ok := c.(fronted); ok {
		return f.bottom().addr()
	}
	return addrOf(c.RemoteAddr())
}

// Named reports whether a PROXY header named the client of c, a connection of a
// [Listener]: its RemoteAddr is the proxy's own address otherwise. For the
// goroutine that serves the connection.
func Named(c net.Conn) bool {
	f, ok := c.(fronted)
	return ok && f.bottom().named != nil
}
