// Package actor runs turns: the one primitive behind publish lanes and loops.
//
// An [Actor] is an inbox with many writers and one reader, and a [Behavior]
// that the reader calls. The first post into an idle actor submits its turn to
// a [Pool]; at most one turn of an actor runs at a time, so whatever a behavior
// owns needs no lock. While a turn runs, posts accumulate: under load batching
// comes by itself, and an idle actor answers at once. There is no timer and no
// fixed delay.
//
// The package knows nothing of channels, streams or frames.
package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Behavior is what an actor does. All its methods are called from the actor's
// turn only, never two at once but for Panicked.
type Behavior[T any] interface {
	// Begin precedes each pass over the inbox.
	Begin()
	// Handle takes one post. A panic ends what it does with this one, and
	// Panicked is called; what has to go on all the same is done in [Actor.Try].
	Handle(post T)
	// Flush follows each pass, and at the latest every 32 posts. It may run
	// long; more asks for another pass, in which new posts are handled first.
	Flush() (more bool)
	// Panicked learns of a panic in one of the others, or in what one of them tries:
	// it may be called within another of them.
	// When it panics itself it is called again with the new value, up to 8 times.
	Panicked(v any)
}

// Actor is an inbox and the turns that empty it. Make it with [New].
type Actor[T any] struct {
	// Immutable after New.
	pool     Submitter
	behavior Behavior[T]
	run      func() // bound once: a method value allocates each time
	patience int    // maxPanics, but in tests

	// Guarded by mu.
	mu    sync.Mutex
	inbox []T

	// Owned by the turn.
	spare   []T
	next    int // index in the batch of the post in hand
	flushes int // panics of Flush in a row

	// Atomic.
	scheduled atomic.Bool
	woken     atomic.Bool // Wake was called since the last look at the inbox
	depth     atomic.Int64
}

// maxSpare is the largest inbox, in posts, that is kept for reuse after a
// burst.
const maxSpare = 1 << 14

// maxPanics is how often in a row Flush may panic before it is given up: a guard
// against a behavior that makes no progress when called again.
const maxPanics = 1 << 20

// maxPass is how many posts are handled before Flush is called. Why: while a
// long inbox was handled to its end, a loop queued faster than it flushed, and
// closed as slow streams whose clients read all the time; beyond this many posts
// a writev gains little.
const maxPass = 32

// maxReports is how often in a row Panicked is called while it panics itself.
const maxReports = 8

// New returns an idle actor whose turns run on pool.
func New[T any](pool Submitter, b Behavior[T]) *Actor[T] {
	a := &Actor[T]{pool: pool, behavior: b, patience: maxPanics}
	a.run = a.yieldAndTurn
	return a
}

// Post puts p into the inbox. It never blocks on the actor's work and never
// fails; the order of posts of one goroutine is kept. Any goroutine, the
// actor's own turn included.
func (a *Actor[T]) Post(p T) {
	a.depth.Add(1) // before the turn can take it off again
	a.mu.Lock()
	a.inbox = append(a.inbox, p)
	a.mu.Unlock()
	a.wake()
}

// Wake has a turn run soon even if the inbox is empty: for a behavior that has
// work from elsewhere too, which its Flush looks for. What the caller did before
// is seen by that turn. Any goroutine.
func (a *Actor[T]) Wake() {
	a.woken.Store(true)
	a.wake()
}

func (a *Actor[T]) wake() {
	if !a.scheduled.Load() && a.scheduled.CompareAndSwap(false, true) {
		a.pool.Submit(a.run)
	}
}

// Depth returns how many posts wait or are being handled. Any goroutine.
func (a *Actor[T]) Depth() int { return int(a.depth.Load()) }

// Idle reports whether no turn is running or due and the inbox is empty. Any
// goroutine; the answer may be old by the time it is read.
func (a *Actor[T]) Idle() bool { return !a.scheduled.Load() && a.depth.Load() == 0 }

// yieldAndTurn lets those go first who are ready to run: what they post is in the first
// batch. Why: the runtime puts a worker that is woken before all others, so that each of
// many publishers had a turn of its own (CPU of a publication on a channel of its own
// × 0.95, and × 1.06 as many per second). Where nobody is ready it costs nothing.
func (a *Actor[T]) yieldAndTurn() {
	runtime.Gosched()
	a.turns()
}

// turns runs until there is nothing to do. Once the inbox looks empty the
// scheduled flag is dropped first and the inbox looked at again after: a post
// that came in between either sees the flag down and submits, or is seen here.
func (a *Actor[T]) turns() {
	for {
		batch := a.take()
		more := false
		for rest := batch; ; {
			pass := rest[:min(len(rest), maxPass)]
			rest = rest[len(pass):]
			a.begin()
			a.handle(pass)
			clear(pass)
			a.depth.Add(-int64(len(pass)))
			more = a.flush()
			if len(rest) == 0 {
				break
			}
		}
		a.release(batch)
		if more || !a.empty() {
			continue
		}
		a.scheduled.Store(false)
		if a.empty() || !a.scheduled.CompareAndSwap(false, true) {
			return
		}
	}
}

func (a *Actor[T]) take() []T {
	a.woken.Store(false) // before anything is looked at
	a.mu.Lock()
	batch := a.inbox
	a.inbox = a.spare
	a.mu.Unlock()
	a.spare = nil
	return batch
}

func (a *Actor[T]) empty() bool {
	if a.woken.Load() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.inbox) == 0
}

// release keeps the batch, cleared by now, as the next inbox.
func (a *Actor[T]) release(batch []T) {
	if cap(batch) <= maxSpare {
		a.spare = batch[:0]
	}
}

func (a *Actor[T]) begin() {
	defer a.recover()
	a.behavior.Begin()
}

func (a *Actor[T]) handle(batch []T) {
	for a.next = 0; a.next < len(batch); a.next++ { // behind the one that panicked
		a.handleFrom(batch)
	}
}

// handleFrom handles posts from a.next on until the end or a panic, after which
// a.next names the post that panicked.
func (a *Actor[T]) handleFrom(batch []T) {
	defer a.recover()
	for ; a.next < len(batch); a.next++ {
		a.behavior.Handle(batch[a.next])
	}
}

// Try runs f and reports whether it came to its end: a panic ends f alone, and
// Panicked is told of it. In a turn of the actor only.
func (a *Actor[T]) Try(f func()) (ended bool) {
	defer a.recover()
	f()
	return true
}

// flush reports that there may be more after a panic too: the behavior goes on
// behind what failed. A Flush that does nothing but panic waits for the next
// post in the end.
func (a *Actor[T]) flush() (more bool) {
	defer a.recover()
	a.flushes++
	more = a.flushes <= a.patience
	more = a.behavior.Flush()
	a.flushes = 0
	return more
}

func (a *Actor[T]) recover() {
	v := recover()
	for reports := 0; v != nil && reports < maxReports; reports++ {
		v = a.report(v)
	}
}

// report passes a panic on and returns the one that came of it, if any. Why: a
// panic that left the turn would end it with the actor still scheduled, and
// nothing would ever run it again.
func (a *Actor[T]) report(v any) (next any) {
	defer func() { next = recover() }()
	a.behavior.Panicked(v)
	return nil
}
