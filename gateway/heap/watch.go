// Package heap gives memory back that nobody needs any more, at the moments when that
// costs nobody anything, and sets how far the heap may grow until the next collection.
//
// It owns the settings of Go's collector in this process: nothing else may call
// debug.SetGCPercent or debug.FreeOSMemory. It must not know what the memory is for:
// the node tells it what it does in figures ([Source]).
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A storm of connects, or a burst of publications, leaves a heap behind that is
// mostly free, and Go gives it back to the system slowly: an idle stream would
// seem to cost a multiple of what it does. So when either is over, the memory
// goes back at once.
const (
	lookEvery = 500 * time.Millisecond // between two looks
	// calmLooks is for how many looks in a row little happens when a storm is
	// over. Little is no more than the following in one look, or a tenth of the
	// most that there was in one: at a load that goes on nothing is collected.
	calmLooks       = 2
	littleConnects  = 20
	littleWritten   = 256 << 10
	littleAllocated = 1 << 20
	loadShare       = 10
	// leastGain is how much must be there to be given back, and gainShare what
	// part of all that the process has from the system.
	leastGain = 2 << 20
	gainShare = 10
	// streamGrowth is what a stream that was opened since may keep, at most.
	streamGrowth = 1280
	// dutyShare bounds what part of the time may go into it: one in so many.
	dutyShare = 50
	// stormLook is how many connects in one look are a storm, as the pace has it, whose
	// memory goes back in any case: streams that find their places free need much less than
	// streamGrowth, and what they left behind would pass for what they keep.
	stormLook = uint64(stormConnects * lookEvery / time.Second)
	// WorkersEnd is after how long a worker of the HTTP server without a request
	// ends: the node sets it so.
	WorkersEnd = time.Second
	// lateAfter is when there is one more after a storm: for workers of the
	// HTTP server, whose stacks stay for up to twice WorkersEnd, and whatever else
	// goes away by itself once nobody needs it. It waits while much happens, but not
	// longer than latestAfter: the storm may be over, and the load behind it not.
	// lateTimes is how often: queues of loops go when nobody needed them for up to
	// three seconds.
	lateAfter   = 2*WorkersEnd + 500*time.Millisecond
	latestAfter = 30 * time.Second
	lateTimes   = 2
	// leastSpent is how much of what was published must have been delivered
	// since the last collection for one at any load, and spentShare what part of
	// the footprint: large messages fill a heap up to a goal that was set while
	// they were in flight, and nothing but the next one collects them.
	leastSpent = 4 << 20
	spentShare = 8
)

// state is what a look sees.
type state struct {
	at        time.Duration // monotonic
	open      int           // streams
	connects  uint64        // so far
	written   uint64        // bytes to streams, so far
	allocated uint64        // bytes, so far
	spent     uint64        // bytes published that went out to all, so far
	waiting   int64         // bytes that connections hold that are no streams, by estimate
	cycles    uint64        // collections, so far
	footprint uint64        // bytes that Go has from the system and could give back, if nothing were in them
}

// watch finds the moments when it is worth a collection to give memory
// back. It is a clockwork without goroutine or clock.
type watch struct {
	last     state         // at the last look
	settled  state         // after memory was given back for the last time
	most     state         // in one look since then: connects, written, allocated
	spent    state         // when the collector was last seen to have run
	calm     int           // looks in a row
	busy     time.Duration // the last look at which much happened
	notUntil time.Duration
	late     time.Duration // when one more is due whatever there is to gain, 0 for none
	latest   time.Duration // when it is due at any load, too
	lates    int           // how many more there are
	final    bool          // what is due is such a one
}

// newWatch begins with the process as it has started.
func newWatch(s state) *watch { return &watch{last: s, settled: s, spent: s} }

