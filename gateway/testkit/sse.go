package testkit

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxViolations bounds the list of a reader that was pointed at something that is no event stream at all.
const maxViolations = 100

// Event is one dispatched event of a stream.
type Event struct {
	// ID is the last event id at the time of dispatch: the id of this block, or the one inherited from an earlier block.
	ID string
	// Type is the value of the event field, "message" when there was none.
	Type string
	// Data is the data lines joined by LF.
	Data string
	// HasID says that this very block had an id line (one that counts: without NUL).
	HasID bool
	// Raw is the block as it came: every byte after the blank line that ended the block before, up to and including the
	// blank line that ended this one. When that last blank line is CR LF, Raw ends with the CR: the event is dispatched at
	// the CR, without waiting for a byte that may not come.
	Raw []byte
}

// Reader parses an event stream by the rules of WHATWG HTML section 9.2.6 and notes beside that whatever this server must
// never send. Next is for one goroutine; the other methods may be called from any.
type Reader struct {
	// Owned by the goroutine that calls Next.
	src io.Reader
	buf []byte
	in  []byte // the part of buf not parsed yet
	err error  // what src reported; returned once in is used up

	// Guarded by mu.
	mu         sync.Mutex
	offset     int    // of the next byte in the stream
	lineStart  int    // offset of the first byte of line
	line       []byte // the current line, without its end
	block      []byte // raw bytes since the last blank line
	afterCR    bool   // the byte before was a CR: an LF now belongs to the same line end
	crAt       int    // offset of that CR
	lines      int    // complete lines so far
	data       []byte // the data buffer: each value followed by LF
	eventType  string
	idBuffer   string // the last event ID buffer: survives a block, is committed by a blank line
	hasID      bool
	lastID     string
	retry      int
	hasRetry   bool
	idOnly     int
	violations []string
}

// NewReader returns a Reader of src, which is the decoded response body: no chunk heads in it.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, 16<<10)}
}

// Next returns the next event as soon as its blank line was read. At the end it returns the error of the source, which is
// io.EOF for an orderly end; an event without its blank line is discarded then, see Incomplete.
func (r *Reader) Next() (Event, error) {
	for empty := 0; ; {
		if ev, ok := r.parse(); ok {
			return ev, nil
		}
		if r.err != nil {
			r.finish()
			return Event{}, r.err
		}
		n, err := r.src.Read(r.buf)
		r.in, r.err = r.buf[:n], err
		if n > 0 || err != nil {
			empty = 0
			continue
		}
		if empty++; empty == 100 {
			r.err = io.ErrNoProgress
		}
	}
}

// LastEventID is what a client would send as Last-Event-ID if it reconnected now: the last committed id.
func (r *Reader) LastEventID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lastID
}

// Retry is the last valid reconnection time in milliseconds; ok is false when the stream gave none.
func (r *Reader) Retry() (ms int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retry, r.hasRetry
}

// IDOnly is the number of blocks that had an id line but no data: they move the position without an event.
func (r *Reader) IDOnly() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idOnly
}

// Violations lists what a parser must tolerate but this server must never send, each with its offset in the stream: unknown
// field names, lines that are neither field nor comment, CR or CR LF as a line end (but for the CR LF that opens a stream),
// a byte order mark, invalid UTF-8, an id with NUL, data behind the id of its event, a retry that is no number.
func (r *Reader) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// Incomplete is the raw bytes of the block that has no blank line yet; after Next returned an error, of the event that was
// discarded. Empty when the stream stopped between two events.
func (r *Reader) Incomplete() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.block)
}

// parse consumes buffered bytes up to the end of an event, or all of them.
func (r *Reader) parse() (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, b := range r.in {
		if ev, ok := r.step(b); ok {
			r.in = r.in[i+1:]
			return ev, true
		}
	}
	r.in = nil
	return Event{}, false
}

// step takes one byte. Caller holds mu.
func (r *Reader) step(b byte) (Event, bool) {
	at := r.offset
	r.offset++
	if r.afterCR {
		r.afterCR = false
		if b == '\n' {
			if r.crAt > 0 {
				r.violate(r.crAt, "CR LF as line end, expected LF")
			}
			if len(r.block) > 0 {
				r.block = append(r.block, b)
			}
			r.lineStart = r.offset
			return Event{}, false
		}
		r.violate(r.crAt, "bare CR")
	}
	r.block = append(r.block, b)
	switch b {
	case '\r':
		r.afterCR, r.crAt = true, at
		return r.endLine()
	case '\n':
		return r.endLine()
	default:
		r.line = append(r.line, b)
		return Event{}, false
	}
}

