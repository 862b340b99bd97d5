package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Bounds of what a server may send on a connection of ours; what exceeds them ends the
// connection, but for payloads that are too long, which are left out.
const (
	readBuffer  = 64 << 10
	maxLine     = 32 << 10 // of a line: the text of an error, a number
	maxName     = 64 << 10 // of a channel
	maxPayload  = 64 << 20 // of a message
	keepPayload = 1 << 20  // of the buffer for messages between two of them
	maxItems    = 1 << 16  // of an answer, in all
	maxDepth    = 8
)

// errProtocol is the cause of errors about what is not RESP, or not what was expected.
var errProtocol = errors.New("not what Redis sends")

// decoder reads RESP2 and RESP3 from a server, for one goroutine.
type decoder struct {
	r       *bufio.Reader
	word    []byte // the kind of the latest event, if long
	name    []byte // the channel of the latest event
	payload []byte // of the latest event where it did not fit into r
}

func newDecoder(r io.Reader) *decoder { return &decoder{r: bufio.NewReaderSize(r, readBuffer)} }

// eventKind says what came on a pub/sub connection.
type eventKind int

const (
	otherEvent        eventKind = iota // nothing that concerns us
	messageEvent                       // channel and payload are set
	subscribedEvent                    // channel is set
	unsubscribedEvent                  // channel is set, empty if there was none
	errorEvent                         // payload holds its text
	oversizeEvent                      // a message left out: channel is set, size
)

// event is something that came on a pub/sub connection; its slices are good until the
// next one is read.
type event struct {
	kind    eventKind
	channel []byte
	payload []byte
	size    int
}

// next reads the next event.
func (d *decoder) next(e *event) error {
	*e = event{}
	line, err := d.line()
	if err != nil {
		return err
	}
	switch line[0] {
	case '-':
		d.payload = append(d.payload[:0], line[1:]...)
		e.kind, e.payload = errorEvent, d.payload
		return nil
	case '>', '*':
		n, err := number(line[1:])
		if err != nil || n < 1 || n > maxItems {
			return fmt.Errorf("%w: %q", errProtocol, line)
		}
		return d.push(e, n)
	}
	return d.skipRest(line, 0, new(int))
}

// push reads the items of a push message of n.
func (d *decoder) push(e *event, n int) error {
	kind, err := d.kind()
	if err != nil {
		return err
	}
	if n != 3 {
		kind = otherEvent
	}
	left := n - 1
	if kind != otherEvent {
		if e.channel, err = d.bulk(&d.name, maxName); err != nil {
			return err
		}
		left--
	}
	e.kind = kind
	if kind == messageEvent {
		return d.message(e)
	}
	count := 0
	for range left {
		if err := d.skip(1, &count); err != nil {
			return err
		}
	}
	return nil
}

// message reads the payload of a message, or leaves it out if it is too long.
func (d *decoder) message(e *event) error {
	n, err := d.length()
	if err != nil {
		return err
	}
	if n > maxPayload {
		e.kind, e.size = oversizeEvent, n
		return d.discard(n)
	}
	e.payload, err = d.body(&d.payload, n)
	return err
}

// kind reads the first item of a push message.
func (d *decoder) kind() (eventKind, error) {
	text, err := d.bulk(&d.word, maxLine)
	if err != nil {
		return otherEvent, err
	}
	switch string(text) {
	case "message", "smessage":
		return messageEvent, nil
	case "subscribe", "ssubscribe":
		return subscribedEvent, nil
	case "unsubscribe", "sunsubscribe":
		return unsubscribedEvent, nil
	}
	return otherEvent, nil
}

// line reads a line, without its end; it is never empty.
func (d *decoder) line() ([]byte, error) {
	line, err := d.r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("%w: a line of %d bytes", errProtocol, len(line))
		}
		return nil, err
	}
	if len(line) < 3 || len(line) > maxLine || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	return line[:len(line)-2], nil
}

// length reads the head of a bulk string; -1 is nil.
func (d *decoder) length() (int, error) {
	line, err := d.line()
	if err != nil {
		return 0, err
	}
	if line[0] == '_' {
		return -1, nil
	}
	n, err := number(line[1:])
	if line[0] != '$' || err != nil || n < -1 {
		return 0, fmt.Errorf("%w: %.40q where a text was expected", errProtocol, line)
	}
	return n, nil
}

// bulk reads a bulk string of at most limit bytes; what it returns lies in the buffer of
// the reader if that holds it and room is the payload's, else in room.
func (d *decoder) bulk(room *[]byte, limit int) ([]byte, error) {
	n, err := d.length()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: a text of %d bytes, allowed at most %d", errProtocol, n, limit)
	}
	got, err := d.body(room, n)
	if room == &d.name { // what follows may move the reader's buffer
		d.name = append(d.name[:0], got...)
		got = d.name
	}
	return got, err
}

