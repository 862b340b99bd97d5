package auth

import (
	"math/rand/v2"
	"time"
)

const (
	// refreshMin and refreshMax bound the time between two fetches of a key
	// set that answers; retryDown is the time while it does not.
	refreshMin = 5 * time.Minute
	refreshMax = 15 * time.Minute
	retryDown  = time.Minute

	// refreshTick is how often the refresher looks at what is due.
	refreshTick = 15 * time.Second
)

// fetch fetches the key set and ends the flight.
func (j *keyStore) fetch(e *endpoint, f *flight) {
	set, err := j.get(e.url)
	j.stats.KeyFetches.Add(1)
	e.mu.Lock()
	before, now := e.failure, time.Now()
	if err == nil {
		e.failure = nil
		e.due = now.Add(refreshMin + rand.N(refreshMax-refreshMin))
		if old := e.set.Swap(set); !set.keeps(old) {
			j.gen.Add(1)
		}
	} else {
		j.stats.KeyFetchErrors.Add(1)
		e.failure = &fetchError{err}
		e.due = now.Add(retryDown)
	}
	if e.again {
		e.again, e.due = false, now.Add(fetchEvery)
	}
	f.err = e.failure
	e.flight = nil
	close(f.done)
	e.mu.Unlock()
	switch {
	case j.ctx.Err() != nil: // it was us
	case err != nil && before == nil:
		j.log.Warn("token keys cannot be fetched", "url", ShowURL(e.url), "error", err, "stale_keys", e.set.Load() != nil)
	case err == nil && before != nil:
		j.log.Info("token keys can be fetched again", "url", ShowURL(e.url))
	}
}

// refresh is the refresher: it fetches what is due, one at a time.
func (j *keyStore) refresh() {
	tick := time.NewTicker(refreshTick)
	defer tick.Stop()
	for {
		for _, e := range j.list() {
			if f := e.beginDue(time.Now()); f != nil {
				j.fetch(e, f)
			}
		}
		select {
		case <-j.ctx.Done():
			return
		case <-tick.C:
		case <-j.wake:
		}
	}
}

// list returns the endpoints to keep fresh. Those of a template that never
// answered and that no token asks for are dropped.
func (j *keyStore) list() []*endpoint {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]*endpoint, 0, len(j.endpoints))
	for text, e := range j.endpoints {
		if !j.fixed && e.set.Load() == nil && now.Sub(j.start)-time.Duration(e.used.Load()) > retryDown {
			delete(j.endpoints, text)
			continue
		}
		all = append(all, e)
	}
	return all
}

// beginDue begins a flight if the endpoint is due and none is under way.
func (e *endpoint) beginDue(now time.Time) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight != nil || now.Before(e.due) {
		return nil
	}
	return e.begin(now)
}

// hurry makes every endpoint due, but none more often than tokens may, and wakes
// the refresher: an operator reloads when a key has to go.
func (j *keyStore) hurry() {
	now := time.Now()
	for _, e := range j.list() {
		e.mu.Lock()
		if e.again = e.flight != nil; !e.again { // one under way may have begun before the key went
			if soon := e.began.Add(fetchEvery); soon.After(now) {
				e.due = soon
			} else {
				e.due = now
			}
		}
		e.mu.Unlock()
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}
