// Package load is the load generator: thousands of streams on a few epoll loops
// (client.go, worker.go), the publishers and what they send (publishers.go, pour.go,
// payload.go), what arrived of it (goal.go, sequence.go, numbers.go), and how a server
// is spoken to (target.go, dialect.go).
//
// It owns sockets. Streams belong to one worker each: a Handler is called on it, and
// Client.OnWorkers is the only way for others to look at what handlers keep. It
// promises not to load a server that is not on loopback unless told to (Resolve). It
// must not know why load is made: what is counted and compared is the business of the
// modes.
//
// Goroutines: one per worker; one per publishing connection while a burst runs, two in
// an open loop (pour.go).
package load