// finish notes what only the end of the stream can tell.
func (r *Reader) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.afterCR {
		r.afterCR = false
		r.violate(r.crAt, "bare CR")
	}
}

// endLine interprets the collected line. Caller holds mu.
func (r *Reader) endLine() (Event, bool) {
	line, start := r.line, r.lineStart
	r.line, r.lineStart = r.line[:0], r.offset
	r.lines++
	if r.lines == 1 {
		if rest, ok := bytes.CutPrefix(line, []byte("\xEF\xBB\xBF")); ok {
			r.violate(start, "byte order mark")
			line = rest
		}
	}
	if len(line) == 0 {
		return r.dispatch()
	}
	if !utf8.Valid(line) {
		r.violate(start, "invalid UTF-8 in %q", line)
	}
	r.field(line, start)
	return Event{}, false
}

// field processes a line that is not blank. Caller holds mu.
func (r *Reader) field(line []byte, start int) {
	name, value, colon := bytes.Cut(line, []byte(":"))
	if colon && len(name) == 0 {
		return // a comment
	}
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		r.eventType = decodeUTF8(value)
	case "data":
		if r.hasID {
			r.violate(start, "data behind the id of its event")
		}
		r.data = append(append(r.data, decodeUTF8(value)...), '\n')
	case "id":
		if bytes.IndexByte(value, 0) >= 0 {
			r.violate(start, "id with NUL: %q", value)
			return
		}
		r.idBuffer, r.hasID = decodeUTF8(value), true
	case "retry":
		ms, err := strconv.Atoi(string(value))
		if err != nil || strings.Trim(string(value), "0123456789") != "" {
			r.violate(start, "retry is not a number: %q", value)
			return
		}
		r.retry, r.hasRetry = ms, true
	default:
		if colon {
			r.violate(start, "unknown field name %q", name)
		} else {
			r.violate(start, "line is neither field nor comment: %q", line)
		}
	}
}

// dispatch ends a block at its blank line. Caller holds mu.
func (r *Reader) dispatch() (Event, bool) {
	r.lastID = r.idBuffer
	ev := Event{ID: r.lastID, Type: r.eventType, HasID: r.hasID, Raw: bytes.Clone(r.block)}
	if ev.Type == "" {
		ev.Type = "message"
	}
	data := r.data
	r.data, r.eventType, r.hasID, r.block = r.data[:0], "", false, r.block[:0]
	if len(data) == 0 {
		if ev.HasID {
			r.idOnly++
		}
		return Event{}, false
	}
	ev.Data = string(data[:len(data)-1])
	return ev, true
}

// violate notes a violation at an offset. Caller holds mu.
func (r *Reader) violate(at int, format string, args ...any) {
	if len(r.violations) < maxViolations {
		r.violations = append(r.violations, fmt.Sprintf("byte %d: ", at)+fmt.Sprintf(format, args...))
	}
}

// decodeUTF8 replaces each maximal ill-formed part by one U+FFFD, as the Encoding Standard's UTF-8 decoder does. Why: Go's
// own conversion gives one U+FFFD per byte, strings.ToValidUTF8 one per run; a browser does neither.
func decodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		if c, n := utf8.DecodeRune(b); c != utf8.RuneError || n > 1 {
			out.Write(b[:n])
			b = b[n:]
			continue
		}
		out.WriteRune(utf8.RuneError)
		b = b[illFormed(b):]
	}
	return out.String()
}

// illFormed is the length of the maximal ill-formed part at the start of b, which does not start with a valid sequence.
func illFormed(b []byte) int {
	low, high, follow := byte(0x80), byte(0xBF), 0
	switch lead := b[0]; {
	case lead >= 0xC2 && lead <= 0xDF:
		follow = 1
	case lead >= 0xE0 && lead <= 0xEF:
		follow = 2
		if lead == 0xE0 {
			low = 0xA0
		} else if lead == 0xED {
			high = 0x9F
		}
	case lead >= 0xF0 && lead <= 0xF4:
		follow = 3
		if lead == 0xF0 {
			low = 0x90
		} else if lead == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= follow && n < len(b) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}
