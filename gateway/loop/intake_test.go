package loop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// give puts a delivery into the inbox of a loop that never runs.
func give(l *Loop, d Delivery) {
	l.in.depth.Add(1)
	l.in.inbox = append(l.in.inbox, d)
}

// setClock sets the clocks of a loop that never runs. Timers fire in the next pass.
func setClock(l *Loop, ns int64) {
	l.start = time.Now().Add(-time.Duration(ns))
	l.now, l.fair = ns, ns
}

// pass does in the test what a turn does once behind its tasks.
func pass(l *Loop) (more bool) {
	more = (*behavior)(l).Flush()
	// The clock of the test stands still meanwhile.
	l.in.began = min(l.in.began, l.now)
	return more
}

// settleAt runs passes at a time until nothing is left to do at that time.
func settleAt(l *Loop, ns int64) {
	for more := true; more; {
		setClock(l, ns)
		more = pass(l)
	}
}

// adopt gives a loop that never runs a stream of a real connection.
func adopt(t testing.TB, l *Loop, pair pairOf, tiny bool) *client {
	t.Helper()
	sock, far := pair(t, tiny)
	c := &client{t: t, conn: far, fd: sock.fd, l: l, framing: codec.FramingChunked}
	var err error
	c.ref, err = l.Adopt(sock, c.framing, codec.CodingIdentity)
	require.NoError(t, err)
	t.Cleanup(func() {
		if l.at(c.ref.Slot).gen == c.ref.Gen {
			l.fail(c.ref.Slot, ReasonShutdown)
		}
		_ = far.Close()
	})
	return c
}

// toAll is a delivery of a frame to all these streams.
func toAll(clients []*client, f *codec.Frame) *parcel {
	return &parcel{size: f.Len(), run: func(l *Loop) {
		for _, c := range clients {
			if l.Live(c.ref) {
				l.Send(c.ref.Slot, f, NoID)
			}
		}
	}}
}

func TestDeliveriesComeBehindTasks(t *testing.T) {
	const each = 30 // tasks of one pass
	h := newHarness(t, Options{})
	c := h.open(tcpPair, codec.FramingChunked)
	began, gate := make(chan struct{}), make(chan struct{})
	wait := funcTask(func(*Loop) { began <- struct{}{}; <-gate })
	h.l.Post(wait)
	<-began
	h.l.Post(wait) // the first of the next pass
	want := ""
	for n := range each {
		h.l.Post(funcTask(func(l *Loop) { l.Send(c.ref.Slot, frameOf("", fmt.Sprint("task ", n)), NoID) }))
		want += wire(c.framing, "", fmt.Sprint("task ", n))
	}
	gate <- struct{}{}
	<-began
	for n := range each {
		h.l.Deliver(toAll([]*client{c}, frameOf("", fmt.Sprint("delivery ", n))))
		want += wire(c.framing, "", fmt.Sprint("delivery ", n))
	}
	require.Equal(t, each, h.l.Deliveries())
	require.GreaterOrEqual(t, h.l.Backlog(), 2*each+1)
	gate <- struct{}{}
	c.expect(want)
}

func TestDeliveriesOfEachPosterAreTakenInOrder(t *testing.T) {
	const posters, each = 6, 1500
	h := newHarness(t, Options{})
	next, told := make([]int, posters), make([]int, posters)
	var wg sync.WaitGroup
	for from := range posters {
		wg.Go(func() {
			for n := range each {
				h.l.Deliver(&parcel{
					run: func(*Loop) {
						if next[from] != n {
							t.Errorf("poster %d: expected %d, got %d", from, next[from], n)
						}
						next[from] = n + 1
					},
					offered: func(*Loop) {
						if told[from] != n || next[from] <= n {
							t.Errorf("poster %d: expected %d offered behind its run, got %d", from, told[from], n)
						}
						told[from] = n + 1
					},
				})
			}
		})
	}
	wg.Wait()
	h.await("all offered", func() bool {
		done := true
		h.do(func(*Loop) {
			for _, n := range told {
				done = done && n == each
			}
		})
		return done
	})
	require.Zero(t, h.l.Deliveries())
}

