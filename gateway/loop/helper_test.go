package loop

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/actor"
	"sluice/gateway/testkit"
)

// patience is how long a test waits for what must happen: also on a machine that
// stands still for seconds.
const patience = time.Minute

// harness is a group with handlers that note what they are told. Its end checks
// that nothing is left and that every counter of the present is 0 again.
type harness struct {
	t     testing.TB
	pool  *actor.Pool
	group *Group
	told  []*recorder
	l     *Loop     // the first loop
	rec   *recorder // its handler
	// stopped says that the test has called end, or its parts, itself.
	stopped bool

	// Guarded by mu.
	mu     sync.Mutex
	panics []string
}

// recorder is a Handler.
type recorder struct {
	l *Loop
	// Hooks, on-loop; set them before the first stream.
	onTimer  func(ref Ref)
	onClosed func(ref Ref, reason Reason)
	onSpent  func(ref Ref)

	// Guarded by mu.
	mu     sync.Mutex
	closed map[Ref][]Reason
	timers map[Ref][]int64 // Loop.Now of each call
}

func (r *recorder) Timer(ref Ref) {
	r.mu.Lock()
	r.timers[ref] = append(r.timers[ref], r.l.Now())
	r.mu.Unlock()
	if r.onTimer != nil {
		r.onTimer(ref)
	}
}

func (r *recorder) Closed(ref Ref, reason Reason) {
	r.mu.Lock()
	r.closed[ref] = append(r.closed[ref], reason)
	r.mu.Unlock()
	if r.onClosed != nil {
		r.onClosed(ref, reason)
	}
}

func (r *recorder) Spent(ref Ref) {
	if r.onSpent != nil {
		r.onSpent(ref)
	}
}

func (r *recorder) reasons(ref Ref) []Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Reason(nil), r.closed[ref]...)
}

func (r *recorder) fired(ref Ref) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int64(nil), r.timers[ref]...)
}

func newRecorder(l *Loop) *recorder {
	return &recorder{l: l, closed: make(map[Ref][]Reason), timers: make(map[Ref][]int64)}
}

// ringed says that the tests run over io_uring: TestMain has all of them run
// once without it and once with it, where the kernel allows.
var ringed bool

func TestMain(m *testing.M) {
	code := m.Run()
	if b, err := newBatch(); err == nil {
		b.close()
		ringed = true
		code = max(code, m.Run())
	}
	os.Exit(code)
}

// newHarness starts one loop that verifies its frames.
func newHarness(t testing.TB, opt Options) *harness {
	t.Helper()
	opt.Verify = true
	return newGroup(t, 1, opt)
}

func newGroup(t testing.TB, loops int, opt Options) *harness {
	t.Helper()
	return startGroup(t, loops, opt, func(*Loop) {})
}

// startGroup is newGroup with something done to each loop before it starts.
func startGroup(t testing.TB, loops int, opt Options, prepare func(l *Loop)) *harness {
	t.Helper()
	testkit.Snapshot(t)
	h := &harness{t: t}
	opt.Ring = ringed
	if opt.QueueMaxAge == 0 { // no stream is slow by the pauses of a busy machine
		opt.QueueMaxAge = time.Hour
	}
	opt.OnPanic = func(v any, stack []byte) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.panics = append(h.panics, fmt.Sprintf("%v\n%s", v, stack))
	}
	var err error
	h.pool, err = actor.NewPool(loops)
	require.NoError(t, err)
	h.group, err = NewGroup(loops, h.pool, opt)
	require.NoError(t, err)
	require.NoError(t, h.group.RingError())
	for _, l := range h.group.Loops {
		prepare(l)
	}
	h.group.Start(func(l *Loop) Handler {
		h.told = append(h.told, newRecorder(l))
		return h.told[l.ID()]
	})
	h.l, h.rec = h.group.Loops[0], h.told[0]
	t.Cleanup(h.end)
	return h
}

func (h *harness) end() {
	if h.stopped {
		return
	}
	h.stopped = true
	h.group.Stop()
	h.pool.Release()
	for _, p := range h.takePanics() {
		h.t.Errorf("a turn panicked: %s", p)
	}
	for i, l := range h.group.Loops {
		checkEmpty(h.t, l)
		h.told[i].mu.Lock()
		ends := 0
		for ref, reasons := range h.told[i].closed {
			ends++
			if len(reasons) != 1 {
				h.t.Errorf("stream %v: expected one end, got %v", ref, reasons)
			}
		}
		if uint64(ends) != l.stats.Adopted {
			h.t.Errorf("expected an end for each of %d adopted streams, got %d", l.stats.Adopted, ends)
		}
		h.told[i].mu.Unlock()
	}
	if n := h.group.total.Load(); n != 0 {
		h.t.Errorf("expected no bytes queued by all loops at the end, got %d", n)
	}
}

