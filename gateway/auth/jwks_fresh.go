package auth

import (
	"maps"
	"time"
)

// Anybody can make up issuers, and a template then makes endpoints of them. So an
// endpoint of a template is fresh until a key of its set has signed a token, and
// known from there on. What a stranger can cause is bounded for all fresh ones
// together, and takes nothing from those that are known: neither their place,
// nor their fetches, nor what is remembered of their tokens.
const (
	// maxFresh is how many there are before the one that was not used for
	// longest is forgotten, and freshFor how long each is there.
	maxFresh = 256
	freshFor = time.Minute

	// Fetches for all of them: so many at once, and then one in freshEvery. An
	// endpoint that becomes known gives its fetch back. As a fetch ends within
	// fetchAttempts*fetchTimeout, this bounds how many are under way too.
	freshBurst = 16
	freshEvery = time.Second / 8
)

// forgetFresh makes room for a fresh endpoint; those that tokens wait for stay
// while there are others. No token was verified by what is forgotten. Caller
// holds mu.
func (j *keyStore) forgetFresh() {
	var oldest *endpoint
	for _, e := range j.fresh {
		idle := e.waiting == 0
		if oldest == nil || idle && oldest.waiting > 0 || idle == (oldest.waiting == 0) && e.used.Load() < oldest.used.Load() {
			oldest = e
		}
	}
	delete(j.fresh, oldest.url)
}

func (j *jwks) proved(q *keyQuery) {
	// Fast path: it was known.
	if !q.endpoint.known.Load() {
		// Slow path: its first token.
		j.makeKnown(q.endpoint)
	}
}

// makeKnown makes a fresh endpoint a known one.
func (j *keyStore) makeKnown(e *endpoint) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case e.known.Load():
		return
	case j.fresh[e.url] != e:
		// It was forgotten while the token was looked at. Nobody would notice
		// when its keys are withdrawn, so the token has to be looked at again.
		j.gen.Add(1)
		return
	}
	delete(j.fresh, e.url)
	if len(j.endpoints) >= maxEndpoints {
		j.forgetKnown()
	}
	e.known.Store(true)
	j.endpoints[e.url] = e
	j.budget.giveBack()
}

// forgetKnown makes room for a known endpoint. Caller holds mu.
func (j *keyStore) forgetKnown() {
	var oldest *endpoint
	for _, e := range j.endpoints {
		if oldest == nil || e.used.Load() < oldest.used.Load() {
			oldest = e
		}
	}
	delete(j.endpoints, oldest.url)
	j.gen.Add(1) // nobody would notice any more when its keys are withdrawn
}

// dropFresh forgets fresh endpoints that nobody waits for after freshFor, or all
// at once: what no token has proved is not kept up to date.
func (j *keyStore) dropFresh(now time.Time, all bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.fresh, func(_ string, e *endpoint) bool {
		return all || e.waiting == 0 && now.Sub(e.made) > freshFor
	})
}

// mayWarn reports whether a failure of the endpoint may be logged: of those that
// strangers made up, one in retryDown.
func (j *keyStore) mayWarn(e *endpoint, now time.Time) bool {
	if e.known.Load() {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if now.Before(j.warnAfter) {
		return false
	}
	j.warnAfter = now.Add(retryDown)
	return true
}

// bucket is a budget that fills with time. It needs a lock of its owner's.
type bucket struct {
	tokens  float64
	most    float64
	every   time.Duration // for one token
	counted time.Time     // when tokens was right
}

func newBucket(most float64, every time.Duration, now time.Time) bucket {
	return bucket{tokens: most, most: most, every: every, counted: now}
}

// wait returns how long it is until there is a token, 0 if there is one.
func (b *bucket) wait(now time.Time) time.Duration {
	b.tokens = min(b.tokens+float64(now.Sub(b.counted))/float64(b.every), b.most)
	b.counted = now
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1-b.tokens)*float64(b.every)) + 1
}

// take takes a token, also one that is still to come.
func (b *bucket) take() { b.tokens-- }

func (b *bucket) giveBack() { b.tokens = min(b.tokens+1, b.most) }
