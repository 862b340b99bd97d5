package hub

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"sluice/codec"
	"sluice/gateway/tally"
)

// credits is the one place where a publisher is slowed: bytes of publications
// between the entrance and the out-queues. Behind it posts never block.
type credits struct {
	// Immutable after newCredits.
	sem  *semaphore.Weighted
	size int64
	wait time.Duration

	// Atomic.
	used   atomic.Int64
	waits  atomic.Uint64
	fails  atomic.Uint64
	waited tally.Shared
}

func newCredits(size int64, wait time.Duration) *credits {
	return &credits{sem: semaphore.NewWeighted(size), size: size, wait: wait}
}

// creditCost is what a publication takes beyond its payload.
const creditCost = 256

// AcquireCredit takes credit for a publication of so many payload bytes and
// returns how much it took; a publication larger than all credit there is takes
// it all. It waits at most Options.CreditWait, then nothing is taken and the
// error is codec.ErrInternal. Not from a turn.
func (h *Hub) AcquireCredit(ctx context.Context, size int) (int, error) {
	c := h.credit
	n := min(int64(size)+creditCost, c.size)
	if !c.sem.TryAcquire(n) {
		c.waits.Add(1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, c.wait)
		defer cancel()
		err := c.sem.Acquire(ctx, n)
		c.waited.Add(time.Since(began))
		if err != nil {
			c.fails.Add(1)
			return 0, codec.ErrInternal
		}
	}
	c.used.Add(n)
	return int(n), nil
}

// ReleaseCredit gives back what AcquireCredit took. Any goroutine.
func (h *Hub) ReleaseCredit(n int) {
	if n == 0 {
		return
	}
	h.credit.used.Add(-int64(n))
	h.credit.sem.Release(int64(n))
}