// checkEmpty fails the test if a loop without streams holds anything.
func checkEmpty(t testing.TB, l *Loop) {
	t.Helper()
	s := &l.stats
	if s.Open != 0 || s.Blocked != 0 || s.QueuedBytes != 0 {
		t.Errorf("expected nothing open, blocked or queued at the end, got %d, %d and %d", s.Open, s.Blocked, s.QueuedBytes)
	}
	if len(l.blocked) != 0 || len(l.bulk) != 0 || len(l.in.window) != 0 || l.Deliveries() != 0 {
		t.Errorf("expected no stream blocked or catching up and no delivery, got %d, %d, %d and %d", len(l.blocked), len(l.bulk), len(l.in.window), l.Deliveries())
	}
	if len(l.lossies.idle) != len(l.lossies.entries) {
		t.Errorf("expected nothing lossy left, got %d of %d free", len(l.lossies.idle), len(l.lossies.entries))
	}
	var closes uint64
	for _, n := range s.Closes {
		closes += n
	}
	if closes != s.Adopted {
		t.Errorf("expected a reason for each of %d streams, got %d", s.Adopted, closes)
	}
	if len(l.free) != len(l.slabs)*slabSize || len(l.spare) != len(l.queues) {
		t.Errorf("expected all slots and queues free, got %d of %d and %d of %d",
			len(l.free), len(l.slabs)*slabSize, len(l.spare), len(l.queues))
	}
	for i := range l.queues {
		q := &l.queues[i]
		for _, it := range q.items[:cap(q.items)] {
			if it != (item{}) {
				t.Fatal("expected no reference in an emptied queue")
			}
		}
		if q.head != 0 || q.sent != 0 || q.bytes != 0 || q.exempt != 0 || q.keys != nil || q.rest != nil {
			t.Errorf("expected a free queue to be empty, got %+v", q)
		}
	}
	for _, v := range l.iov.addresses() {
		if v.Base != nil {
			t.Fatal("expected no address in the scratch of writev")
		}
	}
	if l.wheel.count != 0 || l.wheel.heads != [wheelSize]uint32{} || l.wheel.occupied != [wheelSize / 64]uint64{} || len(l.expired) != 0 {
		t.Errorf("expected no timer left, got %d", l.wheel.count)
	}
	if l.check != nil && len(l.check.frames) != 0 {
		t.Errorf("expected every frame released, %d are not", len(l.check.frames))
	}
}

// takePanics returns the panics so far, which are no failure of the test then.
func (h *harness) takePanics() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.panics
	h.panics = nil
	return p
}

// wantPanics waits for so many panics with the text in them.
func (h *harness) wantPanics(n int, text string) {
	h.t.Helper()
	var got []string
	h.await(fmt.Sprintf("%d panics", n), func() bool {
		got = append(got, h.takePanics()...)
		return len(got) >= n
	})
	require.Len(h.t, got, n)
	for _, p := range got {
		require.Contains(h.t, p, text)
	}
}

func (h *harness) await(what string, ok func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			h.t.Fatalf("expected %s within %v", what, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

// do runs f in the first loop's turn and waits for it, but not for the flush.
func (h *harness) do(f func(l *Loop)) { h.on(h.l, f) }

func (h *harness) on(l *Loop, f func(l *Loop)) {
	done := make(chan struct{})
	l.Post(funcTask(func(l *Loop) {
		defer close(done)
		f(l)
	}))
	<-done
}

// parcel is a Delivery made of functions.
type parcel struct {
	size    int
	run     func(l *Loop)
	offered func(l *Loop) // may be nil
}

func (p *parcel) Run(l *Loop) { p.run(l) }

func (p *parcel) Size() int { return p.size }

func (p *parcel) Offered(l *Loop) {
	if p.offered != nil {
		p.offered(l)
	}
}

// awaitStats polls the group's counters.
func (h *harness) awaitStats(what string, ok func(s Stats) bool) Stats {
	h.t.Helper()
	var s Stats
	h.await(what, func() bool {
		s = h.group.Stats()
		return ok(s)
	})
	return s
}

// awaitClosed waits for the stream's end and checks its reason.
func (h *harness) awaitClosed(c *client, want Reason) {
	h.t.Helper()
	h.await("the end of a stream", func() bool { return len(c.rec.reasons(c.ref)) > 0 })
	require.Equal(h.t, []Reason{want}, c.rec.reasons(c.ref), "expected reason %v", want)
}

// alive checks that a stream still receives.
func (h *harness) alive(c *client) {
	h.t.Helper()
	c.seq++
	text := fmt.Sprintf("alive-%d", c.seq)
	live := false
	h.on(c.l, func(l *Loop) {
		if live = l.Live(c.ref); live {
			l.Send(c.ref.Slot, frameOf("", text), NoID)
		}
	})
	require.True(h.t, live, "expected a live stream, its end was %v", c.rec.reasons(c.ref))
	c.expect(wire(c.framing, "", text))
}

// bareLoop is a loop that never runs: the test calls its methods in place of a
// turn.
func bareLoop(t testing.TB, opt Options) (*Loop, *recorder) {
	t.Helper()
	g, err := NewGroup(1, noSubmitter{t}, opt)
	require.NoError(t, err)
	l := g.Loops[0]
	rec := newRecorder(l)
	l.handler = rec
	t.Cleanup(l.poller.release)
	return l, rec
}

type noSubmitter struct{ t testing.TB }

func (s noSubmitter) Submit(func()) { s.t.Error("expected no turn of a loop that never runs") }
