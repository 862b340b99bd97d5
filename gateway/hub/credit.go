package hub

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/tally"
)

// credits is the one place where a publisher is slowed: bytes of publications
// between the entrance and the sockets. Behind it posts never block.
type credits struct {
	// Immutable after newCredits.
	sem  *semaphore.Weighted
	size int64
	wait time.Duration
	// giveBack is release, bound once: a method value allocates.
	giveBack func(n int64)

	// Atomic.
	used   atomic.Int64
	back   atomic.Uint64 // bytes that were given back so far
	waits  atomic.Uint64
	fails  atomic.Uint64
	waited tally.Shared
	// readerWaits are of readers of engines, who wait for as long as it takes.
	readerWaits atomic.Uint64
}

func newCredits(size int64, wait time.Duration) *credits {
	c := &credits{sem: semaphore.NewWeighted(size), size: size, wait: wait}
	c.giveBack = c.release
	return c
}

// creditCost is what a publication takes beyond its payload: the heap of twenty open-loop
// publishers of 150 bytes was 65 MiB larger than the credit that they held when it was 256.
const creditCost = 640

// AcquireCredit is TakeCredit for who has no memory for it.
func (h *Hub) AcquireCredit(ctx context.Context, size int) (*broker.Credit, error) {
	credit := new(broker.Credit)
	if err := h.TakeCredit(ctx, size, credit, nil); err != nil {
		return nil, err
	}
	return credit, nil
}

// TakeCredit takes credit, which is zero, for a publication of so many payload bytes; one
// that is larger than all credit there is takes it all. It waits at most
// Options.CreditWait, then nothing is taken and the error is codec.ErrInternal.
// w is told if it waits; nil: nobody is. Not from a turn.
func (h *Hub) TakeCredit(ctx context.Context, size int, credit *broker.Credit, w broker.Waiter) error {
	c := h.credit
	n := c.cost(size)
	if !c.sem.TryAcquire(n) {
		if w != nil && w.BeginWait() {
			defer w.EndWait()
		}
		c.waits.Add(1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, c.wait)
		defer cancel()
		err := c.sem.Acquire(ctx, n)
		c.waited.Add(time.Since(began))
		if err != nil {
			c.fails.Add(1)
			return codec.ErrInternal
		}
	}
	c.used.Add(n)
	credit.Take(n, c.giveBack)
	return nil
}

// Credit implements broker.Sink. Readers of engines stand in one queue with publishers.
func (h *Hub) Credit(ctx context.Context, size int) (*broker.Credit, error) {
	c := h.credit
	n := c.cost(size)
	if !c.sem.TryAcquire(n) {
		c.readerWaits.Add(1)
		if err := c.sem.Acquire(ctx, n); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	c.used.Add(n)
	return broker.NewCredit(n, c.giveBack), nil
}

func (c *credits) cost(size int) int64 { return min(int64(size)+creditCost, c.size) }

func (c *credits) release(n int64) {
	c.used.Add(-n)
	c.back.Add(uint64(n))
	c.sem.Release(n)
}
