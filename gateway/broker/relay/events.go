package relay

import (
	"bytes"
	"errors"
	"io"
	"time"
)

const (
	// eventBuffer is what a stream's buffer has at first, and again once a larger event
	// is over.
	eventBuffer = 4 << 10
	// idMax is the longest id that is taken: a cursor of one entry has 23 bytes.
	idMax = 256
	// retryMax is the longest delay that an origin may ask for.
	retryMax = time.Minute
	// nameMax is what a line has before its value.
	nameMax = len("retry: ")
	// emptyReads is how often a reader may bring nothing before it is given up.
	emptyReads = 100
)

// errCut says that a body ended inside of an event.
var errCut = errors.New("the body ends inside of an event")

// block is what stands between two blank lines of an event stream.
type block struct {
	data  []byte        // its data lines, joined; until the next block is read
	id    string        // "" for none, or for one that is not taken
	retry time.Duration // at most retryMax; negative for none
	other bool          // an event of another type than message
	long  bool          // longer than the limit: nothing else is said of it
}

// says reports whether a block says anything: not if it is comments, or names that no event
// stream has.
func (b *block) says() bool {
	return len(b.data) > 0 || b.id != "" || b.retry >= 0 || b.long || b.other
}

// events reads an event stream (WHATWG HTML, 9.2.6) of bytes that nobody vouches for: a
// block takes no more memory than limit and twice the last read, however long it is.
type events struct {
	// Immutable after newEvents.
	src   io.Reader
	limit int

	// Of the one reader.
	buf     []byte // what was read and is not consumed is buf[from:to]
	from    int
	to      int
	begun   bool // a first line was read
	skipLF  bool // the line before ended with CR: an LF here is part of that end
	data    []byte
	pending bool // the block in hand has a line
	err     error
}

func newEvents(src io.Reader, limit int) *events {
	return &events{src: src, limit: limit, buf: make([]byte, eventBuffer)}
}

// next returns the next block that has a line. It ends with io.EOF between blocks, with
// errCut inside of one, or with an error of the reader.
func (e *events) next() (block, error) {
	b := block{retry: -1}
	e.data, e.pending = e.data[:0], false
	if cap(e.data) > eventBuffer {
		e.data = nil
	}
	fields := 0
	for {
		line, long, err := e.line()
		switch {
		case errors.Is(err, io.EOF) && (e.pending || long || len(line) > 0):
			return block{}, errCut
		case err != nil:
			return block{}, err
		case long:
			b.long, e.pending = true, true
		case len(line) > 0:
			e.pending = true
			if !b.long {
				e.field(&b, line, &fields)
			}
		case e.pending:
			if b.long {
				return block{long: true, retry: -1}, nil
			}
			b.data = e.data
			return b, nil
		}
	}
}

// field takes one line of a block.
func (e *events) field(b *block, line []byte, lines *int) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if len(e.data)+len(value) > e.limit {
			b.long = true
			return
		}
		if *lines++; *lines > 1 {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, value...)
	case "id":
		if isID(value) {
			b.id = string(value)
		}
	case "retry":
		if d, ok := parseRetry(value); ok {
			b.retry = d
		}
	case "event":
		b.other = len(value) > 0 && string(value) != "message"
	}
}

// isID reports whether an id can be sent back in a header as it came.
func isID(id []byte) bool {
	if len(id) == 0 || len(id) > idMax {
		return false
	}
	for _, c := range id {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

// parseRetry reads milliseconds.
func parseRetry(value []byte) (d time.Duration, ok bool) {
	if len(value) == 0 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = min(d*10+time.Duration(c-'0')*time.Millisecond, retryMax)
	}
	return d, true
}

// line returns the next line without its end; long says that it was longer than the
// limit and is dropped. With io.EOF it is what is left.
func (e *events) line() (line []byte, long bool, err error) {
	seen := 0 // bytes at from in which there is no end
	for {
		if e.skipLF && e.to > e.from {
			if e.skipLF = false; e.buf[e.from] == '\n' {
				e.from++
			}
		}
		if i := lineEnd(e.buf[e.from+seen : e.to]); i >= 0 {
			end := e.from + seen + i
			line, e.skipLF = e.buf[e.from:end], e.buf[end] == '\r'
			e.from = end + 1
			return e.first(line), long || len(line) > e.limit+nameMax, nil
		}
		if seen = e.to - e.from; seen > e.limit+nameMax {
			long, seen, e.from, e.to = true, 0, 0, 0
		}
		if err := e.fill(); err != nil {
			return e.buf[e.from:e.to], long, err
		}
	}
}

// lineEnd returns where the first line ends, -1 for nowhere.
func lineEnd(text []byte) int {
	lf := bytes.IndexByte(text, '\n')
	if lf >= 0 {
		text = text[:lf]
	}
	if cr := bytes.IndexByte(text, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// first takes the byte order mark off the first line.
func (e *events) first(line []byte) []byte {
	if !e.begun {
		e.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return line
}

// fill reads more behind what is there.
func (e *events) fill() error {
	if e.err != nil {
		return e.err
	}
	switch {
	case e.from == e.to:
		e.from, e.to = 0, 0
		if len(e.buf) > eventBuffer {
			e.buf = make([]byte, eventBuffer)
		}
	case e.to < len(e.buf):
	case e.from > len(e.buf)/2:
		e.to = copy(e.buf, e.buf[e.from:e.to])
		e.from = 0
	default:
		grown := make([]byte, 2*len(e.buf))
		e.to = copy(grown, e.buf[e.from:e.to])
		e.buf, e.from = grown, 0
	}
	for range emptyReads {
		n, err := e.src.Read(e.buf[e.to:])
		e.to, e.err = e.to+n, err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
