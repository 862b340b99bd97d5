package loop

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// burst is a simulation: many deliveries to streams most of which read all they are
// sent, while some trickle.
type burst struct {
	streams, trickling int
	every              int64 // how often one that trickles takes a gulp
	gulp               int
	catchUp            bool  // it reads all once it is late, to be waited for again
	write              int64 // how long it takes to write a window
	windows            int
}

// run returns how long the burst took, and how long it may have without anybody's
// patience.
func (b burst) run(t *testing.T) (took, fair int64, l *Loop) {
	r := newHoldRig(t, 0, b.streams, Options{QueueMaxSize: 1 << 30, QueueMaxAge: 30 * time.Second})
	l = r.l
	frame := frameOf("", "0123456789")
	for range b.windows * maxWindow {
		d := toAll(r.clients, frame)
		run := d.run
		d.run = func(l *Loop) { r.ran++; run(l) }
		give(l, d)
		r.given++
	}
	slow := r.clients[:b.trickling]
	next := make([]int64, len(slow))
	for _, c := range slow {
		c.fill(l, 500)
	}
	buf := make([]byte, 1<<20)
	now, holding := began, false
	for r.ran < r.given || l.in.hold.on {
		setClock(l, now)
		taken, begun := r.ran, l.in.began
		more := pass(l)
		if holding && !l.in.hold.on {
			fair += freeFactor*(l.in.hold.most-begun) + 2*ms
		}
		holding = l.in.hold.on
		for _, c := range r.clients[b.trickling:] {
			_, _ = readReady(c, buf)
		}
		for i, c := range slow {
			if now >= next[i] || b.catchUp && l.at(c.ref.Slot).late {
				n := b.gulp
				if b.catchUp && l.at(c.ref.Slot).late {
					n = len(buf)
				}
				_, _ = readReady(c, buf[:n])
				if s := l.at(c.ref.Slot); s.blocked && l.waits(s) {
					l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
				}
				next[i] = now + b.every
			}
		}
		switch {
		case l.in.filling: // a slow machine: it gave way to tasks
		case r.ran > taken:
			now += b.write // it is written
			fair += b.write
		case !more:
			now += ms
		}
		if now-began > 3600*sec {
			break
		}
	}
	return now - began, fair, l
}

// readReady reads what is there, without waiting.
func readReady(c *client, buf []byte) (n int, err error) {
	raw, err := c.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), buf)
		return true
	}); e != nil {
		err = e
	}
	return max(n, 0), err
}

// Few streams that trickle make a burst longer by what the rules say, and no more.
func TestAFewThatTrickleDoNotStopABurst(t *testing.T) {
	f := func(b burst) (took int64, l *Loop) {
		t.Helper()
		took, fair, l := b.run(t)
		t.Logf("%+v: %v, %d waits, %d given up", b, time.Duration(took), l.stats.Holds, l.stats.GivenUp)
		// Those that trickle do so together, and so use their patience together, which
		// is stretched; and each wait ends with the look behind its end.
		times := 1 + float64(b.trickling-1)/stretchEach
		require.LessOrEqual(t, float64(took)*(1-times/patienceGrows), float64(fair)+times*float64(patienceMax)+float64(int64(l.stats.Holds)*askEvery), "%+v", b)
		require.Zero(t, l.stats.Closes, "%+v", b)
		return took, l
	}
	const write, windows = 2 * ms, 40
	// Those that never catch up are waited for once, all together.
	for _, every := range []int64{100 * ms, 1000 * ms, time.Hour.Nanoseconds()} {
		took, l := f(burst{streams: 50, trickling: 5, every: every, gulp: 32, write: write, windows: windows})
		require.LessOrEqual(t, took, windows*write+patienceMax+patienceMax/2, "every %v", time.Duration(every))
		require.LessOrEqual(t, l.stats.Holds, uint64(2))
	}
	// Those that catch up are waited for again, for a part of the time.
	for _, every := range []int64{10 * ms, 100 * ms, 600 * ms} {
		f(burst{streams: 50, trickling: 1, every: every, gulp: 4096, catchUp: true, write: write, windows: windows})
		f(burst{streams: 50, trickling: 20, every: every, gulp: 4096, catchUp: true, write: write, windows: windows})
	}
}
