package jetstream

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
)

// ready says why publications cannot be kept here, or are not delivered, and what to do.
func (s *shard) ready(now time.Time) error {
	s.mu.Lock()
	worked, up, err := s.worked, s.up, s.err
	s.mu.Unlock()
	const remedy = "see that JetStream is on, has a leader for this stream, and room"
	switch age := now.Sub(worked); {
	case worked.IsZero():
		return notReady(s, "nothing was written and delivered yet", remedy, err)
	case age > s.engine.opt.ProbeLate:
		return notReady(s, fmt.Sprintf("nothing was written and delivered for %v", age.Round(100*time.Millisecond)), remedy, err)
	case !up:
		return notReady(s, "the feed is not there", "see that nats-server runs and can be reached", err)
	}
	return nil
}

func notReady(s *shard, what, remedy string, err error) error {
	why := ""
	if err != nil {
		why = ": " + err.Error()
	}
	return &unready{fmt.Sprintf("jetstream: stream %s: %s%s (%s)", s.stream, what, why, advice.Remedy(err, remedy)), err}
}

// unready is why the engine is not ready. It wraps broker.ErrUnavailable.
type unready struct {
	text string
	err  error
}

// Error implements error.
func (u *unready) Error() string { return u.text }

// Unwrap implements errors.Unwrap for the kind and the cause.
func (u *unready) Unwrap() []error { return []error{broker.ErrUnavailable, u.err} }

// Ready implements broker.Broker.
func (e *Engine) Ready() error {
	if refused := e.refuse.Load(); refused != nil {
		return &unready{(*refused).Error(), *refused}
	}
	if denied := e.denied.Load(); denied != nil {
		return &unready{(*denied).Error(), *denied}
	}
	now := time.Now()
	var errs []error
	for _, s := range e.shards {
		if err := s.ready(now); err != nil {
			errs = append(errs, err)
		}
	}
	if up, left := e.follow.CaughtUp(); len(errs) == 0 && up && left > 0 {
		errs = append(errs, &unready{"jetstream: " + strconv.Itoa(left) + " channels are compared with their histories after a loss (wait; if it stays so, see why histories cannot be read)", nil})
	}
	return errors.Join(errs...)
}

// allUp reports whether the feed brings all shards.
func (e *Engine) allUp() bool {
	for _, s := range e.shards {
		s.mu.Lock()
		up := s.up
		s.mu.Unlock()
		if !up {
			return false
		}
	}
	return true
}