// due reports whether memory is to be given back now. Then the caller does so,
// and calls gave.
func (w *watch) due(s state) bool {
	connects, written, allocated := s.connects-w.last.connects, s.written-w.last.written, s.allocated-w.last.allocated
	w.last = s
	w.most.connects = max(w.most.connects, connects)
	w.most.written = max(w.most.written, written)
	w.most.allocated = max(w.most.allocated, allocated)
	little := connects <= max(littleConnects, w.most.connects/loadShare) &&
		written <= max(littleWritten, w.most.written/loadShare) &&
		allocated <= max(littleAllocated, w.most.allocated/loadShare)
	if s.cycles != w.spent.cycles {
		w.spent = s
	}
	if connects >= stormLook {
		w.lates = lateTimes
		w.arm(s.at)
	}
	if little {
		w.calm++
	} else {
		w.calm, w.busy = 0, s.at
		if w.late != 0 {
			w.arm(s.at)
		}
	}
	w.final = false
	if s.at < w.notUntil {
		return false
	}
	if w.final = w.late != 0 && (s.at >= w.latest || w.calm >= calmLooks && s.at >= w.late); w.final {
		return true
	}
	if !little {
		return s.spent-w.spent.spent >= max(leastSpent, s.footprint/spentShare)
	}
	return w.calm >= calmLooks && w.gain(s) >= int64(max(leastGain, s.footprint/gainShare))
}

// arm sees to it that there is one more, or puts off the one that there is.
func (w *watch) arm(now time.Duration) {
	if w.late == 0 {
		w.latest = now + latestAfter
	}
	w.late = now + lateAfter
}

// gain estimates how much there is to be given back: by how much the footprint
// has grown since the last time, but for what streams keep. What is in use for
// something else is counted too, once: the next time it is part of what was
// there before, unless connections held it that have given it back since. Why not free
// heap and garbage alone: what pools hold is neither, and after a storm it is the most.
func (w *watch) gain(s state) int64 {
	grown := int64(s.footprint) - int64(w.settled.footprint)
	freed := max(w.settled.waiting-s.waiting, 0)
	return grown + freed - streamGrowth*int64(max(s.open-w.settled.open, 0))
}

// gave notes that memory was given back, what is there now, and how long it took. What
// goes away by itself behind a storm does so by when that was over, not by when memory
// went back first.
func (w *watch) gave(s state, took time.Duration) {
	over := s.at
	if !w.final {
		w.lates = lateTimes + 1
		over = max(w.busy, s.at-calmLooks*lookEvery)
	}
	w.late = 0
	if w.lates--; w.lates > 0 {
		w.arm(over)
	}
	w.last, w.settled, w.spent, w.most = s, s, s, state{}
	w.notUntil = s.at + dutyShare*took
}

// Load is what a node does, in figures.
type Load struct {
	Open      int    // streams
	Connects  uint64 // so far
	Written   uint64 // bytes to streams, so far
	Delivered uint64 // bytes published that went out to all, so far
	Waiting   int64  // bytes that connections hold that are no streams, by estimate
}

// Source is the node as this package sees it.
type Source struct {
	// Load returns what the node does. It may wait for the loops.
	Load func() Load
	// InFlight returns how many bytes of publications there are between the entrance
	// and the sockets, Accepted how many connections came so far. Any goroutine calls
	// them.
	InFlight func() int64
	Accepted func() uint64
}

// reader reads states.
type reader struct {
	load    func() Load
	began   time.Time
	samples []metrics.Sample
}

func newReader(load func() Load) *reader {
	r := &reader{load: load, began: time.Now()}
	for _, name := range []string{
		"/gc/heap/allocs:bytes",
		"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/heap/stacks:bytes",
		"/gc/cycles/total:gc-cycles",
	} {
		r.samples = append(r.samples, metrics.Sample{Name: name})
	}
	return r
}

// read returns the state. It waits for the loops.
func (r *reader) read() state {
	l := r.load()
	metrics.Read(r.samples)
	s := state{
		at: time.Since(r.began), open: l.Open, connects: l.Connects, written: l.Written,
		allocated: r.samples[0].Value.Uint64(), cycles: r.samples[5].Value.Uint64(),
		spent: l.Delivered, waiting: l.Waiting,
	}
	for _, sample := range r.samples[1:5] {
		s.footprint += sample.Value.Uint64()
	}
	return s
}

// Watch gives memory back and sets the pace of collections until done is closed. One
// of a process at a time.
func Watch(src Source, done <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r := newReader(src.Load)
	w := newWatch(r.read())
	p := startPace(src.InFlight, src.Accepted)
	defer p.stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			s := r.read()
			if !w.due(s) {
				continue
			}
			runtime.GC() // what pools keep survives one collection
			debug.FreeOSMemory()
			now := r.read()
			w.gave(now, now.at-s.at)
		}
	}
}
