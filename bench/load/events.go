//go:build linux

package load

import (
	"bytes"
	"fmt"
	"time"
)

// maxEvent bounds one event's data and one line; beyond it the stream is taken
// for something else than SSE.
const maxEvent = 16 << 20

// SkimBytes is how much of a large event is enough (Config.skim): the payload's
// stamp is in it.
const SkimBytes = 512

var errEventTooLong = fmt.Errorf("an event is longer than %d bytes", maxEvent)

// eventParser cuts a decoded body into events, incrementally (WHATWG HTML
// section 9.2.6). It reports the data field, and keeps the last event id where
// it is told to; event, retry and comment lines are read over. A byte order mark
// is not looked for. The zero value is ready; one goroutine at a time.
//
// While an event lies within one piece of body, its data is handed out as a
// sub-slice of that piece and nothing is copied.
type eventParser struct {
	line    []byte // a line whose end has not come yet
	saved   []byte // data of an unfinished event from earlier pieces
	data    []byte // data of the event in hand: a view of the piece, of line, or of saved
	hasData bool
	skipLF  bool // the last piece ended with CR

	keep  int            // set before the first piece: so much of a long line is wanted; 0: all
	piece func(b []byte) // with keep: gets data lines that come in several pieces, piece by piece

	offered bool          // piece got the beginning of the line in hand
	retry   time.Duration // the last reconnect delay told; 0: none

	keepID bool   // set before the first piece: ids are wanted
	nextID []byte // what the id lines so far say
	id     []byte // the last event id: what a Last-Event-ID header is to say
}

// idle reports whether the body so far ends exactly behind an event.
func (p *eventParser) idle() bool { return len(p.line) == 0 && !p.hasData && !p.skipLF }

// feed parses one piece of body. emit's argument is valid during the call only.
func (p *eventParser) feed(b []byte, emit func(data []byte)) error {
	if p.keep > 0 {
		return p.skim(b, emit)
	}
	for len(b) > 0 {
		if p.skipLF {
			p.skipLF = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		lf := bytes.IndexByte(b, '\n')
		end := lf
		if end < 0 {
			end = len(b)
		}
		if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
			p.endLine(b[:cr], emit)
			b = b[cr+1:]
			p.skipLF = true
			continue
		}
		if lf < 0 {
			break
		}
		p.endLine(b[:lf], emit)
		b = b[lf+1:]
	}
	return p.save(b)
}

// skim is feed where only the head of each event matters: a line that comes in
// several pieces is cut to its first keep bytes, so that events of any length
// cost one search for their end, and no memory. Lines end with LF or CR LF.
func (p *eventParser) skim(b []byte, emit func(data []byte)) error {
	for len(b) > 0 {
		lf := bytes.IndexByte(b, '\n')
		if lf < 0 {
			break
		}
		tail := bytes.TrimSuffix(b[:lf], carriageReturn)
		if len(p.line) > 0 {
			if lf == 0 {
				p.line = bytes.TrimSuffix(p.line, carriageReturn)
			}
			p.offer(tail)
			p.offered = false
			tail = p.room(tail)
		}
		p.endLine(tail, emit)
		b = b[lf+1:]
	}
	if len(p.data) > p.keep && p.piece == nil {
		p.data = p.data[:p.keep]
	}
	p.offer(b)
	return p.save(p.room(b))
}

// offer hands out the next piece of a line, if it is a data line.
func (p *eventParser) offer(b []byte) {
	if p.piece == nil || len(b) == 0 && !p.offered {
		return
	}
	if !p.offered {
		head := append(append(make([]byte, 0, 2*len(dataField)), Cut(p.line, len(dataField))...), Cut(b, len(dataField))...)
		if !bytes.HasPrefix(head, dataField) {
			return
		}
		p.offered = true
		if len(p.line) > 0 {
			p.piece(p.line)
		}
	}
	p.piece(b)
}

// room returns as much of b as the line in hand may still take.
func (p *eventParser) room(b []byte) []byte { return b[:min(len(b), max(0, p.keep-len(p.line)))] }

// skipping reports whether the bytes up to the next line end do not matter.
func (p *eventParser) skipping() bool {
	return p.keep > 0 && p.piece == nil && len(p.line) >= p.keep
}

// endLine takes the last part of a line.
func (p *eventParser) endLine(tail []byte, emit func(data []byte)) {
	line := tail
	if len(p.line) > 0 {
		p.line = append(p.line, tail...)
		line = p.line
		// The bytes stay readable below until save writes there again, and
		// save moves the data out first.
		p.line = p.line[:0]
	}
	if len(line) == 0 {
		if p.keepID {
			p.id = append(p.id[:0], p.nextID...)
		}
		if p.hasData {
			emit(p.data)
		}
		p.hasData = false
		p.data = nil
		return
	}
	value, ok := bytes.CutPrefix(line, dataField)
	if !ok {
		if p.keepID {
			p.takeID(line)
		}
		if delay, ok := bytes.CutPrefix(line, retryField); ok {
			p.takeRetry(delay)
		}
		if len(line) != len(dataField)-1 || string(line) != "data" {
			return
		}
		value = nil
	}
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	if !p.hasData {
		p.hasData = true
		p.data = value
		return
	}
	p.keepData()
	p.saved = append(append(p.saved, '\n'), value...)
	p.data = p.saved
}

var (
	carriageReturn = []byte("\r")

	dataField = []byte("data:")
	idField   = []byte("id:")

	retryField = []byte("retry:")
)

// takeRetry reads the value of a retry line, which counts if it is a number.
func (p *eventParser) takeRetry(value []byte) {
	ms, ok := digits(bytes.TrimPrefix(value, []byte(" ")))
	if ok && ms < uint64(time.Hour/time.Millisecond) {
		p.retry = time.Duration(ms) * time.Millisecond
	}
}

// takeID reads an id line. It counts from the end of its event on, also where
// that has no data; one with a NUL does not count.
func (p *eventParser) takeID(line []byte) {
	value, ok := bytes.CutPrefix(line, idField)
	if !ok && string(line) != "id" || bytes.IndexByte(value, 0) >= 0 {
		return
	}
	if !ok {
		value = nil
	}
	p.nextID = append(p.nextID[:0], bytes.TrimPrefix(value, []byte(" "))...)
}

// keepData moves the data of the event in hand into saved, where it survives
// the piece it came from.
func (p *eventParser) keepData() {
	if len(p.data) > 0 && len(p.saved) > 0 && &p.data[0] == &p.saved[0] {
		return
	}
	p.saved = append(p.saved[:0], p.data...)
	p.data = p.saved
}

// save keeps what a piece left unfinished: first the data, which may point
// into line, then the rest of the line.
func (p *eventParser) save(rest []byte) error {
	if p.hasData {
		p.keepData()
	}
	p.line = append(p.line, rest...)
	if len(p.line) > maxEvent || len(p.saved) > maxEvent {
		return errEventTooLong
	}
	return nil
}
