package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"sluice/codec"
	"sluice/gateway/broker"
)

// world is a shard in the most obvious way: histories, and connections that lose what
// is on them. It is the source of a follower.
type world struct {
	mu       sync.Mutex
	rng      *rand.Rand
	channels map[string]*stream
	flight   []flying // published and not yet read by the node
	lines    []*line
	failing  bool // reads fail
	// rewound says that a failover lost something since the last check. Nothing is trimmed then: a
	// history that was replaced to its last entry cannot be told from one that went on.
	rewound bool
	serial  int
	// meanwhile, if not nil, happens once between the next read and its answer.
	meanwhile func()
}

// line is a connection that brings some channels. It is the part of a reader.
type line struct {
	channels map[string]bool
	up       bool
}

func (l *line) Has(slot int) bool { return l.channels[string(rune(slot))] }

// Slot is the letter of a channel.
func (w *world) Slot(ch string) int { return int(ch[0]) }

// connect makes lines work. The node is not told.
func (w *world) connect(lines ...*line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range lines {
		l.up = true
	}
}

// cut loses what is on lines. The node is not told.
func (w *world) cut(lines ...*line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range lines {
		l.up = false
		w.flight = slices.DeleteFunc(w.flight, func(f flying) bool { return l.channels[f.channel] })
	}
}

type flying struct {
	channel string
	m       Message
}

// stream is a history, with all that was ever in it.
type stream struct {
	epoch string // "" for none
	top   uint64
	kept  []Message
	all   map[uint64]string // offset -> content, of this epoch as it is now
}

const worldKeeps = 12

func (w *world) publish(ch string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.channels[ch]
	w.serial++
	if s.epoch == "" {
		*s = stream{epoch: fmt.Sprint("e", w.serial), all: make(map[uint64]string)}
	}
	s.top++
	m := w.message(s.top, s.epoch, fmt.Sprint("p", w.serial))
	s.all[s.top] = m.Pub.Data.String()
	s.kept = append(s.kept, m)
	if !w.rewound {
		s.kept = s.kept[max(0, len(s.kept)-worldKeeps):]
	}
	w.send(ch, m)
}

func (w *world) message(offset uint64, epoch, text string) Message {
	data := codec.QuoteJSON(text)
	p := &codec.Publication{Data: data, Offset: offset, Epoch: epoch}
	m := Message{Pub: p, Size: p.Size()}
	if offset > 0 {
		m.At, m.Sum = broker.Position{Offset: offset, Epoch: epoch}, Sum([]byte(text))
	}
	return m
}

func (w *world) send(ch string, m Message) {
	for _, l := range w.lines {
		if l.up && l.channels[ch] {
			w.flight = append(w.flight, flying{ch, m})
		}
	}
}

// rewind is a failover that lost the last n publications of the channels of a line.
func (w *world) rewind(n int, of *line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rewound = true
	for _, ch := range slices.Sorted(maps.Keys(w.channels)) {
		if !of.channels[ch] {
			continue
		}
		s := w.channels[ch]
		n := min(n, len(s.kept), int(s.top)-1)
		if n <= 0 {
			continue
		}
		for _, m := range s.kept[len(s.kept)-n:] {
			delete(s.all, m.At.Offset)
		}
		s.kept = s.kept[:len(s.kept)-n]
		s.top -= uint64(n)
	}
}

func (w *world) Follow(_ context.Context, wants []Want) []Read {
	w.mu.Lock()
	meanwhile := w.meanwhile
	w.meanwhile = nil
	if meanwhile != nil {
		defer meanwhile()
	}
	defer w.mu.Unlock()
	reads := make([]Read, len(wants))
	for i, want := range wants {
		if w.failing {
			reads[i].Err = errors.New("no answer")
			continue
		}
		s := w.channels[want.Channel]
		reads[i].Top = broker.Position{Offset: s.top, Epoch: s.epoch}
		for _, m := range s.kept {
			if m.At.Offset >= want.From && len(reads[i].List) < 3 { // short, so that there are several
				reads[i].List = append(reads[i].List, m)
			}
		}
	}
	return reads
}

func (w *world) Renew(_ context.Context, channel, epoch string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing {
		return "", errors.New("no answer")
	}
	s := w.channels[channel]
	if s.epoch == epoch {
		w.serial++
		s.epoch = fmt.Sprint("r", w.serial)
		for i := range s.kept {
			s.kept[i].At.Epoch = s.epoch
			p := *s.kept[i].Pub
			p.Epoch = s.epoch
			s.kept[i].Pub = &p
		}
	}
	return s.epoch, nil
}
