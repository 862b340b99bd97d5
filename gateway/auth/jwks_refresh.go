package auth

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/gateway/problem"
)

const (
	// refreshMin and refreshMax bound the time between two fetches of a key
	// set that answers; retryDown is the time while it does not.
	refreshMin = 5 * time.Minute
	refreshMax = 15 * time.Minute
	retryDown  = time.Minute

	// refreshTick is how often the refresher looks at what is due, at the least.
	refreshTick = 15 * time.Second

	// maxRefreshes is how many fetches the refresher has under way.
	maxRefreshes = 16
)

// fetch fetches the key set and ends the flight.
func (j *keyStore) fetch(e *endpoint, f *flight) {
	set, err := j.get(e.url)
	j.stats.KeyFetches.Add(1)
	e.mu.Lock()
	now, tell := time.Now(), false
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
		defer j.rouse()
	}
	f.err = e.failure
	if j.ctx.Err() == nil && e.told != (err != nil) { // else it was us
		tell = err == nil || j.mayWarn(e, now)
		e.told = tell && err != nil
	}
	e.flight = nil
	close(f.done)
	e.mu.Unlock()
	switch {
	case !tell:
	case err != nil:
		j.log.Warn("token keys cannot be fetched", "url", problem.StripURL(e.url), "error", err, "stale_keys", e.set.Load() != nil)
	default:
		j.log.Info("token keys can be fetched again", "url", problem.StripURL(e.url))
	}
}

// refresh is the refresher: it keeps known endpoints up to date. It decides what
// is next only when there is room for one more fetch, so that servers that hang
// hold up neither those that answer nor what a reload made due.
func (j *keyStore) refresh() {
	next := time.NewTimer(refreshTick)
	defer next.Stop()
	room := make(chan struct{}, maxRefreshes)
	for {
		j.dropFresh(time.Now(), false)
		for j.refreshOne(room) {
		}
		next.Reset(j.untilDue(time.Now()))
		select {
		case <-j.ctx.Done():
			return
		case <-next.C:
		case <-j.wake:
		}
	}
}

// untilDue returns how long it takes until something is due, or may be: what a reload
// wants to have may have been fetched a moment before.
func (j *keyStore) untilDue(now time.Time) time.Duration {
	wait := refreshTick
	for _, e := range j.list() {
		e.mu.Lock()
		if e.flight == nil {
			wait = min(wait, e.due.Sub(now))
		}
		e.mu.Unlock()
	}
	return max(wait, 0)
}

// list returns the known endpoints.
func (j *keyStore) list() []*endpoint {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Collect(maps.Values(j.endpoints))
}

// refreshOne starts a fetch of what is due once there is room, and reports whether
// there was anything.
func (j *keyStore) refreshOne(room chan struct{}) bool {
	select {
	case <-j.ctx.Done():
		return false
	case room <- struct{}{}:
	}
	e, f := j.beginDue(time.Now())
	if f == nil {
		<-room
		return false
	}
	j.done.Go(func() {
		j.fetch(e, f)
		<-room
	})
	return true
}

// beginDue begins a flight for the endpoint that is due for longest and has none
// under way, if there is one; those whose server answered last go first.
func (j *keyStore) beginDue(now time.Time) (*endpoint, *flight) {
	for {
		var first *endpoint
		var due time.Time
		var down bool
		for _, e := range j.list() {
			e.mu.Lock()
			if e.isDue(now) && (first == nil || down && e.failure == nil || down == (e.failure != nil) && e.due.Before(due)) {
				first, due, down = e, e.due, e.failure != nil
			}
			e.mu.Unlock()
		}
		if first == nil {
			return nil, nil
		}
		first.mu.Lock()
		if first.isDue(now) { // no token was faster
			defer first.mu.Unlock()
			return first, first.begin(now)
		}
		first.mu.Unlock()
	}
}

// isDue reports whether the refresher has to fetch. Caller holds mu.
func (e *endpoint) isDue(now time.Time) bool { return e.flight == nil && !now.Before(e.due) }

// hurry makes every known endpoint due, but none more often than tokens may, drops
// the others and wakes the refresher: an operator reloads when a key has to go.
func (j *keyStore) hurry() {
	now := time.Now()
	j.dropFresh(now, true)
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
	j.rouse()
}

// rouse wakes the refresher: something is due earlier than it knows.
func (j *keyStore) rouse() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}
