package testkit

import "net"

// Waiter is a connection that is told of waits, as those of the gate are, for handlers called
// without one. It notes how much was answered at each.
type Waiter struct {
	net.Conn            // nil
	Answered func() int // bytes, until now
	Begun    []int
	Over     []int
}

// BeginWait implements broker.Waiter.
func (w *Waiter) BeginWait() bool {
	w.Begun = append(w.Begun, w.Answered())
	return true
}

// EndWait implements broker.Waiter.
func (w *Waiter) EndWait() { w.Over = append(w.Over, w.Answered()) }

// RemoteAddr implements net.Conn.
func (*Waiter) RemoteAddr() net.Addr { return &net.TCPAddr{} }
