//go:build linux

package load

// Handler gets what arrives on one worker's streams. All calls come from
// that worker. stream counts the worker's streams from 0 in the order they
// were begun; now is the wall clock in ns of the read that completed the event;
// data and push are valid during the call only.
type Handler interface {
	Opened(stream int, push []byte)           // the connect push came
	Event(stream int, data []byte, now int64) // any later event, pings included
	Flush()                                   // after a batch of reads
}

// idHandler is a Handler that follows the last event ids. LastID is
// called for every event, before Opened or Event is; an event without an id of
// its own leaves the id as it was, and it is empty until one came.
type idHandler interface {
	Handler
	LastID(stream int, id []byte)
}

// closeHandler is a Handler that goes on when streams end. Closed is
// called once for a stream that the server ended or that could not be opened,
// and reports whether the others go on; if not, the run fails.
type closeHandler interface {
	Handler
	Closed(stream int, e Ending) bool
}

// numberHandler is a Handler that asks which of all the client's streams opened, and
// when. OpenedAs is called before Opened; now is as in Event.
type numberHandler interface {
	Handler
	OpenedAs(number int, now int64)
}

// pieceHandler is a Handler that looks at events which are too large to be
// kept. Piece is called with each piece of a line that comes in several, before
// Opened or Event is called with the head of its data.
type pieceHandler interface {
	Handler
	Piece(stream int, b []byte)
}
