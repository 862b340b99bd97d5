package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
)

const (
	// littleWork is up to how many bytes a call may hold without taking room: the kernel
	// has as many for the answer of a caller that does not read.
	littleWork = 16 << 10
	// smallShare is the part of all room up to which a call is small. Those that hold more
	// leave a quarter to the small ones: a few callers of much that read nothing do not hold
	// everybody up.
	smallShare = 16
	// heldPatience is how long a call that holds room waits for more: another one may
	// wait for what it holds. One that waits already when it gets some has up to twice as
	// long.
	heldPatience = time.Second
	// answerFactor is by how much more than its bytes an answer counts: composing it, and
	// the collector, leave as much garbage beside it.
	answerFactor = 2
	// bodiesWaiting bounds the bodies of calls that wait; one may wait that is larger.
	bodiesWaiting = 32 << 20
)

// work is the room for what calls hold beside their bodies: decoded batches and
// broadcasts, and answers until their callers have taken them. First come, first served;
// but calls that hold room come before those that hold none, who may wait for it. Any
// goroutine.
type work struct {
	// Immutable after newWork.
	size     int64
	patience time.Duration   // how long a call waits, at most
	quit     context.Context // nobody waits when it is done
	stop     context.CancelFunc
	waits    func(head *fasthttp.RequestHeader, body int, waits bool) // nil for nobody

	// Guarded by mu.
	mu      sync.Mutex
	used    int64
	large   int64     // of it, by calls that are not small
	waiting []*waiter // in the order in which they came
	bodies  int64     // of the calls that wait
	fails   uint64
}

// waiter is a command of a call that waits for n bytes.
type waiter struct {
	// Immutable.
	hold *hold
	n    int64
	in   chan struct{} // closed when it has them
}

// hold is what one call holds of the room, its commands included. Any goroutine.
type hold struct {
	// Immutable.
	w    *work
	head *fasthttp.RequestHeader // nil: nobody is told when it waits
	body int                     // bytes

	// Atomic, changed under work.mu.
	n atomic.Int64 // taken

	// Guarded by work.mu.
	little int64 // not taken yet, since it is little
	asked  int64 // by commands that wait
	queued int   // commands that wait
}

func newWork(size int, patience time.Duration) *work {
	w := &work{size: int64(size), patience: patience}
	w.quit, w.stop = context.WithCancel(context.Background())
	return w
}

// most is what calls that are not small may hold, all together and so each.
func (w *work) most() int64 { return w.size - w.size/4 }

// asLarge returns what a call that holds n bytes counts among those that are not small.
func (w *work) asLarge(n int64) int64 {
	if n <= w.size/smallShare {
		return 0
	}
	return n
}

// set changes what h holds to n. Caller holds mu.
func (w *work) set(h *hold, n int64) {
	was := h.n.Load()
	w.used += n - was
	w.large += w.asLarge(n) - w.asLarge(was)
	h.n.Store(n)
}

// The details of calls that found no room.
const (
	noWorkRoom  = "no room came free in time for what the call holds (http_api.work_max_bytes): others wait for their answers"
	tooMuchWork = "what the call holds is more than there is room for (http_api.work_max_bytes): ask for less"
)

// Why calls waited in vain, or not at all.
var (
	errWorkHeld    = errors.New("the call holds room that others may wait for")
	errWorkBodies  = errors.New("the bodies of the calls that wait are too many bytes")
	errWorkStopped = errors.New("the server stops")
)

// take takes room for n bytes more, and waits for it until ctx ends, at most the patience
// of the room. What is larger than all that one may have takes that, if the call holds
// nothing else.
func (h *hold) take(ctx context.Context, n int64) *failure {
	w := h.w
	w.mu.Lock()
	x, fail := w.ask(h, n)
	w.mu.Unlock()
	if x == nil {
		return fail
	}
	err := w.await(ctx, x)
	w.mu.Lock()
	if h.queued--; h.queued == 0 {
		w.bodies -= int64(h.body)
		w.tell(h, false)
	}
	if err != nil && w.giveUp(x) {
		fail = noRoomFor(err)
	}
	w.mu.Unlock()
	return fail
}

func noRoomFor(err error) *failure {
	return &failure{err: codec.ErrInternal, detail: noWorkRoom, cause: fmt.Errorf("api: %s: %w", noWorkRoom, err)}
}

