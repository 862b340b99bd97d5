package jetstream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
)

// ready says why publications cannot be kept here, or are not delivered, and what to do; nil if they are.
func (s *shard) ready(now time.Time) *unready {
	s.mu.Lock()
	worked, up, err := s.worked, s.up, s.err
	s.mu.Unlock()
	const remedy = "see that JetStream is on, has a leader for this stream, and room"
	switch age := now.Sub(worked); {
	case worked.IsZero():
		return notReady(s, "nothing was written and delivered yet", remedy, err)
	case age > s.engine.opt.ProbeLate:
		return notReady(s, fmt.Sprintf("nothing was written and delivered for %v", age.Round(time.Second)), remedy, err)
	case !up:
		return notReady(s, "the feed is not there", "see that nats-server runs and can be reached", err)
	}
	return nil
}

func notReady(s *shard, what, remedy string, err error) *unready {
	why := ""
	if err != nil {
		why = ": " + err.Error()
	}
	return &unready{streams: []string{s.stream}, text: fmt.Sprintf("%s%s (%s)", what, why, advice.Remedy(err, remedy)), err: err}
}

// unready is why the engine is not ready. It wraps broker.ErrUnavailable.
type unready struct {
	streams []string // that it is true of; none: of all that is
	text    string
	err     error
}

// Error implements error.
func (u *unready) Error() string {
	switch len(u.streams) {
	case 0:
		return u.text
	case 1:
		return "jetstream: stream " + u.streams[0] + ": " + u.text
	}
	return "jetstream: streams " + strings.Join(u.streams, ", ") + ": " + u.text
}

// Unwrap implements errors.Unwrap for the kind and the cause.
func (u *unready) Unwrap() []error { return []error{broker.ErrUnavailable, u.err} }

// Ready implements broker.Broker. What is true of several streams is said once.
func (e *Engine) Ready() error {
	if refused := e.refuse.Load(); refused != nil {
		return &unready{text: (*refused).Error(), err: *refused}
	}
	if denied := e.denied.Load(); denied != nil {
		return &unready{text: (*denied).Error(), err: *denied}
	}
	now := time.Now()
	var all []*unready
	for _, s := range e.shards {
		u := s.ready(now)
		if u == nil {
			continue
		}
		if i := slices.IndexFunc(all, func(other *unready) bool { return other.text == u.text }); i >= 0 {
			all[i].streams = append(all[i].streams, s.stream)
		} else {
			all = append(all, u)
		}
	}
	// Streams are up a moment before the follower hears of it, from when on channels are compared.
	if up, left := e.follow.CaughtUp(); len(all) == 0 && (!up || left > 0) {
		all = append(all, &unready{text: "jetstream: " + strconv.Itoa(left) + " channels are compared with their histories after a loss (wait; if it stays so, see why histories cannot be read)"})
	}
	errs := make([]error, len(all))
	for i, u := range all {
		errs[i] = u
	}
	return errors.Join(errs...)
}

// allUp reports whether the feed brings all shards.
func (e *Engine) allUp() bool {
	for _, s := range e.shards {
		if !s.isUp() {
			return false
		}
	}
	return true
}
