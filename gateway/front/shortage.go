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
	// longestFull is how long it waits though the server gets on.
	longestFull = 10 * patienceFull
	fullPoll    = 2 * time.Millisecond
	// fullLooks is how often it was looked for a place in patienceFull, at least: where the
	// process was held up, nobody was answered meanwhile.
	fullLooks = 20
)

// shortage is that a listener has no place for a newcomer. Its methods may be called from
// any goroutine.
type shortage struct {
	// Atomic.
	first  atomic.Int64  // since when, see instant; 0: there is a place
	looked atomic.Int64  // when it was looked for one the last time that counts
	looks  atomic.Int64  // how often it was, since
	from   atomic.Int64  // when the server got on the last time
	mark   atomic.Int64  // looks, then
	gone   atomic.Uint64 // Waiting.gone, then
}

// ends notes that there is a place.
func (s *shortage) ends() {
	if s.first.Load() != 0 {
		s.first.Store(0)
		s.looks.Store(0)
	}
}

// lasts notes that there is none, and reports whether newcomers have waited enough for one.
// So many connections are gone; those that became streams still have their places.
func (s *shortage) lasts(gone uint64) bool {
	now := int64(now())
	if last := s.looked.Load(); now-last >= int64(fullPoll) && s.looked.CompareAndSwap(last, now) {
		s.looks.Add(1) // those of several doors at once are one
	}
	if began := s.first.CompareAndSwap(0, now); s.gone.Swap(gone) != gone || began {
		s.from.Store(now)
		s.mark.Store(s.looks.Load())
	}
	return s.tooLong()
}

// tooLong reports whether newcomers have waited enough for a place.
func (s *shortage) tooLong() bool {
	first, looks, now := s.first.Load(), s.looks.Load(), int64(now())
	if first == 0 {
		return false
	}
	return looks-s.mark.Load() >= fullLooks && now-s.from.Load() >= int64(patienceFull) ||
		looks >= int64(longestFull/patienceFull)*fullLooks && now-first >= int64(longestFull)
}

// room reports whether there is a place for a connection that was just accepted, and
// makes one if it can. From Accept.
func (l *Listener) room() bool {
	l.waiting.relieve()
	for l.waiting.full(0, l.opt.Private) {
		if l.short.lasts(l.waiting.gone.Load()) {
			return false
		}
		select {
		case <-l.closed:
			return false
		case <-time.After(fullPoll):
		}
		l.waiting.relieve()
	}
	l.short.ends()
	return true
}
