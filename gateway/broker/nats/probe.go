package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// prober knows whether what is sent comes back.
type prober struct {
	mu     sync.Mutex
	worked time.Time // when the last one began that worked; zero before the first, and after a loss
	broke  bool      // there was a loss
	err    error     // of the last one
}

func (p *prober) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.worked, p.broke = time.Time{}, true
}

// took records the outcome of a probe, and returns the error of the one before.
func (p *prober) took(began time.Time, err error) (before error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, p.err = p.err, err
	if err == nil {
		p.worked = began
	}
	return before
}

// age is how long ago the last probe began that worked, below 0 for none since a loss.
func (p *prober) age(now time.Time) (age time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.worked.IsZero() {
		return -1, p.err
	}
	return now.Sub(p.worked), p.err
}

func (p *prober) wasLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broke
}

// prove tries delivery again and again until ctx ends.
func (e *Engine) prove(ctx context.Context) {
	for {
		e.proveOnce(ctx)
		e.stats.dropTold.Store(false)
		if !pause.Until(ctx, e.opt.ProbeEvery, e.wake) {
			return
		}
	}
}

func (e *Engine) proveOnce(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, e.opt.ProbeLate)
	defer cancel()
	began := time.Now()
	err := e.nats.Feed().Marker(within, nats.Request{})
	if err == nil {
		err = e.nats.Calls().Flush(within)
	}
	if ctx.Err() != nil {
		return
	}
	before := e.probe.took(began, err)
	if err == nil {
		e.askAgain(within)
	}
	switch {
	case err != nil:
		e.stats.probesFailed.Add(1)
		e.calls.failed(err)
		if before == nil {
			e.opt.Log.Warn("nats: what is sent does not come back", "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
	case before != nil:
		e.opt.Log.Info("nats: what is sent comes back again")
	}
	e.calls.took(callProbe, time.Since(began))
}

// Ready implements broker.Broker.
func (e *Engine) Ready() error {
	e.mu.RLock()
	denied := e.denied
	e.mu.RUnlock()
	age, err := e.probe.age(time.Now())
	switch {
	case denied != nil:
		return &unready{"nothing can be subscribed to", denied}
	case age < 0 && e.probe.wasLost():
		return &unready{"nothing that was sent came back since the connection was lost", err}
	case age < 0:
		return &unready{"nothing that was sent came back yet", err}
	case age > e.opt.ProbeLate:
		return &unready{fmt.Sprintf("nothing that was sent came back for %v", age.Round(100*time.Millisecond)), err}
	}
	return nil
}

// unready is why the engine is not ready. It wraps broker.ErrUnavailable.
type unready struct {
	what string
	err  error // nil for none
}

// Error implements error.
func (u *unready) Error() string {
	why := ""
	if u.err != nil {
		why = ": " + u.err.Error()
	}
	return fmt.Sprintf("nats: %s%s (%s)", u.what, why, advice.Remedy(u.err, "see that nats-server runs, can be reached, and is not overloaded"))
}

// Unwrap implements errors.Unwrap for the kind and the cause.
func (u *unready) Unwrap() []error { return []error{broker.ErrUnavailable, u.err} }
