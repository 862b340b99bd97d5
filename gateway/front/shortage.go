package front

import (
	"sync/atomic"
	"time"
)

const (
	// patienceFull is how long a newcomer waits for a place where there is none, while nobody
	// gives one up: requests that are being answered are over soon. It is not left to the
	// backlog of the kernel, behind which calls and health checks would wait, too.
	patienceFull = 100 * time.Millisecond
	fullPoll     = 2 * time.Millisecond
	// fullLooks is how often it was looked for a place by then, at least: where the process
	// was held up, nobody was answered meanwhile.
	fullLooks = 20
)

// shortage is that a listener has no place for a newcomer. Its methods may be called from
// any goroutine.
type shortage struct {
	// Atomic.
	from  atomic.Int64  // since when, see instant; 0: there is a place
	looks atomic.Int64  // how often it was looked for one since
	gone  atomic.Uint64 // Waiting.gone, when it was looked for the last time
}

// ends notes that there is a place.
func (s *shortage) ends() {
	if s.from.Load() != 0 {
		s.from.Store(0)
		s.looks.Store(0)
	}
}

// lasts notes that there is none, and reports whether newcomers have waited enough for one.
// So many connections are gone; those that became streams still have their places.
func (s *shortage) lasts(gone uint64) bool {
	if s.gone.Swap(gone) != gone {
		s.ends() // the server gets on
	}
	s.looks.Add(1)
	s.from.CompareAndSwap(0, int64(now()))
	return s.tooLong()
}

// tooLong reports whether newcomers have waited enough for a place.
func (s *shortage) tooLong() bool {
	from := s.from.Load()
	return from != 0 && s.looks.Load() >= fullLooks && now()-instant(from) >= instant(patienceFull)
}

// lacks reports whether there is no place for so many more connections, and makes some if
// it can.
func (l *Listener) lacks(n int) bool {
	if l.waiting.full(n, l.opt.Private) {
		l.waiting.relieve()
		return l.waiting.full(n, l.opt.Private)
	}
	return false
}

// room reports whether there is a place for a connection that was just accepted, and
// makes one if it can. From Accept.
func (l *Listener) room() bool {
	l.waiting.relieve()
	for l.lacks(0) {
		if l.short.lasts(l.waiting.gone.Load()) {
			return false
		}
		select {
		case <-l.closed:
			return false
		case <-time.After(fullPoll):
		}
	}
	l.short.ends()
	return true
}
