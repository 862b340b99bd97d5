package loop

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// Healthy readers (each a goroutine that reads all there is) resume with a large
// opening while a burst goes on.
func TestResumersThatReadSurviveABurst(t *testing.T) {
	const streams, opening, burst, size = 64, 8 << 20, 300, 16 << 10
	h := newGroup(t, 1, Options{QueueMaxAge: 30 * time.Second})
	var clients []*client
	var total atomic.Int64
	var wg sync.WaitGroup
	for range streams {
		c := h.open(tcpPair, codec.FramingChunked)
		clients = append(clients, c)
		wg.Go(func() {
			buf := make([]byte, 256<<10)
			for {
				n, err := c.conn.Read(buf)
				total.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	big := frameOf("", strings.Repeat("o", opening))
	h.do(func(l *Loop) {
		for _, c := range clients {
			l.SendCharged(c.ref.Slot, big, nil)
		}
	})
	f := frameOf("", strings.Repeat("b", size))
	var offered atomic.Int64
	for range burst {
		d := toAll(clients, f)
		d.offered = func(*Loop) { offered.Add(1) }
		h.l.Deliver(d)
	}
	h.await("the burst offered", func() bool { return offered.Load() == burst })
	h.await("everything read, or an end", func() bool {
		return total.Load() >= streams*(opening+burst*size) || h.group.Stats().Closes != ([reasonCount]uint64{})
	})
	require.Equal(t, [reasonCount]uint64{}, h.group.Stats().Closes)
}

// The same step by step: after every pass each client reads all that is there, so
// no socket that was found full stays so.
func TestResumersThatReadAreNotClosedForOurLateness(t *testing.T) {
	const streams = 64
	r := newHoldRig(t, 0, 0, Options{QueueMaxAge: 30 * time.Second, QueueMaxSize: 1 << 20})
	l := r.l
	for range streams {
		r.clients = append(r.clients, adopt(t, l, tcpPair, false))
	}
	big := frameOf("", strings.Repeat("o", 8<<20))
	for _, c := range r.clients {
		l.SendCharged(c.ref.Slot, big, nil)
	}
	f := frameOf("", strings.Repeat("b", 16<<10))
	for range 200 {
		d := toAll(r.clients, f)
		give(l, d)
	}
	buf := make([]byte, 8<<20)
	windows := 0
	for now := began; l.Deliveries() > 0 && now < began+60*sec; now += ms {
		setClock(l, now)
		pass(l)
		windows++
		for _, c := range r.clients {
			for {
				n, _ := readReady(c, buf)
				if n == 0 {
					break
				}
			}
			if s := l.at(c.ref.Slot); s.gen == c.ref.Gen && s.blocked && l.waits(s) {
				l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
			}
		}
		if l.stats.Closes != ([reasonCount]uint64{}) {
			t.Fatalf("pass %d: %d closed as slow_bytes, holds %d, blocked %d, bulk %d", windows, l.stats.Closes[ReasonSlowBytes], l.stats.Holds, l.stats.Blocked, len(l.bulk))
		}
	}
	require.Zero(t, l.Deliveries(), "after %d passes", windows)
}

// Most streams of a loop trickle: they take a gulp now and then, never all. They set
// the pace, within its bound for each window.
func TestATricklingMajoritySetsThePaceWithinItsBound(t *testing.T) {
	r := newHoldRig(t, 0, 5, Options{QueueMaxAge: 30 * time.Second, QueueMaxSize: 1 << 20})
	l := r.l
	f := frameOf("", strings.Repeat("x", 100))
	for range 100 * maxWindow {
		d := toAll(r.clients, f)
		run := d.run
		d.run = func(l *Loop) { r.ran++; run(l) }
		give(l, d)
		r.given++
	}
	slow := r.clients[2:]
	for _, c := range slow {
		c.fill(l, 500)
		r.more(c, 4*behindItems, 100)
	}
	buf := make([]byte, 1<<20)
	for now := began; now <= began+600*sec; now += 50 * ms {
		settleAt(l, now)
		for _, c := range r.clients[:2] {
			for n := 1; n > 0; {
				n, _ = readReady(c, buf) // reads all, always
				if s := l.at(c.ref.Slot); n > 0 && s.blocked && l.waits(s) {
					l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
				}
			}
		}
		if (now-began)%(400*ms) == 0 {
			for _, c := range slow {
				s := l.at(c.ref.Slot)
				if s.queue == 0 || !l.Live(c.ref) {
					continue
				}
				for before := l.age(s); s.queue != 0 && s.blocked && l.age(s) == before && before > 0; {
					n, _ := readReady(c, buf[:100])
					if n == 0 {
						break
					}
					l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
				}
			}
		}
		if r.ran == r.given {
			t.Logf("all taken after %v, waited for %v, %d given up", time.Duration(now-began), l.stats.Held, l.stats.GivenUp)
			require.LessOrEqual(t, now-began, 100*(majorityMax+stallMax))
			return
		}
	}
	t.Fatalf("%d of %d taken", r.ran, r.given)
}
