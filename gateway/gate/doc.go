// Package gate holds connections before they are a request or a stream: it accepts
// them, waits for what they send, and calls a worker when there is something to do.
//
//	accept ─► fresh ─► head ─► served ─► idle ─► head ...
//	  └────────────────────────▲  └─► taken: a stream
//
// A gate has a door per loop: one goroutine with an epoll of its own, for which the
// poller of the runtime waits, so that no thread is held. A connection that waits is a
// [Conn] in a table: it has no goroutine, no timer, and no buffer before something of a
// request has come. Its deadline is its place in a list, for all that wait for the same
// have the same time. What has come whole is served at once, without epoll having heard
// of the connection.
//
// What a request looks like, who may connect and how long that may take is up to the
// [Client] on each connection: the gate carries out, package front decides.
//
//	options.go        what the gate is told, and what it tells: Options, Client, Stats
//	gate_linux.go     New, Start, Drain, Close; workers
//	listener_linux.go accept, failures of it, the reserve
//	door_linux.go     the epoll of a door, its table, its goroutine
//	wait_linux.go     what waits, and for how long
//	list_linux.go     lists of deadlines
//	conn_linux.go     Conn as the worker sees it
//	pin_linux.go      who may use a descriptor, and who closes it; Cut, TakeFD
//	queue_linux.go    few workers for many requests
//	await_linux.go    workers that must wait for a socket
//	system_linux.go   reads and writes that the runtime is not told of
//	buffer_linux.go   memory of what has come
//	head.go           where the head of a request ends
//	gate_other.go     systems without epoll: there is no gate
package gate