// windows runs a loop to the end of its inbox and returns the sizes of the windows.
func windows(t *testing.T, l *Loop, look func()) (counts []int) {
	t.Helper()
	for more := true; more; {
		more = pass(l)
		if n := len(l.in.window); n > 0 && !l.in.filling {
			counts = append(counts, n)
			look()
		}
	}
	return counts
}

func TestAWindowIsBounded(t *testing.T) {
	const limit = 64 << 10 // so a window has 16 KiB
	f := func(sizes []int, want ...int) {
		t.Helper()
		l, _ := bareLoop(t, Options{QueueMaxSize: limit, Verify: true})
		l.opt.QueueMaxSize = limit
		require.Equal(t, limit/4, l.windowSize())
		for _, n := range sizes {
			give(l, &parcel{size: n, run: func(*Loop) {}})
		}
		require.Equal(t, want, windows(t, l, func() {}))
		require.Zero(t, l.Deliveries())
	}
	many := func(n, size int) (sizes []int) {
		for range n {
			sizes = append(sizes, size)
		}
		return sizes
	}
	f(many(maxWindow, 1), maxWindow)
	f(many(maxWindow+1, 1), maxWindow, 1)
	f(many(3*maxWindow, 0), maxWindow, maxWindow, maxWindow)
	f(many(5, limit/8), 2, 2, 1)
	f(many(3, limit/4), 1, 1, 1)
	f(many(3, 10*limit), 1, 1, 1)
	f([]int{1, 10 * limit, 1}, 1, 1, 1)
	f([]int{limit / 4, 0, 0, 1}, 3, 1) // what has no bytes fits
	l, _ := bareLoop(t, Options{})
	require.Equal(t, windowBytes, l.windowSize(), "a window is no larger with the default limits")
}

// flowModel checks what the comment of intake.go promises of a loop that is given
// deliveries at random, while its clients read at random or leave.
type flowModel struct {
	t       *testing.T
	l       *Loop
	clients []*client
	given   int
	ran     int // next to run
	offered int // next to be offered
	out     int // deliveries not yet offered: the credit
}

// deliver gives one more.
func (m *flowModel) deliver(size int) {
	n, f := m.given, frameOf("", fmt.Sprint(m.given, ":", strings.Repeat("d", size)))
	m.given++
	m.out++
	all := toAll(m.clients, f)
	run := all.run
	all.run = func(l *Loop) {
		require.Equal(m.t, m.ran, n, "deliveries are taken in order")
		m.ran++
		if len(l.in.window) == 0 { // the first of a window
			m.everyoneWasOffered("the window begins")
			require.Equal(m.t, n, m.offered, "the window before was told first")
		}
		run(l)
	}
	all.offered = func(*Loop) {
		require.Equal(m.t, m.offered, n, "each is offered once, in order")
		m.offered++
		m.out--
		m.everyoneWasOffered("it is told")
	}
	give(m.l, all)
}

// everyoneWasOffered checks that nothing waits on a stream whose socket is not full.
func (m *flowModel) everyoneWasOffered(when string) {
	m.t.Helper()
	for _, c := range m.clients {
		s := m.l.at(c.ref.Slot)
		if s.gen == c.ref.Gen && s.queue != 0 && !s.blocked && m.l.queues[s.queue-1].exempt == 0 {
			m.t.Fatalf("stream %v has %d bytes queued when %s, and no full socket", c.ref, m.l.Queued(c.ref.Slot), when)
		}
	}
}

