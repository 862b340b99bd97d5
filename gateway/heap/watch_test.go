package heap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memoryRig drives a watch look by look.
type memoryRig struct {
	t *testing.T
	w *watch
	s state
}

const mib = 1 << 20

func newMemoryRig(t *testing.T) *memoryRig {
	r := &memoryRig{t: t, s: state{footprint: 20 * mib}}
	r.w = newWatch(r.s)
	return r
}

// look looks after something has happened.
func (r *memoryRig) look(happened func(*state)) bool {
	r.s.at += lookEvery
	if happened != nil {
		happened(&r.s)
	}
	return r.w.due(r.s)
}

// gives expects that after exactly so many looks at which nothing happens memory
// is given back, which leaves so much.
func (r *memoryRig) gives(looks int, footprint uint64, took time.Duration) {
	r.t.Helper()
	for i := range looks {
		require.Equal(r.t, i == looks-1, r.look(nil), "look %d", i+1)
	}
	r.gave(footprint, took)
}

// gave gives memory back, which leaves so much.
func (r *memoryRig) gave(footprint uint64, took time.Duration) {
	r.s.at += took
	r.s.footprint = footprint
	r.w.gave(r.s, took)
}

// never expects that in so long nothing is given back.
func (r *memoryRig) never(in time.Duration) {
	r.t.Helper()
	for end := r.s.at + in; r.s.at < end; {
		require.False(r.t, r.look(nil), "at %s", r.s.at)
	}
}

// connectStorm is a look at a storm of connects.
func connectStorm(s *state) {
	s.connects += 1000
	s.open += 1000
	s.allocated += 10 * mib
	s.footprint += 8 * mib
}

const (
	lateLooks = int(lateAfter / lookEvery)
	// firstLate is lateLooks behind one for what there was to gain: it is late by when
	// the storm was over.
	firstLate = lateLooks - calmLooks
)

func TestMemoryIsGivenBackWhenAStormIsOver(t *testing.T) {
	r := newMemoryRig(t)
	r.never(time.Minute)
	for range 5 {
		require.False(t, r.look(connectStorm))
	}
	r.gives(calmLooks, 26*mib, 20*time.Millisecond)
	r.gives(firstLate, 25*mib, 20*time.Millisecond)
	r.gives(lateLooks, 24*mib, 20*time.Millisecond)
	r.never(time.Hour)
	require.False(t, r.look(connectStorm))
	r.gives(calmLooks, 26*mib, 20*time.Millisecond)
}

func TestMemoryIsGivenBackWhenABurstIsOver(t *testing.T) {
	r := newMemoryRig(t)
	for range 3 {
		require.False(t, r.look(func(s *state) { s.written += 100 * mib; s.footprint += 10 * mib }))
	}
	r.gives(calmLooks, 21*mib, time.Millisecond)
}

// Streams whose places were free need less than new ones may: what a storm of them
// left behind is not much more than those could keep.
func TestMemoryIsGivenBackAfterAStormOfStreamsThatStay(t *testing.T) {
	r := newMemoryRig(t)
	for range 17 {
		require.False(t, r.look(func(s *state) {
			s.connects += 1000
			s.open += 1000
			s.allocated += 10 * mib
			s.footprint += 1000 * streamGrowth
		}))
	}
	r.gives(lateLooks, 30*mib, 20*time.Millisecond)
	r.gives(lateLooks, 30*mib, 20*time.Millisecond)
	r.never(time.Hour)
	// Some connects are no storm.
	require.False(t, r.look(func(s *state) { s.connects += stormLook - 1; s.open += int(stormLook) - 1 }))
	r.never(time.Hour)
}

// The load behind a storm, or beside it, puts its end off and not away: whatever there
// is to gain, memory goes back after a while, and then the load goes on undisturbed.
func TestMemoryOfAStormIsGivenBackUnderLoad(t *testing.T) {
	load := func(s *state) { s.written += 300 << 10; s.allocated += 300 << 10 }
	behind := func(r *memoryRig) {
		t.Helper()
		for range lateTimes {
			looks := 1
			for !r.look(load) {
				looks++
				require.LessOrEqual(t, looks, int(latestAfter/lookEvery))
			}
			require.Greater(t, looks, lateLooks)
			r.gave(26*mib, 20*time.Millisecond)
		}
		for range 7200 {
			require.False(t, r.look(load))
		}
	}
	t.Run("behind it", func(t *testing.T) {
		r := newMemoryRig(t)
		for range 5 {
			require.False(t, r.look(connectStorm))
		}
		r.gives(calmLooks, 26*mib, 20*time.Millisecond)
		behind(r)
	})
	t.Run("beside it", func(t *testing.T) {
		r := newMemoryRig(t)
		for range 10 {
			require.False(t, r.look(func(s *state) { connectStorm(s); s.written += 3 * mib / 2 }))
		}
		behind(r)
	})
}

