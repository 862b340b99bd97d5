package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	fdelta "github.com/shadowspore/fossil-delta"

	"sluice/gateway/testkit"
)

// feed takes the bytes of a stream as they come and gives each event on: a
// parser for thousands of clients beside the server, strict in what it reads and
// blind for the rest (testkit.Reader is the strict one).
type feed struct {
	event func(data []byte, id string, hasID bool) error // data is good until it returns

	state    feedState
	answered bool   // the status line was read
	frame    []byte // the beginning of a line of the head or the chunks
	line     []byte // the beginning of a line of the event stream
	left     int    // of the chunk
	data     []byte
	held     bool // there is data
	id       string
	hasID    bool
}

type feedState int

const (
	feedHead feedState = iota
	feedSize
	feedChunk
	feedChunkEnd
	feedTrailer
	feedDone
)

var errFeed = errors.New("malformed stream")

// write takes the next bytes.
func (f *feed) write(b []byte) error {
	for len(b) > 0 {
		var err error
		if f.state == feedChunk {
			n := min(f.left, len(b))
			err = f.body(b[:n])
			b, f.left = b[n:], f.left-n
			if f.left == 0 {
				f.state = feedChunkEnd
			}
		} else {
			b, err = f.framing(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// framing takes a line of the head or of the chunks. What of the event stream is
// unfinished stays in f.line meanwhile: chunks may end anywhere.
func (f *feed) framing(b []byte) ([]byte, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		f.frame = append(f.frame, b...)
		return nil, nil
	}
	line := b[:i]
	if len(f.frame) > 0 {
		f.frame = append(f.frame, line...)
		line = f.frame
	}
	f.frame = f.frame[:0]
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch f.state {
	case feedHead:
		if !f.answered && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return nil, fmt.Errorf("%w: answered %q", errFeed, line)
		}
		f.answered = true
		if len(line) == 0 {
			f.state = feedSize
		}
		return b[i+1:], nil
	case feedSize:
		n := 0
		for _, c := range line {
			d := strings.IndexByte("0123456789abcdef", c|0x20)
			if d < 0 {
				return nil, fmt.Errorf("%w: chunk size %q", errFeed, line)
			}
			n = n<<4 | d
		}
		f.left, f.state = n, feedChunk
		if n == 0 {
			f.state = feedTrailer
		}
		return b[i+1:], nil
	case feedChunkEnd:
		f.state = feedSize
	case feedTrailer:
		f.state = feedDone
	case feedDone:
		return nil, fmt.Errorf("%w: %q behind its end", errFeed, line)
	}
	if len(line) != 0 {
		return nil, fmt.Errorf("%w: %q where a chunk ends", errFeed, line)
	}
	return b[i+1:], nil
}

// body takes bytes of the event stream.
func (f *feed) body(b []byte) error {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			f.line = append(f.line, b...)
			return nil
		}
		line := b[:i]
		if len(f.line) > 0 {
			f.line = append(f.line, line...)
			line = f.line
		}
		b = b[i+1:]
		if err := f.field(line); err != nil {
			return err
		}
		f.line = f.line[:0]
	}
	return nil
}

func (f *feed) field(line []byte) error {
	if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
		if f.held {
			return fmt.Errorf("%w: two data lines in one event", errFeed)
		}
		if f.hasID {
			return fmt.Errorf("%w: the id is in front of the data", errFeed)
		}
		f.data, f.held = append(f.data[:0], data...), true
		return nil
	}
	if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
		f.id, f.hasID = string(id), true
		return nil
	}
	switch {
	case len(line) == 0:
	case len(line) == 1 && line[0] == '\r', bytes.HasPrefix(line, []byte("retry: ")):
		return nil
	default:
		return fmt.Errorf("%w: line %q", errFeed, line[:min(len(line), 80)])
	}
	if !f.held {
		return nil
	}
	hasID := f.hasID
	f.held, f.hasID = false, false
	err := f.event(f.data, f.id, hasID)
	if cap(f.data) > 64<<10 {
		f.data = nil
	}
	return err
}

// errCutShort is how a stream ends that was not ended properly.
var errCutShort = errors.New("the stream was cut")

// end says how the stream ended, with what the connection reported: nil for a
// proper end.
func (f *feed) end(err error) error {
	if f.state == feedDone && errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("%w: %w", errCutShort, err)
}

// note is what a publication of these tests says: who published it, the how
// manieth of that publisher it is, and how many bytes of filler it has.
type note struct{ p, n, size int }

// fillers is what filler is cut from: no part of it is like another.
var fillers = func() []byte {
	b := make([]byte, 0, 21<<20)
	for i := 0; len(b) < 20<<20+1000; i++ {
		b = append(strconv.AppendInt(b, int64(i)*2654435761%1000000007, 36), '.')
	}
	return b
}()

func (k note) filler() []byte { return fillers[k.n%991:][:k.size] }

// appendTo appends the JSON of the note.
func (k note) appendTo(b []byte) []byte {
	b = fmt.Appendf(b, `{"p":%d,"n":%d,"s":%d,"x":"`, k.p, k.n, k.size)
	return append(append(b, k.filler()...), `"}`...)
}

func (k note) String() string { return fmt.Sprintf("%d/%d (%d bytes)", k.p, k.n, k.size) }

// scan reads from the front of text.
type scan struct {
	text []byte
	bad  bool
}

