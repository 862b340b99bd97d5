//go:build e2e

package test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// stretch is what a subscriber got of a channel without being told that something is
// missing: the publication at offset from+i is seen[i].
type stretch struct {
	epoch string
	from  uint64
	seen  []note
}

// next is the offset that is due.
func (s *stretch) next() uint64 { return s.from + uint64(len(s.seen)) }

// watcher is a subscriber over all its streams. It does what an EventSource does: when
// its stream ends, however it does, it comes back with the id of the last event.
type watcher struct {
	// Immutable.
	id       int
	channels []string
	target   string
	addrs    []string // of the gateways
	restless bool     // leaves now and then by itself, and goes to another gateway
	rnd      *rand.Rand
	stop     chan struct{}
	done     chan struct{}

	// Owned by its goroutine.
	feed   feed
	names  map[string]string
	lastID string
	known  bool // a stream began with a connect push before

	// Guarded by mu.
	mu       sync.Mutex
	conn     net.Conn
	at       int // the gateway that it is at
	open     bool
	courses  map[string][]*stretch
	told     map[string]int // how often, by channel
	codes    map[uint32]int // of disconnects
	refused  int            // connects that were answered with 503, or not at all
	streams  int
	problems []error
}

func newWatcher(id int, f *fleet, channels []string, seed uint64) *watcher {
	subs := make(map[string]struct{})
	for _, ch := range channels {
		subs[ch] = struct{}{}
	}
	return &watcher{
		id: id, channels: channels, target: connectTarget(map[string]any{"subs": subs}), addrs: f.addrs, at: id % len(f.addrs),
		restless: id%5 == 0, rnd: rand.New(rand.NewPCG(seed, uint64(id))), stop: make(chan struct{}), done: make(chan struct{}),
		names: make(map[string]string), courses: make(map[string][]*stretch), told: make(map[string]int), codes: make(map[uint32]int),
	}
}

// live opens stream after stream until leave is called.
func (w *watcher) live() {
	defer close(w.done)
	for {
		err := w.stream()
		select {
		case <-w.stop:
			return
		default:
		}
		w.mu.Lock()
		w.open = false
		switch {
		case errors.Is(err, errFeed) && !strings.Contains(err.Error(), `answered "HTTP/1.1 503`), errors.Is(err, errMissing):
			w.problems = append(w.problems, err)
		case errors.Is(err, errFeed), errors.Is(err, errNotReached):
			w.refused++
		}
		if err != nil && w.rnd.IntN(2) == 0 {
			w.at = w.rnd.IntN(len(w.addrs)) // a load balancer may send it elsewhere
		}
		failed := len(w.problems) > 0
		w.mu.Unlock()
		if failed {
			return
		}
		select {
		case <-w.stop:
			return
		case <-time.After(time.Duration(50+w.rnd.IntN(200)) * time.Millisecond):
		}
	}
}

var (
	errNotReached = errors.New("no connection")
	// errMissing is what no stream may ever do.
	errMissing = errors.New("untold")
)

// stream opens one and reads it to its end.
func (w *watcher) stream() error {
	w.mu.Lock()
	addr := w.addrs[w.at]
	w.mu.Unlock()
	conn, err := dialSmall(addr, 0)
	if err != nil {
		return errNotReached
	}
	defer conn.Close()
	w.mu.Lock()
	w.conn = conn
	w.streams++
	w.mu.Unlock()
	select {
	case <-w.stop:
		return nil
	default:
	}
	w.feed = feed{event: w.event}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", w.target, lastEventID(w.lastID)); err != nil {
		return errNotReached
	}
	if w.restless {
		leave := time.AfterFunc(time.Duration(1+w.rnd.IntN(4000))*time.Millisecond, func() { _ = conn.Close() })
		defer leave.Stop()
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buf)
		if wrong := w.feed.write(buf[:n]); wrong != nil {
			return wrong
		}
		if err != nil {
			return err
		}
	}
}

