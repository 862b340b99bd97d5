package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// gcPercent is how far the heap may grow before the next collection, in percent of
// what the last one found in use. What one takes goes by what is in use, and how
// often there is one by the growth: with some MiB in use, half of Go's default costs
// little and saves the most against what streams need. With less the growth would
// be next to nothing, with more the collector is what to spare.
//
// Publications in flight are bytes without pointers, which cost the collector next to
// nothing, and they are as many as publishers may have: they earn the heap no growth
// but flightGrowth.
//
// In a storm of connects what one needs is garbage a moment later, and what is in use
// is little: a collection every few milliseconds would cost a quarter of the CPU time,
// shrink stacks that grow again at once, and empty the pools. Connections that become no
// stream need as much. Memory goes back when the storm is over (watch). Nobody knows of one
// before its first collection, so a small heap may grow a little further in any case.
func gcPercent(live, inFlight uint64, storm bool) int {
	rest := live - min(inFlight, live)
	percent := uint64(50)
	switch mib := rest >> 20; {
	case rest < smallGrowth, mib >= 64:
		percent = 100
	case mib >= 32:
		percent = 75
	}
	switch {
	case live == 0:
	case inFlight >= flightGrowth:
		growth := max(rest*percent/100, flightGrowth)
		percent = min(max(growth*100/live, 1), percent)
	case storm:
		percent = max(percent, percentFor(live, stormGrowth))
	case rest < smallGrowth:
		percent = max(percent, percentFor(live, smallGrowth))
	}
	return int(percent)
}

// percentFor returns the percentage with which a heap that has so much in use grows by so
// much. One below 4 MiB × percent ÷ 100 is not collected at all (runtime/debug).
func percentFor(live, growth uint64) uint64 {
	return min(growth*100/live, (live+growth)*100/(4<<20))
}

// smallGrowth is how far a heap may grow at least that has less than that in use.
const smallGrowth = 6 << 20

// flightGrowth is how far the heap may grow at least while many publications are in
// flight.
const flightGrowth = 4 << 20

// stormGrowth is how far the heap may grow at least in a storm: when connections came
// at more than stormConnects in a second since the last collection, and not just a few.
const (
	stormGrowth   = 16 << 20
	stormConnects = 500
	stormFew      = 50
)

// giveEvery is how often memory goes back at the beginning of a burst, at most.
const giveEvery = 2 * time.Second

// pace sets the percentage after each collection, from when it is started until it
// is stopped. The environment variable GOGC has precedence.
type pace struct {
	// Immutable after startPace.
	inFlight func() int64  // bytes of publications
	accepted func() uint64 // connections so far

	// Owned by whoever starts it, and then by the cleanup of the last collection.
	sample []metrics.Sample
	now    int       // what is set
	gave   time.Time // when memory last went back for a burst that began
	many   bool      // there were many at the last collection
	came   uint64    // connections at the last collection
	last   time.Time // when that was

	// Atomic.
	stopped atomic.Bool
}

// startPace returns a pace that is on. inFlight returns how many bytes of
// publications there are between the entrance and the sockets, accepted how many
// connections came so far; any goroutine calls them.
func startPace(inFlight func() int64, accepted func() uint64) *pace {
	p := &pace{inFlight: inFlight, accepted: accepted, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	if _, fixed := os.LookupEnv("GOGC"); fixed {
		return p
	}
	debug.SetGCPercent(100)
	p.now = 100
	p.step(0)
	return p
}

// step sets the percentage and waits for the next collection. Why a cleanup: it is
// called then, and only then.
func (p *pace) step(int) {
	if p.stopped.Load() {
		return
	}
	metrics.Read(p.sample)
	if n := p.next(p.sample[0].Value.Uint64(), time.Now()); n != p.now {
		p.now = n
		debug.SetGCPercent(n) // stops all goroutines for a moment
	}
	runtime.AddCleanup(new(paceMark), p.step, 0)
}

// next returns the percentage until the next collection, with what the last one found in
// use.
func (p *pace) next(live uint64, now time.Time) int {
	inFlight := uint64(max(p.inFlight(), 0))
	if p.begins(inFlight >= flightGrowth, now) {
		go debug.FreeOSMemory()
	}
	return gcPercent(live, inFlight, p.storms(p.accepted(), now))
}

// begins reports whether a burst has just begun: what the process has from the system and
// does not use is in small pieces then, of no use for large publications, and goes back
// first. Not more often than once in a while, for it is a collection.
func (p *pace) begins(many bool, now time.Time) bool {
	begins := many && !p.many && now.Sub(p.gave) >= giveEvery
	p.many = many
	if begins {
		p.gave = now
	}
	return begins
}

// storms reports whether connections come in a storm.
func (p *pace) storms(accepted uint64, now time.Time) bool {
	came, took := accepted-p.came, now.Sub(p.last)
	p.came, p.last = accepted, now
	return came > stormFew && float64(came) > stormConnects*took.Seconds()
}

// paceMark is garbage by the next collection. It is not tiny: those share memory.
type paceMark struct{ _ [32]byte }

// stop ends it, soon.
func (p *pace) stop() { p.stopped.Store(true) }
