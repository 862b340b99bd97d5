package nats

import (
	"context"
	"errors"
	"time"
)

// Flush returns when the server has all that was sent before. Those who wait share its answers.
func (c *Calls) Flush(ctx context.Context) error {
	err, ok := c.flushes.Join(c.flush).Await(ctx)
	var failed *Error
	switch {
	case !ok:
		return c.counted(ofContext(ctx))
	case errors.As(err, &failed):
		return c.counted(failed)
	}
	return nil
}

// flushMost is how long a flush may take.
const flushMost = 10 * time.Second

func (c *Calls) flush() error {
	losses := c.conn.losses.Load()
	ctx, cancel := context.WithTimeout(context.Background(), flushMost)
	defer cancel()
	err := c.conn.nc().FlushWithContext(ctx)
	switch {
	case err != nil:
		return &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: err}
	case c.conn.losses.Load() != losses: // the answer may be of the connection behind
		return &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: errors.New("the connection was lost")}
	}
	return nil
}