// event takes one event of the stream; the id that came with it counts from then on,
// also in the next stream until that gives one, as in browsers.
func (w *watcher) event(data []byte, id string, hasID bool) error {
	p, err := parsePush(data, w.names)
	if err != nil || p.kind == "ping" {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch p.kind {
	case "pub":
		err = w.take(p.channel, p.note, p.offset)
	case "connect":
		err = w.connected(&p)
	default:
		body, wrong := p.decode()
		if wrong != nil {
			return wrong
		}
		if d := body.Disconnect; d != nil {
			w.codes[d.Code]++
			if d.Code >= 3500 {
				err = fmt.Errorf("%w: told to stay away: %d %s", errMissing, d.Code, d.Reason)
			}
		}
	}
	if hasID {
		w.lastID = id
	}
	return err
}

// connected takes a connect push. Caller holds mu.
func (w *watcher) connected(p *said) error {
	body, err := p.decode()
	if err != nil {
		return err
	}
	for _, ch := range w.channels {
		s := body.Connect.Subs[ch]
		if s == nil {
			return fmt.Errorf("%w: connected without %s", errMissing, ch)
		}
		if w.known && !s.WasRecovering {
			return fmt.Errorf("%w: %s: came back by %q and nothing was said of it", errMissing, ch, w.lastID)
		}
		course := w.courses[ch]
		if !w.known || !s.Recovered {
			w.courses[ch] = append(course, &stretch{epoch: s.Epoch, from: s.Offset + 1})
			if w.known {
				w.told[ch]++
			}
			continue
		}
		last := course[len(course)-1]
		if s.Epoch != last.epoch || s.Offset+1 < last.next() {
			return fmt.Errorf("%w: %s: recovered to %d of %s from %d of %s", errMissing, ch, s.Offset, s.Epoch, last.next()-1, last.epoch)
		}
		missed, err := s.notes()
		if err != nil {
			return err
		}
		for _, m := range missed {
			if err := w.take(ch, m.note, m.offset); err != nil {
				return err
			}
		}
	}
	w.known, w.open = true, true
	return nil
}

// take takes a publication, which must be the next. Caller holds mu.
func (w *watcher) take(channel string, k note, offset uint64) error {
	course := w.courses[channel]
	if len(course) == 0 {
		return fmt.Errorf("%w: %s: a publication before the connect push", errMissing, channel)
	}
	last := course[len(course)-1]
	if offset != last.next() {
		return fmt.Errorf("%w: %s: offset %d where %d of %s was due, stream %d at gateway %d: %v",
			errMissing, channel, offset, last.next(), last.epoch, w.streams, w.at, k)
	}
	last.seen = append(last.seen, k)
	return nil
}

// hasAll reports whether the watcher is behind the tops of all channels, or has failed.
func (w *watcher) hasAll(tops map[string]position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch, top := range tops {
		course := w.courses[ch]
		if len(course) == 0 {
			return len(w.problems) > 0
		}
		last := course[len(course)-1]
		if (last.epoch != top.epoch || last.next() <= top.offset) && len(w.problems) == 0 {
			return false
		}
	}
	return true
}

// isOpen reports whether the watcher has a stream, or has failed.
func (w *watcher) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open || len(w.problems) > 0
}

// wasTold reports whether the watcher was told of a gap, or has failed.
func (w *watcher) wasTold() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.told) > 0 || len(w.problems) > 0
}

// leave ends the watcher.
func (w *watcher) leave() {
	close(w.stop)
	w.mu.Lock()
	if w.conn != nil {
		_ = w.conn.Close()
	}
	w.mu.Unlock()
	<-w.done
}

// String says where it stands.
func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	where := make(map[string]string)
	for ch, course := range w.courses {
		last := course[len(course)-1]
		where[ch] = fmt.Sprintf("%s:%d", last.epoch, last.next()-1)
	}
	return fmt.Sprintf("subscriber %d at gateway %d (open %v, %d streams, %d refused, disconnects %v, told %d): %v",
		w.id, w.at, w.open, w.streams, w.refused, w.codes, sum(maps.Values(w.told)), where)
}
