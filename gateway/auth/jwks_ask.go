package auth

import (
	"errors"
	"fmt"
	"time"

	"sluice/codec"
)

// Tokens are not verified yet when their key is looked for, so anybody can have
// a key set fetched. What keeps a flood of made-up key ids from the key server
// must not shut those out whose key is new: nobody is refused because of a
// budget, but waits for the next fetch, which answers everybody who waits.
const (
	// Fetches that tokens cause, for one URL: so many at once, and then one
	// in fetchEvery, which is how long a token waits at the most for a fetch
	// to begin.
	fetchBurst = 5
	fetchEvery = 2 * time.Second

	// maxWaiting is how many tokens may wait for fetches of known endpoints,
	// and maxWaitingFresh of others: each holds the buffers of its request.
	maxWaiting      = 1024
	maxWaitingFresh = 512

	// unknownFor is how long a key id that was not in the set is remembered
	// as such, and maxUnknown how many of them for one URL.
	unknownFor = 10 * time.Second
	maxUnknown = 1024
)

// errRemembered says that the key was looked for a moment ago.
var errRemembered = errors.New("auth: a key that was not in the key set a moment ago")

// errCrowded is told to tokens that may be good: it is not terminal.
var errCrowded = fmt.Errorf("too many tokens wait for their key set: %w", codec.DisconnectServerError)

// errMayNotWait is for tokens whose connect may not wait, see [Waits].
var errMayNotWait = fmt.Errorf("too many connects wait: %w", codec.DisconnectServerError)

// fetchError says why there is no key set. It wraps what the client is told,
// which is not terminal (PROTOCOL 12.12).
type fetchError struct{ cause error }

func (e *fetchError) Error() string { return "the key set cannot be fetched: " + e.cause.Error() }

func (e *fetchError) Unwrap() error { return codec.DisconnectServerError }

// ask has the key set fetched for a token whose key is not in it, until found
// reports that it is: by a fetch that is under way and, as that may have begun
// before the key was published, by one that begins from here on. It returns
// unknown if neither helped, now or a moment ago for the same id; any other
// error wraps codec.DisconnectServerError: nobody knows whether there is a key.
func (j *keyStore) ask(waits Waits, e *endpoint, id digest, unknown error, found func() bool) error {
	for asked := 0; ; asked++ {
		joined, err := j.await(waits, e, id)
		switch {
		case err == errRemembered:
			return unknown
		case err != nil:
			return err
		case found():
			return nil
		case !joined || asked > 0:
			e.remember(id)
			return unknown
		}
	}
}

// await returns when a fetch has ended; joined says that it had begun before.
func (j *keyStore) await(waits Waits, e *endpoint, id digest) (joined bool, err error) {
	now := time.Now()
	e.mu.Lock()
	err = e.vain(id, now)
	if err == nil && waits != nil {
		e.mu.Unlock() // those who are asked may close connections
		if !waits.Begin() {
			return false, errMayNotWait
		}
		defer waits.End()
		e.mu.Lock()
		err = e.vain(id, now)
	}
	if err != nil {
		e.mu.Unlock()
		return false, err
	}
	f := e.flight
	if joined = f != nil; !joined {
		f = e.next
	}
	lead := f == nil
	if lead && e.failure != nil && (e.budget.wait(now) > 0 || !e.known.Load() && now.Sub(e.began) < fetchEvery) {
		defer e.mu.Unlock()
		return false, e.failure // of a server that was asked a moment ago
	}
	after, leave := j.admit(e, lead, now)
	if leave == nil {
		e.mu.Unlock()
		return false, errCrowded
	}
	if lead {
		f = &flight{after: after, done: make(chan struct{})}
		e.next = f
	}
	e.mu.Unlock()
	if lead {
		j.lead(e, f)
	}
	<-f.done
	leave()
	return joined, f.err
}

// vain says why nobody need wait for a fetch. Caller holds mu.
func (e *endpoint) vain(id digest, now time.Time) error {
	if at, ok := e.unknown[id]; ok && now.Sub(at) < unknownFor {
		return errRemembered
	}
	return nil
}

// admit lets a token wait for a fetch, which it leads if there is none, and
// returns when that may begin and what ends the wait; nil if too many wait, or
// if the fetches for fresh endpoints are given away for longer than a token waits.
func (j *keyStore) admit(e *endpoint, lead bool, now time.Time) (after time.Time, leave func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	crowd, most := &j.crowd[0], maxWaitingFresh
	if e.known.Load() {
		crowd, most = &j.crowd[1], maxWaiting
	}
	if *crowd >= most {
		return now, nil
	}
	if lead && !e.known.Load() {
		wait := j.budget.wait(now)
		if wait > fetchEvery {
			return now, nil
		}
		j.budget.take()
		now = now.Add(wait)
	}
	*crowd++
	e.waiting++
	return now, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		*crowd--
		e.waiting--
	}
}

// lead makes the fetch that waits for budget, unless the refresher is faster.
func (j *keyStore) lead(e *endpoint, f *flight) {
	for {
		e.mu.Lock()
		if e.next != f {
			e.mu.Unlock()
			return
		}
		now := time.Now()
		wait := max(e.budget.wait(now), f.after.Sub(now))
		if wait <= 0 {
			e.budget.take()
			e.begin(now)
			e.mu.Unlock()
			j.fetch(e, f)
			return
		}
		e.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-f.done:
		case <-j.ctx.Done():
			j.giveUp(e, f)
		}
		timer.Stop()
	}
}

// giveUp ends a fetch that will not begin: the store was closed.
func (j *keyStore) giveUp(e *endpoint, f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.next == f {
		e.next = nil
		f.err = &fetchError{j.ctx.Err()}
		close(f.done)
	}
}

// begin makes a flight the one under way: that which waits, if there is one.
// Caller holds mu.
func (e *endpoint) begin(now time.Time) *flight {
	if e.flight = e.next; e.flight == nil {
		e.flight = &flight{done: make(chan struct{})}
	}
	e.next, e.began = nil, now
	return e.flight
}

// remember notes a key id that the server does not know.
func (e *endpoint) remember(id digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.unknown) >= maxUnknown {
		clear(e.unknown) // all it does is save fetches, which have a bound of their own
	}
	e.unknown[id] = time.Now()
}