func TestNoWindowBeginsBeforeTheOneBeforeItWasOfferedToAll(t *testing.T) {
	holds, gone := uint64(0), uint64(0)
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 71))
		l, _ := bareLoop(t, Options{QueueMaxSize: 128 << 10, QueueMaxAge: 20 * time.Second, Verify: true})
		m := &flowModel{t: t, l: l}
		for i := range 12 {
			m.clients = append(m.clients, adopt(t, l, []pairOf{unixPair, tcpPair, tlsPair}[(i+int(seed))%3], i%2 == 0))
		}
		buf := make([]byte, 64<<10)
		now := int64(0)
		for range 120 {
			for n := rnd.IntN(40); n > 0; n-- {
				m.deliver(rnd.IntN(3000))
			}
			for _, c := range m.clients {
				s := l.at(c.ref.Slot)
				if s.gen != c.ref.Gen {
					continue
				}
				switch rnd.IntN(200) {
				case 0:
					l.Cut(c.ref, ReasonDisconnect)
				case 1:
					l.Close(c.ref, ReasonDisconnect, nil, time.Second)
				case 2:
					l.Send(c.ref.Slot, frameOf("", "a ping"), NoID)
				}
				if rnd.IntN(3) > 0 && c.ref.Slot%4 > 0 { // some never read
					_, _ = readNow(c.conn, buf[:1+rnd.IntN(len(buf)-1)])
				}
				if s.gen == c.ref.Gen && s.blocked && l.waits(s) {
					l.handleReady(&event{slot: c.ref.Slot, gen: c.ref.Gen, writable: true})
				}
			}
			now += rnd.Int64N(int64(300 * time.Millisecond))
			settleAt(l, now)
			require.LessOrEqual(t, len(l.in.window), maxWindow)
		}
		for n := 0; m.out > 0; n++ { // whoever reads or not
			require.Less(t, n, 100000, "expected an end, %d are not offered", m.out)
			now += int64(100 * time.Millisecond)
			settleAt(l, now)
		}
		require.Equal(t, m.given, m.offered)
		require.Zero(t, l.Deliveries())
		holds += l.stats.Holds
		gone += l.stats.GivenUp
		for _, c := range m.clients {
			if l.at(c.ref.Slot).gen == c.ref.Gen {
				l.fail(c.ref.Slot, ReasonShutdown)
			}
		}
		settleAt(l, now)
		checkEmpty(t, l)
		require.Zero(t, l.stats.HeldBytes)
	}
	require.NotZero(t, holds, "no window waited")
	require.NotZero(t, gone, "nobody was given up")
}

// Offered is how credit comes back: whatever becomes of the streams.
func TestEveryDeliveryIsOfferedOnce(t *testing.T) {
	f := func(name string, before func(l *Loop, clients []*client)) {
		t.Run(name, func(t *testing.T) {
			l, _ := bareLoop(t, Options{QueueMaxSize: 64 << 10, Verify: true})
			var clients []*client
			for range 8 {
				clients = append(clients, adopt(t, l, unixPair, true))
			}
			for range 200 {
				l.Send(clients[0].ref.Slot, frameOf("", "x"), NoID)
			}
			before(l, clients)
			const each = 150
			told := make([]int, each)
			for n := range each {
				d := toAll(clients, frameOf("", strings.Repeat("o", 900)))
				d.offered = func(*Loop) { told[n]++ }
				give(l, d)
			}
			for now := int64(0); now < int64(time.Minute); now += int64(50 * time.Millisecond) {
				settleAt(l, now)
			}
			for n, times := range told {
				require.Equal(t, 1, times, "delivery %d", n)
			}
			require.Zero(t, l.Deliveries())
		})
	}
	f("nobody reads", func(*Loop, []*client) {})
	f("all blocked before", func(l *Loop, clients []*client) {
		for _, c := range clients {
			c.fill(l, 500)
		}
	})
	f("all gone", func(l *Loop, clients []*client) {
		for _, c := range clients {
			l.Cut(c.ref, ReasonDisconnect)
		}
	})
	f("all closing", func(l *Loop, clients []*client) {
		for _, c := range clients {
			c.fill(l, 500)
			l.Close(c.ref, ReasonDisconnect, nil, time.Second)
		}
	})
}

// A stop takes what waits, though its streams are blocked.
func TestStopOffersWhatWaits(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 64 << 10})
	var clients []*client
	for range 5 {
		clients = append(clients, h.openTiny(unixPair, codec.FramingChunked))
	}
	for _, c := range clients {
		h.block(c, 500)
	}
	told, ran := 0, 0 // of the loop's turn
	const given = 1000
	for range given {
		d := toAll(clients, frameOf("", strings.Repeat("s", 700)))
		run := d.run
		d.run = func(l *Loop) { ran++; run(l) }
		d.offered = func(*Loop) { told++ }
		h.l.Deliver(d)
	}
	h.awaitStats("deliveries that wait", func(s Stats) bool { return s.Holds > 0 && s.Waiting > 0 })
	h.end()
	require.Equal(t, given, ran)
	require.Equal(t, given, told)
}
