package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/nats"
)

// Carrier is the Carrier of package cluster over NATS, for both engines there. Whoever handles the feed gives it what
// came (Receive).
type Carrier struct {
	*nats.Bus
	// Immutable.
	wait, callWait time.Duration
	counts         func(err error, took time.Duration)
}

// NewCarrier returns one that listens to nothing yet. counts is told of each Send, nil for nobody; err is nil if
// it worked.
func NewCarrier(n *nats.NATS, wait, callWait time.Duration, counts func(err error, took time.Duration)) Carrier {
	return Carrier{nats.NewBus(n), wait, callWait, counts}
}

// Listen implements cluster.Carrier.
func (c Carrier) Listen(ctx context.Context, names []string, receive func(subject string, payload []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, c.callWait)
	defer cancel()
	if err := c.Bus.Listen(ctx, names, receive); err != nil {
		return Failed("listen", err)
	}
	return nil
}

// Send implements cluster.Carrier.
func (c Carrier) Send(ctx context.Context, name string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	began := time.Now()
	err := c.Bus.Send(ctx, name, payload)
	if c.counts != nil {
		c.counts(err, time.Since(began))
	}
	if err != nil {
		return Failed("send", err)
	}
	return nil
}

// Failed says what failed, in the words of package broker.
func Failed(what string, err error) error {
	kind := error(nil)
	switch {
	case errors.Is(err, nats.ErrUnknown):
		kind = broker.ErrUnknown
	case errors.Is(err, nats.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = broker.ErrUnavailable
	}
	if kind == nil {
		return fmt.Errorf("nats: %s: %w", what, err)
	}
	return fmt.Errorf("nats: %s: %w: %w", what, kind, err)
}
