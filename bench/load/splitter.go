//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxHead bounds a response head.
const maxHead = 64 << 10

// splitterPhase is where in a response the next byte belongs.
type splitterPhase uint8

const (
	inHead      splitterPhase = iota
	inChunkSize               // hexadecimal digits
	inChunkExt                // behind ';' up to the line end
	inChunkData
	inChunkEnd // CR LF behind a chunk's data
	inTrailer
	inPlain // no chunking: the body ends with the connection
	ended   // the terminator has come
)

// errNoStream is wrapped by every error about a response that is no stream.
var errNoStream = errors.New("the response is no event stream")

// Splitter turns the raw bytes of one HTTP/1.1 response into SSE events,
// wherever the reads cut it (RFC 9112 sections 4, 5 and 7.1). The zero value
// expects a status line; one goroutine at a time.
type Splitter struct {
	phase  splitterPhase
	sized  bool  // a chunk size digit was seen
	blank  bool  // the trailer line so far is empty
	left   int64 // bytes the chunk still has
	head   []byte
	events eventParser
}

// NewSplitter keeps the first bytes of each event, so many of them, all for 0, and
// shows those of a longer one to piece as they come, unless that is nil.
func NewSplitter(keep int, piece func(b []byte)) (s Splitter) {
	s.events.keep, s.events.piece = keep, piece
	return s
}

// Done reports whether the body came to its proper end.
func (s *Splitter) Done() bool { return s.phase == ended }

// skippable returns how many of the next bytes of the response need not be
// looked at. A chunk that a skipped line goes through to its end is taken to
// hold nothing else, which is so where large events have chunks of their own;
// the chunk's last two bytes are looked at, for they may end line and event.
func (s *Splitter) skippable() int {
	if s.phase != inChunkData || !s.events.skipping() {
		return 0
	}
	return max(0, int(s.left)-2)
}

// skipped says that n of the skippable bytes were dropped.
func (s *Splitter) skipped(n int) { s.left -= int64(n) }

// Between reports whether everything so far makes whole events in whole
// chunks, the place where a captured stream may be cut.
func (s *Splitter) Between() bool {
	return s.events.idle() && (s.phase == inPlain || s.phase == inChunkSize && !s.sized)
}

// Feed parses b and calls emit with the data of each event that became whole;
// the argument is valid during the call only.
func (s *Splitter) Feed(b []byte, emit func(data []byte)) error {
	for len(b) > 0 {
		switch s.phase {
		case inChunkData:
			// Fast path: an event is a chunk or two.
			n := int64(len(b))
			if n > s.left {
				n = s.left
			}
			if err := s.events.feed(b[:n], emit); err != nil {
				return err
			}
			b = b[n:]
			if s.left -= n; s.left == 0 {
				s.phase = inChunkEnd
			}
		case inPlain:
			return s.events.feed(b, emit)
		case inHead:
			rest, err := s.feedHead(b)
			if err != nil {
				return err
			}
			b = rest
		case ended:
			return fmt.Errorf("%d bytes came behind the end of the body", len(b))
		default:
			n, err := s.feedFraming(b)
			if err != nil {
				return err
			}
			b = b[n:]
		}
	}
	return nil
}

// feedFraming reads chunk framing up to the next byte of data or the end of b,
// and returns how many bytes it took.
func (s *Splitter) feedFraming(b []byte) (int, error) {
	for i, c := range b {
		switch s.phase {
		case inChunkSize:
			if v := hexDigit(c); v >= 0 {
				if s.left = s.left<<4 | int64(v); s.left > maxEvent {
					return 0, errEventTooLong
				}
				s.sized = true
				continue
			}
			switch {
			case !s.sized:
				return 0, fmt.Errorf("a chunk size should begin with a hexadecimal digit, not with %q", c)
			case c == ';' || c == ' ':
				s.phase = inChunkExt
			case c == '\n':
				s.beginChunk()
			case c != '\r':
				return 0, fmt.Errorf("unexpected %q in a chunk size", c)
			}
		case inChunkExt:
			if c == '\n' {
				s.beginChunk()
			}
		case inChunkEnd:
			if c == '\n' {
				s.phase, s.sized, s.left = inChunkSize, false, 0
			} else if c != '\r' {
				return 0, fmt.Errorf("a chunk should end with CR LF, not with %q", c)
			}
		case inTrailer:
			switch {
			case c == '\n' && s.blank:
				s.phase = ended
			case c == '\n':
				s.blank = true
			case c != '\r':
				s.blank = false
			}
		default:
			return i, nil
		}
	}
	return len(b), nil
}

// beginChunk acts on a complete chunk-size line.
func (s *Splitter) beginChunk() {
	if s.left == 0 {
		s.phase, s.blank = inTrailer, true
		return
	}
	s.phase = inChunkData
}

// feedHead collects the head and returns the bytes behind it.
func (s *Splitter) feedHead(b []byte) (rest []byte, err error) {
	before := len(s.head)
	s.head = append(s.head, b...)
	// The blank line may have begun up to three bytes before this piece.
	from := max(0, before-3)
	end := bytes.Index(s.head[from:], headEnd)
	if end < 0 {
		if len(s.head) > maxHead {
			return nil, fmt.Errorf("%w: its head is longer than %d bytes", errNoStream, maxHead)
		}
		return nil, nil
	}
	end += from + len(headEnd)
	rest = b[end-before:]
	chunked, err := readHead(s.head[:end])
	if err != nil {
		return nil, fmt.Errorf("%w; it begins with %q", err, Cut(rest, 200))
	}
	s.head = nil
	s.phase = inPlain
	if chunked {
		s.phase = inChunkSize
	}
	return rest, nil
}

var headEnd = []byte("\r\n\r\n")

// readHead checks a response head, blank line included, and reports whether
// the body is chunked.
func readHead(head []byte) (chunked bool, err error) {
	lines := bytes.Split(bytes.TrimSuffix(head, headEnd), []byte("\r\n"))
	status := bytes.SplitN(lines[0], []byte(" "), 3)
	if len(status) < 2 || !bytes.HasPrefix(status[0], []byte("HTTP/1.")) {
		return false, fmt.Errorf("%w: the status line is %q", errNoStream, Cut(lines[0], 80))
	}
	if code, err := strconv.Atoi(string(status[1])); err != nil || code != 200 {
		return false, fmt.Errorf("%w: expected status 200, got %q", errNoStream, status[1])
	}
	isStream := false
	for _, line := range lines[1:] {
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.ToLower(bytes.TrimSpace(value))
		switch string(bytes.ToLower(name)) {
		case "transfer-encoding":
			chunked = bytes.HasSuffix(value, []byte("chunked"))
		case "content-type":
			isStream = bytes.HasPrefix(value, []byte("text/event-stream"))
		}
	}
	if !isStream {
		return false, fmt.Errorf("%w: its Content-Type is not text/event-stream", errNoStream)
	}
	return chunked, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Cut is the beginning of b, at most n bytes, for a text.
func Cut(b []byte, n int) []byte {
	if len(b) > n {
		return b[:n]
	}
	return b
}
