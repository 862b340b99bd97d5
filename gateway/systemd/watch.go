package systemd

import (
	"context"
	"time"
)

const (
	// statusEvery is how often the status is told where nobody watches.
	statusEvery = 10 * time.Second
	// A check is begun when half of the watchdog's time is over, and has a quarter: one more
	// has time to pass after one that has not.
	checkEvery, checkWithin = 2, 4
)

// Watch tells the manager's watchdog that the process works, each time that works has said so,
// and the status. It returns when ctx ends. works must return when its context ends.
func (m *Messenger) Watch(ctx context.Context, works func(context.Context) error, status func() string) {
	if m == nil {
		return
	}
	every, within := m.watchdog/checkEvery, m.watchdog/checkWithin
	if m.watchdog <= 0 {
		every = statusEvery
	}
	for told := ""; ; {
		next := every
		if text := status(); m.watchdog <= 0 {
			if text != told {
				m.Tell(Status(text))
				told = text
			}
		} else if began := time.Now(); m.check(ctx, within, works) {
			m.Tell("WATCHDOG=1", Status(text))
		} else {
			next = within - time.Since(began) // at once, if it took all its time
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(next, 0)):
		}
	}
}

// check reports whether the process works.
func (m *Messenger) check(ctx context.Context, within time.Duration, works func(context.Context) error) bool {
	check, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := works(check)
	if err != nil && ctx.Err() == nil {
		m.log.Error("the watchdog is not told that this process works, as a check failed", "error", err, "within", within)
	}
	return err == nil
}
