package client

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// numbered returns the n-th of many addresses, no two of one key.
func numbered(n int) netip.Addr {
	if n%2 == 0 {
		return netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 15: byte(rand.Uint32())})
}

// clocked makes limits whose clock stands still unless it is moved.
func clocked(opt LimitOptions) (*Limits, *atomic.Int64) {
	l := NewLimits(opt)
	var clock atomic.Int64
	l.now = clock.Load
	return l, &clock
}

func TestStreamsOfAnAddressAreCapped(t *testing.T) {
	l := NewLimits(LimitOptions{Streams: 2})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	require.True(t, l.Reserve(a))
	require.True(t, l.Reserve(a))
	require.False(t, l.Reserve(a))
	require.True(t, l.Reserve(b), "others have places of their own")
	l.Release(a)
	require.True(t, l.Reserve(a), "a freed place is usable")
	require.False(t, l.Reserve(a))
	require.Equal(t, LimitStats{TooManyStreams: 2, Addresses: 2}, l.Stats())
	l.Release(a)
	l.Release(a)
	l.Release(b)
	require.Zero(t, l.Stats().Addresses, "nothing is kept of addresses without streams")
	require.Panics(t, func() { l.Release(a) })
}

func TestASlash64SharesItsLimits(t *testing.T) {
	l := NewLimits(LimitOptions{Streams: 1})
	require.True(t, l.Reserve(netip.MustParseAddr("2001:db8::1")))
	require.False(t, l.Reserve(netip.MustParseAddr("2001:db8::2")))
	require.True(t, l.Reserve(netip.MustParseAddr("2001:db8:0:1::1")))
	l.Release(netip.MustParseAddr("2001:db8::3"))
	require.True(t, l.Reserve(netip.MustParseAddr("2001:db8::4")))
}

func TestConnectsOfAnAddressAreAsManyAsTheRateAllows(t *testing.T) {
	l, clock := clocked(LimitOptions{Rate: 4})
	a := netip.MustParseAddr("192.0.2.1")
	burst := func() (n int) {
		for l.Reserve(a) {
			n++
		}
		return n
	}
	require.Equal(t, 4, burst(), "a burst of N")
	require.Zero(t, burst())
	clock.Add(int64(250*time.Millisecond) - 1)
	require.Zero(t, burst())
	clock.Add(1)
	require.Equal(t, 1, burst(), "N per second")
	clock.Add(int64(600 * time.Millisecond))
	require.Equal(t, 2, burst())
	clock.Add(int64(150 * time.Millisecond))
	require.Equal(t, 1, burst(), "what is left over counts")
	clock.Add(int64(time.Hour))
	require.Equal(t, 4, burst(), "never more than N at once")
	require.True(t, l.Reserve(netip.MustParseAddr("192.0.2.2")))
	require.EqualValues(t, 7, l.Stats().TooManyConnects)
	require.Equal(t, 2, l.Stats().Addresses)
}

func TestRefusedForStreamsTakesNothingOfTheRate(t *testing.T) {
	l, _ := clocked(LimitOptions{Streams: 1, Rate: 2})
	a := netip.MustParseAddr("192.0.2.1")
	require.True(t, l.Reserve(a))
	for range 10 {
		require.False(t, l.Reserve(a))
	}
	l.Release(a)
	require.True(t, l.Reserve(a))
	l.Release(a)
	require.False(t, l.Reserve(a))
	require.Equal(t, LimitStats{TooManyStreams: 10, TooManyConnects: 1, Remembered: 1}, l.Stats(), "nor one for its rate a place")
}

func TestWithoutLimitsEverythingPassesAndIsCounted(t *testing.T) {
	l := NewLimits(LimitOptions{})
	require.False(t, l.Active())
	for n := range 1000 {
		require.True(t, l.Reserve(numbered(n)))
		require.True(t, l.Reserve(numbered(n)))
	}
	require.Equal(t, LimitStats{Addresses: 1000}, l.Stats())
	for n := range 1000 {
		l.Release(numbered(n))
		l.Release(numbered(n))
	}
	require.Zero(t, l.Stats())
}

// Limits change while streams are open: these stay, and count.
func TestLimitsChangeWhileStreamsAreOpen(t *testing.T) {
	l, clock := clocked(LimitOptions{Rate: 1000})
	require.True(t, l.Active())
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 3 {
		require.True(t, l.Reserve(a))
	}
	l.Set(LimitOptions{Streams: 2})
	require.False(t, l.Reserve(a), "those that were there before count")
	require.True(t, l.Reserve(b))
	l.Release(a)
	require.False(t, l.Reserve(a))
	l.Release(a)
	require.True(t, l.Reserve(a))

	l.Set(LimitOptions{Streams: 100, Rate: 2})
	clock.Add(int64(time.Minute))
	for range 2 {
		require.True(t, l.Reserve(a))
	}
	require.False(t, l.Reserve(a), "the new rate")
	l.Set(LimitOptions{})
	require.False(t, l.Active())
	require.True(t, l.Reserve(a))
	for range 5 {
		l.Release(a)
	}
	l.Release(b)
	require.Zero(t, l.Stats().Addresses, "no limit, and still each stream was counted once")
}