// body reads n bytes and the end of their line; n of -1 is nothing.
func (d *decoder) body(room *[]byte, n int) ([]byte, error) {
	if n < 0 {
		return nil, nil
	}
	if n+2 <= readBuffer {
		got, err := d.r.Peek(n + 2)
		if err != nil {
			return nil, unexpected(err)
		}
		if got[n] != '\r' || got[n+1] != '\n' {
			return nil, fmt.Errorf("%w: a text longer than announced", errProtocol)
		}
		_, _ = d.r.Discard(n + 2) // they are there
		return got[:n], nil
	}
	return d.long(room, n)
}

// long reads a body that the reader's buffer cannot hold. It grows with what arrives, so
// that an announced length alone takes no memory.
func (d *decoder) long(room *[]byte, n int) ([]byte, error) {
	buf := (*room)[:0]
	if cap(buf) > keepPayload && n < keepPayload {
		buf = nil
	}
	for len(buf) < n {
		step := min(n-len(buf), max(readBuffer, len(buf)))
		from := len(buf)
		buf = append(buf, make([]byte, step)...)
		if _, err := io.ReadFull(d.r, buf[from:]); err != nil {
			return nil, unexpected(err)
		}
	}
	*room = buf
	return buf, d.end()
}

// end reads the end of a line.
func (d *decoder) end() error {
	var end [2]byte
	if _, err := io.ReadFull(d.r, end[:]); err != nil {
		return unexpected(err)
	}
	if end != [2]byte{'\r', '\n'} {
		return fmt.Errorf("%w: a text longer than announced", errProtocol)
	}
	return nil
}

// discard leaves out a body of n bytes.
func (d *decoder) discard(n int) error {
	if _, err := d.r.Discard(n); err != nil {
		return unexpected(err)
	}
	return d.end()
}

// skip leaves out a value.
func (d *decoder) skip(depth int, count *int) error {
	line, err := d.line()
	if err != nil {
		return err
	}
	return d.skipRest(line, depth, count)
}

// skipRest leaves out the rest of a value of which line is the first.
func (d *decoder) skipRest(line []byte, depth int, count *int) error {
	if *count++; depth > maxDepth || *count > maxItems {
		return fmt.Errorf("%w: a value too deep or too long", errProtocol)
	}
	factor := 1
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '=', '!':
		n, err := number(line[1:])
		if err != nil || n < -1 {
			return fmt.Errorf("%w: %.40q", errProtocol, line)
		}
		if n < 0 {
			return nil
		}
		return d.discard(n)
	case '%', '|':
		factor = 2
	case '*', '~', '>':
	default:
		return fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	n, err := number(line[1:])
	if err != nil || n > maxItems {
		return fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	for range n * factor {
		if err := d.skip(depth+1, count); err != nil {
			return err
		}
	}
	return nil
}

// value is an answer to one of the few commands that we send ourselves.
type value struct {
	kind  byte // of RESP; '-' is an error, '_' nil
	text  string
	items []value // of an array, or of a map: key, value, key, value
}

// value reads an answer.
func (d *decoder) value() (value, error) { return d.valueAt(0, new(int)) }

func (d *decoder) valueAt(depth int, count *int) (value, error) {
	line, err := d.line()
	if err != nil {
		return value{}, err
	}
	if *count++; depth > maxDepth || *count > maxItems {
		return value{}, fmt.Errorf("%w: an answer too deep or too long", errProtocol)
	}
	v := value{kind: line[0], text: string(line[1:])}
	switch v.kind {
	case '+', '-', ':', '#', ',', '(':
		return v, nil
	case '_':
		return value{kind: '_'}, nil
	}
	n, err := number(line[1:])
	if err != nil || n < -1 || n > maxItems {
		return value{}, fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	switch v.kind {
	case '$', '=', '!':
		if n < 0 {
			return value{kind: '_'}, nil
		}
		var room []byte
		got, err := d.body(&room, n)
		return value{kind: '$', text: string(got)}, err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return value{}, fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	for range n {
		item, err := d.valueAt(depth+1, count)
		if err != nil {
			return value{}, err
		}
		v.items = append(v.items, item)
	}
	v.text = ""
	if v.kind == '|' { // what stands before the answer
		return d.valueAt(depth, count)
	}
	return v, nil
}

// number reads a decimal number.
func number(text []byte) (int, error) {
	if len(text) == 0 || len(text) > 19 {
		return 0, errProtocol
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	return int(n), err
}

// unexpected makes an end within a value an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendCommand appends a command in the form that servers read.
func appendCommand(b []byte, words ...string) []byte {
	b = appendHead(b, '*', len(words))
	for _, word := range words {
		b = appendHead(b, '$', len(word))
		b = append(append(b, word...), '\r', '\n')
	}
	return b
}

// appendHead appends the first line of an array or a text.
func appendHead(b []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(n), 10), '\r', '\n')
}