// ask takes room for n bytes more if there is some. If there is not it returns who waits
// for it, or why nobody may. Caller holds mu.
func (w *work) ask(h *hold, n int64) (*waiter, *failure) {
	if h.little += n; h.little < littleWork {
		return nil, nil
	}
	n, h.little = h.little, 0
	// Why what waits counts as well: commands of one call would wait for each other.
	has := h.n.Load() + h.asked
	if has == 0 {
		n = min(n, w.most())
	}
	if has+n > w.most() {
		w.fails++
		return nil, refuse(codec.ErrBadRequest, tooMuchWork) // trying again is no use
	}
	x := &waiter{hold: h, n: n, in: make(chan struct{})}
	h.asked += n
	w.waiting = append(w.waiting, x)
	if w.admit(); !slices.Contains(w.waiting, x) {
		return nil, nil
	}
	if h.queued == 0 && w.bodies > 0 && w.bodies+int64(h.body) > bodiesWaiting {
		w.giveUp(x)
		return nil, noRoomFor(errWorkBodies)
	}
	if h.queued++; h.queued == 1 {
		w.bodies += int64(h.body)
		w.tell(h, true)
	}
	return x, nil
}

// tell says that a call waits, or no longer. Caller holds mu: the order counts.
func (w *work) tell(h *hold, waits bool) {
	if w.waits != nil && h.head != nil {
		w.waits(h.head, h.body, waits)
	}
}

// await waits until x has its room; the error says why it gave up.
func (w *work) await(ctx context.Context, x *waiter) error {
	end, look := time.NewTimer(w.patience), time.NewTicker(heldPatience)
	defer end.Stop()
	defer look.Stop()
	for held := x.hold.n.Load() > 0; ; {
		select {
		case <-x.in:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return context.DeadlineExceeded
		case <-w.quit.Done():
			return errWorkStopped
		case <-look.C:
			holds := x.hold.n.Load() > 0
			if held && holds {
				return errWorkHeld
			}
			held = holds
		}
	}
}

// giveUp takes x out of the queue, and reports whether it was still there. Caller holds mu.
func (w *work) giveUp(x *waiter) bool {
	i := slices.Index(w.waiting, x)
	if i < 0 {
		return false
	}
	w.waiting = slices.Delete(w.waiting, i, i+1)
	x.hold.asked -= x.n
	w.fails++
	w.admit() // it is in nobody's way any more
	return true
}

// admit lets in who may, until nobody does: whose call has some room by then comes before
// the others. Caller holds mu.
func (w *work) admit() {
	for some := true; some && len(w.waiting) > 0; {
		some = false
		var full, fullOfLarge bool // of who comes first
		for _, holds := range [...]bool{true, false} {
			w.waiting = slices.DeleteFunc(w.waiting, func(x *waiter) bool {
				has := x.hold.n.Load()
				if has > 0 != holds || !holds && full {
					return false
				}
				large := w.asLarge(has + x.n)
				if large > 0 && (!holds && fullOfLarge || w.large-w.asLarge(has)+large > w.most()) {
					fullOfLarge = true // it is in nobody's way who is small
					return false
				}
				if w.used+x.n > w.size {
					full = true
					return false
				}
				w.set(x.hold, has+x.n)
				x.hold.asked -= x.n
				close(x.in)
				some = true
				return true
			})
		}
	}
}

// keep gives back all but n bytes.
func (h *hold) keep(n int64) {
	if h.n.Load() <= n {
		return // most calls hold nothing
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.set(h, n)
	h.w.admit()
}

// moveTo hands what h holds over to another hold, which has nothing.
func (h *hold) moveTo(other *hold) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	n := h.n.Load()
	h.w.set(h, 0)
	h.w.set(other, n)
}

// stats fills in what concerns the room.
func (w *work) stats(st *Stats) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st.Work, st.WorkWaiting, st.WorkRefused = w.used, int64(len(w.waiting)), w.fails
}

// heldBody is an answer that holds room until it was written, or cannot be.
type heldBody struct {
	*bytes.Reader
	hold hold
}

// newHeldBody returns the body of an answer, which takes over what h holds for it; nil if
// that is nothing, or the answer is little.
func newHeldBody(answer []byte, h *hold) *heldBody {
	if len(answer) < littleWork {
		h.keep(0)
		return nil
	}
	h.keep(int64(len(answer)) * answerFactor)
	if h.n.Load() == 0 {
		return nil
	}
	b := &heldBody{Reader: bytes.NewReader(answer)}
	b.hold.w = h.w
	h.moveTo(&b.hold)
	return b
}

// Close implements io.Closer.
func (b *heldBody) Close() error {
	b.Reader = bytes.NewReader(nil)
	b.hold.keep(0)
	return nil
}

// room takes room for n bytes of an answer that is about to be composed.
func (c *call) room(n int) *failure {
	if fail := c.hold.take(c.ctx, int64(n)*answerFactor); fail != nil {
		return fail
	}
	if n > littleWork {
		c.dst = slices.Grow(c.dst, n) // by a part of itself at least: commands of a batch go on here
	}
	return nil
}