// A pause within a storm is no end of it: and if it seems to be one, the end is
// met all the same.
func TestMemoryIsGivenBackAfterTheLastOfManyStorms(t *testing.T) {
	r := newMemoryRig(t)
	for range 10 {
		require.False(t, r.look(connectStorm))
		require.False(t, r.look(nil))
	}
	r.gives(calmLooks-1, 35*mib, 10*time.Millisecond)
	require.False(t, r.look(connectStorm))
	r.gives(calmLooks, 36*mib, 10*time.Millisecond)
	r.gives(firstLate, 36*mib, 10*time.Millisecond)
	r.gives(lateLooks, 36*mib, 10*time.Millisecond)
	r.never(time.Hour)
}

// At a load that goes on nothing is collected, however much there would be to
// gain; when it falls to a tenth, it is over.
func TestMemoryIsLeftAloneUnderLoad(t *testing.T) {
	r := newMemoryRig(t)
	load := func(mb uint64) func(*state) {
		return func(s *state) { s.written += mb * mib; s.allocated += mb * mib }
	}
	r.s.footprint = 500 * mib
	for range 1000 {
		require.False(t, r.look(load(100)))
	}
	for range 10 {
		require.False(t, r.look(load(20)))
	}
	require.False(t, r.look(load(5)))
	require.True(t, r.look(load(5)))
}

func TestNothingIsCollectedForLittle(t *testing.T) {
	f := func(footprint, grown uint64, streams int, want bool) {
		t.Helper()
		r := newMemoryRig(t)
		r.w.settled.footprint, r.s.footprint = footprint, footprint+grown
		require.False(t, r.look(func(s *state) { s.connects += stormLook - 1; s.open += streams }))
		if want {
			r.gives(calmLooks, footprint, time.Millisecond)
		} else {
			r.never(time.Minute)
		}
	}
	f(20*mib, leastGain-1, 0, false)
	f(20*mib, leastGain+mib, 0, true)
	f(20*mib, leastGain+mib, 1000, false) // streams need it
	f(1000*mib, 50*mib, 0, false)
	f(1000*mib, 120*mib, 0, true)
}

// What is in use for something else is met once, and not again.
func TestMemoryThatIsInUseIsLookedForOnce(t *testing.T) {
	r := newMemoryRig(t)
	require.False(t, r.look(func(s *state) { s.footprint += 500 * mib; s.allocated += 500 * mib }))
	r.gives(calmLooks, 520*mib, 100*time.Millisecond)
	r.gives(max(lateLooks, int(dutyShare*100*time.Millisecond/lookEvery)), 520*mib, 100*time.Millisecond)
	r.gives(max(lateLooks, int(dutyShare*100*time.Millisecond/lookEvery)), 520*mib, 100*time.Millisecond)
	r.never(time.Hour)
}

// Storm after storm on a large heap does not make a collector of the process.
func TestMemoryTakesAFiftiethOfTheTimeAtMost(t *testing.T) {
	r := newMemoryRig(t)
	const took = 300 * time.Millisecond
	spent := time.Duration(0)
	for r.s.at < time.Hour {
		if r.s.at/time.Second%2 == 0 {
			connectStorm(&r.s)
		}
		if r.look(nil) {
			spent += took
			r.gave(20*mib, took)
		}
	}
	require.LessOrEqual(t, spent, r.s.at/dutyShare+took)
	require.Greater(t, spent, r.s.at/dutyShare/2)
}

// Large messages that went out are a reason for a collection while more of them go
// out, unless there was one by itself.
func TestLargeMessagesThatWentOutAreCollected(t *testing.T) {
	r := newMemoryRig(t)
	load := func(mb uint64, cycles uint64) func(*state) {
		return func(s *state) {
			s.written += 1000 * mib
			s.spent += mb * mib
			s.allocated += mb * mib
			s.cycles += cycles
		}
	}
	require.False(t, r.look(load(1, 0)))
	require.False(t, r.look(load(2, 0)))
	require.True(t, r.look(load(1, 0)))
	r.w.gave(r.s, 20*time.Millisecond)
	require.False(t, r.look(load(100, 0)), "not so soon again")
	require.False(t, r.look(load(100, 1)), "there was one")
	require.False(t, r.look(load(2, 0)))
	r.s.footprint = 100 * mib
	require.False(t, r.look(load(10, 0)), "little, of so much")
	require.True(t, r.look(load(10, 0)))
}

// Slow connections held buffers when memory was given back for the last time, and have
// given them back to pools since: what the process has does not fall by itself.
func TestMemoryIsGivenBackWhenConnectionsThatHeldItAreGone(t *testing.T) {
	r := newMemoryRig(t)
	r.look(func(s *state) { s.waiting, s.footprint, s.allocated = 200*mib, 220*mib, 200*mib })
	r.gives(calmLooks, 215*mib, time.Millisecond)
	r.gives(firstLate, 215*mib, time.Millisecond)
	r.gives(lateLooks, 215*mib, time.Millisecond)
	r.never(time.Minute)
	require.True(t, r.look(func(s *state) { s.waiting = 0 }), "it has been calm for long")
	r.gave(20*mib, time.Millisecond)
}
