//go:build linux

package load

import (
	"context"
	"time"
)

// openTick is how often connects that are due are begun.
const openTick = time.Millisecond

// OpenAt is Open in open loop: the i-th of n streams is begun i/rate seconds after it
// was called, whatever became of those before. It returns when that was. The client's
// InFlight should be n for each worker.
func (c *Client) OpenAt(ctx context.Context, n int, rate float64, quiet time.Duration) (begin time.Time, err error) {
	target := c.Opened.Load() + int64(n)
	tick := time.NewTicker(openTick)
	defer tick.Stop()
	begin = time.Now()
	for begun := 0; begun < n; {
		due := min(n, 1+int(rate*time.Since(begin).Seconds()))
		c.Start(due - begun)
		begun = due
		select {
		case <-ctx.Done():
			return begin, ctx.Err()
		case <-tick.C:
		}
		if err := c.Err(); err != nil {
			return begin, err
		}
	}
	return begin, c.await(ctx, target, quiet)
}

// Openings notes when each stream of a client opened. Handler makes the workers'
// handlers; what they note may be read once the streams are open.
type Openings struct{ at []int64 }

// NewOpenings is for a client of n streams.
func NewOpenings(n int) *Openings { return &Openings{at: make([]int64, n)} }

// Handler makes the handler of a worker, for Config.
func (o *Openings) Handler(int) Handler { return opening{o: o} }

// Late is how long after it was due, as OpenAt says, the i-th stream opened.
func (o *Openings) Late(i int, begin time.Time, rate float64) time.Duration {
	return time.Duration(o.at[i]-begin.UnixNano()) - time.Duration(float64(i)/rate*float64(time.Second))
}

// opening is the handler of one worker, whose streams no other has.
type opening struct {
	Silent
	o *Openings
}

// OpenedAs implements numberHandler.
func (h opening) OpenedAs(number int, now int64) { h.o.at[number] = now }