func TestFloodOfAddressesIsBoundedAndEvictsNoStream(t *testing.T) {
	const room = 64 * 2 * 16
	l, clock := clocked(LimitOptions{Streams: 1, Rate: 1, MaxAddresses: room})
	own := netip.MustParseAddr("198.51.100.1")
	require.True(t, l.Reserve(own))
	for n := range 200_000 {
		if n%1000 == 0 {
			clock.Add(int64(10 * time.Millisecond))
			require.LessOrEqual(t, l.Stats().Remembered, room)
		}
		a := numbered(n)
		require.True(t, l.Reserve(a), "a first connect is never refused")
		l.Release(a)
		require.False(t, l.Reserve(own), "a stream was forgotten")
	}
	st := l.Stats()
	require.NotZero(t, st.Untracked)
	require.Equal(t, 1, st.Addresses)
	// What remains of the flood goes with the next calls.
	for range 2 {
		clock.Add(int64(time.Second))
		for n := range 4096 {
			l.stripes[n%limitStripes].mu.Lock()
			l.turn(&l.stripes[n%limitStripes], clock.Load())
			l.stripes[n%limitStripes].mu.Unlock()
		}
	}
	require.Zero(t, l.Stats().Remembered)
}

// naive is what Limits are meant to do, told by an allowance per address that is
// never forgotten.
type naive struct {
	streams, rate int
	open          map[Key]int
	level, seen   map[Key]int64 // ns of allowance, and when that was
}

func (m *naive) reserve(a netip.Addr, now int64) bool {
	k := KeyOf(a)
	if m.streams > 0 && m.open[k] >= m.streams {
		return false
	}
	if m.rate > 0 {
		cost := int64(time.Second) / int64(m.rate)
		level, known := m.level[k]
		if !known {
			level = cost * int64(m.rate)
		}
		level = min(cost*int64(m.rate), level+now-m.seen[k])
		ok := level >= cost
		if ok {
			level -= cost
		}
		m.level[k], m.seen[k] = level, now
		if !ok {
			return false
		}
	}
	m.open[k]++
	return true
}

func TestLimitsDoWhatAModelWithoutForgettingDoes(t *testing.T) {
	for round := range 40 {
		seed := uint64(round) + 1
		r := rand.New(rand.NewPCG(seed, 7))
		opt := LimitOptions{Streams: r.IntN(4), Rate: r.IntN(8)}
		l, clock := clocked(opt)
		m := &naive{streams: opt.Streams, rate: opt.Rate, open: map[Key]int{}, level: map[Key]int64{}, seen: map[Key]int64{}}
		var reserved []netip.Addr
		for step := range 4000 {
			switch n := r.IntN(10); {
			case n == 0:
				clock.Add(r.Int64N(int64(time.Second)))
			case n == 1 && r.IntN(20) == 0:
				clock.Add(int64(3 * time.Second))
			case n < 4 && len(reserved) > 0:
				i := r.IntN(len(reserved))
				a := reserved[i]
				reserved[i] = reserved[len(reserved)-1]
				reserved = reserved[:len(reserved)-1]
				l.Release(a)
				m.open[KeyOf(a)]--
			default:
				a := numbered(r.IntN(40))
				want := m.reserve(a, clock.Load())
				require.Equal(t, want, l.Reserve(a), "seed %d step %d: %+v %v", seed, step, opt, a)
				if want {
					reserved = append(reserved, a)
				}
			}
		}
	}
}

func TestLimitsHoldUnderConcurrentUse(t *testing.T) {
	const workers, limit = 8, 5
	l := NewLimits(LimitOptions{Streams: limit, Rate: 1 << 20})
	var open [4]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 5000 {
				n := r.IntN(len(open))
				if !l.Reserve(numbered(n)) {
					continue
				}
				if open[n].Add(1) > limit {
					t.Error("more streams than the limit")
				}
				if r.IntN(8) == 0 {
					_ = l.Stats()
				}
				open[n].Add(-1)
				l.Release(numbered(n))
			}
		})
	}
	wg.Wait()
	require.Zero(t, l.Stats().Addresses)
	for n := range open {
		for range limit {
			require.True(t, l.Reserve(numbered(n)), "a place was lost")
		}
		require.False(t, l.Reserve(numbered(n)))
	}
}