func (s *scan) lit(want string) {
	rest, ok := bytes.CutPrefix(s.text, []byte(want))
	s.text, s.bad = rest, s.bad || !ok
}

func (s *scan) has(want string) bool {
	rest, ok := bytes.CutPrefix(s.text, []byte(want))
	if ok {
		s.text = rest
	}
	return ok
}

func (s *scan) num() (v int) {
	i := 0
	for ; i < len(s.text) && s.text[i] >= '0' && s.text[i] <= '9'; i++ {
		v = v*10 + int(s.text[i]-'0')
	}
	s.bad = s.bad || i == 0
	s.text = s.text[i:]
	return v
}

// note reads a note and holds its filler against what was published.
func (s *scan) note() (k note) {
	s.lit(`{"p":`)
	k.p = s.num()
	s.lit(`,"n":`)
	k.n = s.num()
	s.lit(`,"s":`)
	k.size = s.num()
	s.lit(`,"x":"`)
	if s.bad || k.size > len(s.text) || !bytes.Equal(s.text[:k.size], k.filler()) {
		s.bad = true
		return k
	}
	s.text = s.text[k.size:]
	s.lit(`"}`)
	return k
}

// said is one push, as these tests need it.
type said struct {
	kind    string // as testkit.Push.Kind
	channel string
	note    note // of a publication
	offset  uint64
	id      string // the last one of the stream
	hasID   bool   // it came with this push
	raw     []byte // unless note says it all; good until the call returns
	body    *pushBody
}

// sub is a subscription as a connect or subscribe push tells it.
type sub struct {
	Recoverable, Recovered, Positioned, Delta bool
	WasRecovering                             bool `json:"was_recovering"`
	Offset                                    uint64
	Epoch                                     string
	Publications                              []struct {
		Data   json.RawMessage
		Offset uint64
		Delta  bool // made against the one before
	}
}

// notes are the missed publications of a subscription.
func (s *sub) notes() (all []said, err error) {
	for _, p := range s.Publications {
		text := []byte(p.Data)
		if text[0] == '"' { // to those who negotiated deltas
			var whole string
			if err := json.Unmarshal(text, &whole); err != nil {
				return nil, err
			}
			text = []byte(whole)
		}
		if p.Delta {
			if len(all) == 0 {
				return nil, fmt.Errorf("%w: a delta to nothing", errFeed)
			}
			var err error
			if text, err = fdelta.Apply(all[len(all)-1].raw, text); err != nil {
				return nil, err
			}
		}
		sc := scan{text: text}
		k := sc.note()
		if sc.bad {
			return nil, fmt.Errorf("%w: publication %.80q", errFeed, text)
		}
		all = append(all, said{kind: "pub", note: k, offset: p.Offset, raw: text})
	}
	return all, nil
}

// pushBody is what the body of a push that is no publication may say.
type pushBody struct {
	Channel     string
	Connect     *struct{ Subs map[string]*sub }
	Subscribe   *sub
	Unsubscribe *testkit.Unsubscribe
	Disconnect  *testkit.Disconnect
	Refresh     *testkit.Refresh
	Gap         *gapBody
}

// decode decodes a push that is no publication, once.
func (p *said) decode() (*pushBody, error) {
	if p.body == nil {
		p.body = &pushBody{}
		if err := json.Unmarshal(p.raw, p.body); err != nil {
			return nil, fmt.Errorf("%w: %w in push %.80q", errFeed, err, p.raw)
		}
	}
	return p.body, nil
}

var pushKinds = []string{"subscribe", "unsubscribe", "disconnect", "refresh", "gap", "join", "leave", "message"}

// parsePush reads an event. The channels of publications are interned in names.
func parsePush(data []byte, names map[string]string) (p said, err error) {
	s := scan{text: data}
	if s.has(`{}`) {
		return said{kind: "ping"}, nil
	}
	if s.has(`{"connect":`) {
		return said{kind: "connect", raw: data}, nil
	}
	if s.has(`{"channel":"`) {
		i := bytes.IndexByte(s.text, '"')
		if i < 0 {
			return p, fmt.Errorf("%w: push %.80q", errFeed, data)
		}
		name, ok := names[string(s.text[:i])]
		if !ok {
			name = string(s.text[:i])
			names[name] = name
		}
		p.channel, s.text = name, s.text[i+1:]
		if s.has(`,"pub":{"data":`) {
			p.kind = "pub"
			if bytes.HasPrefix(s.text, []byte(`"`)) {
				p.raw = data // for those who negotiated deltas to decode
				return p, nil
			}
			p.note = s.note()
			if s.has(`,"offset":`) {
				p.offset = uint64(s.num())
			}
			if s.has(`,"epoch":"`) {
				_, s.text, _ = bytes.Cut(s.text, []byte(`"`))
			}
			s.lit(`}}`)
			if s.bad || len(s.text) > 0 {
				return p, fmt.Errorf("%w: publication %.80q … %.80q", errFeed, data, s.text)
			}
			return p, nil
		}
		s.lit(`,`)
	} else {
		s.lit(`{`)
	}
	for _, kind := range pushKinds {
		if !s.bad && bytes.HasPrefix(s.text, []byte(`"`+kind+`":{`)) {
			p.kind, p.raw = kind, data
			return p, nil
		}
	}
	return p, fmt.Errorf("%w: push %.80q", errFeed, data)
}
