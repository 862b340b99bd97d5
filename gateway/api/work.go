package api

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/codec"
)

const (
	// littleWork is up to how many bytes a call may hold without taking room: the kernel
	// has as many for the answer of a caller that does not read.
	littleWork = 16 << 10
	// answerFactor is by how much more than its bytes an answer counts: composing it, and
	// the collector, leave as much garbage beside it.
	answerFactor = 2
	// commandCost and nameCost are what a command of a batch takes, decoded and with an
	// answer of its own, and what one channel of a broadcast does: measured, garbage
	// included.
	commandCost = 640
	nameCost    = 256
	legacyCost  = 192 // of the legacy endpoint, which decodes one after the other
	// heldPatience is how long a call that holds room waits for more: another one may
	// wait for what it holds.
	heldPatience = time.Second
)

// work is the room for what calls hold beside their bodies: decoded batches and
// broadcasts, and answers until their callers have taken them. First come, first
// served. Any goroutine.
type work struct {
	// Immutable after newWork.
	size int64
	sem  *semaphore.Weighted
	quit context.Context // nobody waits when it is done
	stop context.CancelFunc

	// Atomic.
	used, waiting atomic.Int64
	fails         atomic.Uint64
}

func newWork(size int) *work {
	w := &work{size: int64(size), sem: semaphore.NewWeighted(int64(size))}
	w.quit, w.stop = context.WithCancel(context.Background())
	return w
}

// hold is what one call holds of the room, its commands included. Any goroutine.
type hold struct {
	// Immutable.
	w *work

	// Guarded by mu.
	mu     sync.Mutex
	n      int64 // taken
	little int64 // not taken yet, since it is little
}

// The details of calls that found no room.
const (
	noWorkRoom  = "no room came free in time for what the call holds (http_api.work_max_bytes): others wait for their answers"
	tooMuchWork = "what the call holds is more than there is room for (http_api.work_max_bytes): ask for less"
)

// take takes room for n bytes more, and waits for it until ctx ends. What is larger than
// all room there is takes it all, if the call holds nothing else.
func (h *hold) take(ctx context.Context, n int64) *failure {
	h.mu.Lock()
	if h.little += n; h.little < littleWork {
		h.mu.Unlock()
		return nil
	}
	n, h.little = h.little, 0
	held := h.n
	h.mu.Unlock()
	if held == 0 {
		n = min(n, h.w.size)
	}
	if held+n > h.w.size {
		h.w.fails.Add(1)
		return refuse(codec.ErrBadRequest, tooMuchWork) // trying again is no use
	}
	if !h.w.sem.TryAcquire(n) {
		if err := h.w.wait(ctx, n, held > 0); err != nil {
			h.w.fails.Add(1)
			return &failure{err: codec.ErrInternal, detail: noWorkRoom, cause: fmt.Errorf("api: %s: %w", noWorkRoom, err)}
		}
	}
	h.w.used.Add(n)
	h.mu.Lock()
	h.n += n
	h.mu.Unlock()
	return nil
}

func (w *work) wait(ctx context.Context, n int64, holds bool) error {
	ctx, cancel := context.WithCancel(ctx)
	if holds {
		ctx, cancel = context.WithTimeout(ctx, heldPatience)
	}
	defer cancel()
	defer context.AfterFunc(w.quit, cancel)()
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	return w.sem.Acquire(ctx, n)
}

// keep gives back all but n bytes.
func (h *hold) keep(n int64) {
	h.mu.Lock()
	back := max(h.n-n, 0)
	h.n -= back
	h.mu.Unlock()
	if back > 0 {
		h.w.used.Add(-back)
		h.w.sem.Release(back)
	}
}

// heldBody is an answer that holds room until it was written, or cannot be.
type heldBody struct {
	*bytes.Reader
	hold *hold
}

// newHeldBody returns the body of an answer, which takes over what h holds for it; nil if
// that is nothing, or the answer is little.
func newHeldBody(answer []byte, h *hold) *heldBody {
	if len(answer) < littleWork {
		h.keep(0)
		return nil
	}
	h.keep(int64(len(answer)) * answerFactor)
	h.mu.Lock()
	n := h.n
	h.n = 0
	h.mu.Unlock()
	if n == 0 {
		return nil
	}
	return &heldBody{Reader: bytes.NewReader(answer), hold: &hold{w: h.w, n: n}}
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
		c.dst = append(make([]byte, 0, len(c.dst)+n), c.dst...)
	}
	return nil
}

// listing is what the requests of a method list.
type listing uint8

const (
	listsNothing  listing = iota
	listsTags             // and nothing else: a publish
	listsNames            // channels, or clients
	listsCommands         // and what they list
)

const (
	// smallBody is up to which length a body is not counted, unless it may list more than
	// it may: it cannot list much.
	smallBody = 4 << 10
	// nameBytes and tagBytes are the least that a name and a tag take in a body.
	nameBytes = 2
	tagBytes  = 5
	// commandBytes is the same of a command of the legacy endpoint.
	commandBytes = 2
)

// lists reports whether a body has to be counted before it is decoded: see admit.
func (s *Server) lists(m *method, body []byte) bool {
	switch m.lists {
	case listsNothing:
		return false
	case listsTags:
		return len(body)/tagBytes > s.opt.MaxNames
	}
	return len(body) >= smallBody || len(body)/nameBytes > min(s.opt.MaxCommands, s.opt.MaxNames)
}

// admit refuses a call that lists more than it may, and takes room for what it lists. Why
// before it is decoded: that takes a multiple of the body.
func (s *Server) admit(c *call, m *method, body []byte) (fail *failure) {
	if !s.lists(m, body) {
		return nil
	}
	l := codec.List(body, m.lists == listsCommands)
	switch {
	case l.Commands > s.opt.MaxCommands:
		fail = refuse(codec.ErrBadRequest, fmt.Sprintf("commands: at most %d expected (http_api.max_batch_commands), got %d", s.opt.MaxCommands, l.Commands))
	case l.Names > s.opt.MaxNames:
		fail = refuse(codec.ErrBadRequest, fmt.Sprintf("channels, tags or whitelist: at most %d in all expected (http_api.max_broadcast_channels), got %d", s.opt.MaxNames, l.Names))
	default:
		fail = c.hold.take(c.ctx, int64(l.Commands)*commandCost+int64(l.Names)*nameCost)
	}
	if fail != nil {
		m.errors[codeIndex(fail.err.Code)].Add(1)
		s.note(c.id, m.name, fail)
	}
	return fail
}
