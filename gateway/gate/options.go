package gate

import (
	"errors"
	"log/slog"
	"time"
)

// Client stands on a connection and decides what the gate carries out. Every connection
// for which there is a Client ends in one of three ways: the client closes it
// ([Conn.Close]), or takes its descriptor ([Conn.TakeFD]), or is told that it [Client.Ended].
//
// What the door calls must not block: all connections of the door wait for it.
type Client interface {
	// Begins is told that the first bytes of a request, or of a handshake, have come
	// while nobody read the connection. It reports whether that may be: if not, the
	// connection is closed. From the door, or from a worker; not for what
	// [Conn.First] gives to the worker at once.
	Begins() bool
	// Whole reports whether what has come is enough to serve it. It is asked again,
	// with all that has come, whenever more comes. From the door, or from the
	// worker, while that is in Conn.First or has left Serve.
	Whole(have []byte) bool
	// Plain reports whether what has come, which is whole, takes little and waits for
	// nobody, as far as one can see: it may stand in the queue of [Options.Runners]. From
	// the door.
	Plain(have []byte) bool
	// Serve reads and answers requests until the connection is closed, taken, or
	// Conn.First has said that it waits. When it returns and nothing of that is so,
	// the connection is the client's: somebody else will close it. From a worker.
	Serve()
	// Waits is told that the connection waits for the beginning of a request, after
	// it was served. It reports whether it may. From the worker.
	Waits() bool
	// Ended is told that the gate has closed the connection: it ended or was cut
	// while it waited, took too long to send anything, was not to go on, or Serve
	// panicked. From the door, the worker, or whoever called [Conn.Cut]: without any
	// lock of the gate held.
	Ended()
}

// MostHead is the most of a request that a connection can wait with: bytes.
const MostHead = 1<<20 + 64<<10

// Options of a [Gate].
type Options struct {
	// Doors is how many there are, at least 1.
	Doors int
	// Workers bounds how many connections the pool serves at once: as many as there
	// may be descriptors. What the pool refuses has a goroutine of its own, and is
	// counted.
	Workers int
	// WorkerIdle is how long a worker without work lives. 0: a second.
	WorkerIdle time.Duration
	// Runners is how many workers take one connection after the other from a queue, of
	// those that are [Client.Plain]: as many as there are processors. Who waits for
	// something else than its connection all the same says so with [Conn.BeginWait]. 0:
	// each connection that is to be served wakes a worker of its own, as others do.
	Runners int
	// HeadTime is how long a connection may take from when it was accepted until
	// something comes, and again from then on until that is whole. IdleTime is for
	// between two requests. 0: for ever.
	HeadTime, IdleTime time.Duration
	// HeadMax is how much of a request is waited for: bytes, at most [MostHead].
	// What has become so long is served as it is. 0: MostHead.
	HeadMax int
	// Log hears of panics. nil: nobody does.
	Log *slog.Logger
}

// ListenOptions say what becomes of what a listener accepts.
type ListenOptions struct {
	// Accepted is called for each connection, by the door, before anything is read.
	// If it returns nil the connection is closed at once. It must not block.
	Accepted func(*Conn) Client
	// Failed is told why accept failed, by a door, and says for how long the listener
	// is let be, by all doors: at least a millisecond, for good if it is negative. It
	// is called by one door at a time. nil: 50 ms.
	Failed func(error) time.Duration
	// Before is asked before each accept, by each door, whether there is a place for
	// one more: if it says more than 0, the door lets the listener be for so long,
	// at least a millisecond. It must not block. nil: there is.
	Before func() time.Duration
	// Farewell lets a client that has been served before say something when its time to
	// wait is over, or the gate drains: it is called to Serve, where reads say
	// os.ErrDeadlineExceeded, and closes the connection itself.
	Farewell bool

	only int // for tests: the only door that accepts, counted from 1; 0: all
}

// Stats of a [Gate]: what there is now, and counts from the start.
type Stats struct {
	Fresh  int   // connections that have sent nothing yet
	Head   int   // with the beginning of a request
	Idle   int   // between two requests
	Served int   // that workers have, or are about to
	Queued int   // of those, in the queue of Options.Runners
	Bytes  int64 // of buffers: what came and no worker has read

	Accepted  uint64 // connections
	Handed    uint64 // connections handed to workers by doors
	Late      uint64 // connections closed because nothing came in time, or served with what had come
	Cut       uint64 // connections that Conn.Cut has ended
	Failed    uint64 // failures of accept
	Opened    uint64 // how often the queue of Options.Runners was opened since somebody was stuck
	Fallbacks uint64 // connections that the pool refused and a goroutine served
	Panics    uint64 // of clients, each of which has cost its connection
}

var (
	// ErrClosed is returned by what is called too late.
	ErrClosed = errors.New("gate: closed")
	// ErrUnsupported is returned by [New] where the system has no epoll.
	ErrUnsupported = errors.New("gate: this system has no epoll: let the HTTP server accept")
)
