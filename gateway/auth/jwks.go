package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/codec"
)

// Why not keyfunc and its jwkset: they cannot say whether a key is unknown or
// the server did not answer (3500 or 3004), take keys without "use", read
// bodies without a bound, fetch in each caller, and start a goroutine for each
// URL. What remains is the few lines of jwk.go.

const (
	// refreshMin and refreshMax bound the time between two fetches of a key
	// set that answers; retryDown is the time while it does not.
	refreshMin = 5 * time.Minute
	refreshMax = 15 * time.Minute
	retryDown  = time.Minute

	// refreshTick is how often the refresher looks at what is due.
	refreshTick = 15 * time.Second

	// Fetches that tokens cause, for one URL: so many at once, and then one
	// in fetchEvery. Tokens are not verified yet when their key is looked
	// for, so anybody can cause them.
	fetchBurst = 5
	fetchEvery = 5 * time.Second

	// unknownFor is how long a key id that was not in the set is remembered
	// as such, and maxUnknown how many of them for one URL.
	unknownFor = 10 * time.Second
	maxUnknown = 1024

	// maxEndpoints is how many URLs a template can be filled to before the
	// one that was not used for longest is forgotten.
	maxEndpoints = 1024

	// maxKeyID is how long a key id may be, in bytes.
	maxKeyID = 1024
)

var (
	errNoKeyID      = errors.New("header kid: the id of a key expected")
	errLongKeyID    = errors.New("header kid: too long")
	errUnknownKeyID = errors.New("header kid: no such key in the key set")
)

// fetchError says why there is no key set. It wraps what the client is told,
// which is not terminal (PROTOCOL 12.12).
type fetchError struct{ cause error }

func (e *fetchError) Error() string { return "the key set cannot be fetched: " + e.cause.Error() }

func (e *fetchError) Unwrap() error { return codec.DisconnectServerError }

// jwks is the source of keys that a key server publishes (PROTOCOL 4.2). A
// token whose key is known never waits; one whose key is not waits for one
// fetch, which all such tokens share. Keys stay while their server is down.
type jwks struct {
	// Immutable after newJWKS.
	url    *endpointURL
	client *http.Client
	log    *slog.Logger
	stats  *Stats
	start  time.Time // of the monotonic clock that ages are told by
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup // the refresher

	// Atomic.
	gen atomic.Uint64

	// Guarded by mu.
	mu        sync.Mutex
	endpoints map[string]*endpoint // by URL
}

// endpoint is one URL of a key set.
type endpoint struct {
	// Immutable after newEndpoint.
	url string

	// Atomic.
	set  atomic.Pointer[keySet] // the last answer, nil before the first
	used atomic.Int64           // ns since jwks.start

	// Guarded by mu.
	mu      sync.Mutex
	flight  *flight
	failure error     // why the last fetch failed, nil if it did not
	due     time.Time // for the refresher
	budget  float64   // fetches that tokens may cause
	counted time.Time // when budget was right
	unknown map[digest]time.Time
}

// flight is a fetch under way.
type flight struct {
	done chan struct{} // closed by the fetching goroutine

	// Immutable after done is closed.
	err error
}

// newJWKS starts a source and its refresher. What previous had fetched from the
// same endpoint is taken over; it may be nil.
func newJWKS(u *endpointURL, client *http.Client, log *slog.Logger, stats *Stats, previous keySource) *jwks {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	j := &jwks{url: u, client: client, log: log, stats: stats, start: time.Now(), endpoints: make(map[string]*endpoint)}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	if p, ok := previous.(*jwks); ok && p.url.text == u.text {
		j.inherit(p)
	}
	if u.fixed() {
		j.endpoint(u.text)
	}
	j.done.Go(j.refresh)
	return j
}

func (j *jwks) inherit(p *jwks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for text, old := range p.endpoints {
		if set := old.set.Load(); set != nil {
			e := j.endpoint(text)
			e.set.Store(set)
			e.due = time.Now().Add(refreshMin)
		}
	}
}

// close ends the refresher and every fetch; keys that are known stay usable.
func (j *jwks) close() {
	j.cancel()
	j.done.Wait()
	j.client.CloseIdleConnections()
}

func (j *jwks) methods() []string { return webAlgs() }

func (j *jwks) generation() uint64 { return j.gen.Load() }

func (j *jwks) keys(q *keyQuery, _ time.Time) ([]jwt.VerificationKey, time.Time, error) {
	if q.kid == "" {
		return nil, time.Time{}, errNoKeyID
	}
	if len(q.kid) > maxKeyID {
		return nil, time.Time{}, errLongKeyID
	}
	text, err := j.url.of(q)
	if err != nil {
		return nil, time.Time{}, err
	}
	e := j.endpoint(text)
	// Fast path: the key is known, though the server may be down.
	keys, known := e.set.Load().find(q.kid, q.alg)
	for asked := 0; !known; asked++ {
		// Slow path: ask the server.
		joined, err := j.ask(e, digestOf(q.kid))
		if err != nil {
			return nil, time.Time{}, err
		}
		// A fetch that was under way may have begun before the key was
		// published: one that begins now decides.
		if keys, known = e.set.Load().find(q.kid, q.alg); !known && (!joined || asked > 0) {
			e.remember(digestOf(q.kid))
			return nil, time.Time{}, errUnknownKeyID
		}
	}
	if len(keys) == 0 {
		return nil, time.Time{}, fmt.Errorf("header alg: the key is not for %s", q.alg)
	}
	return keys, time.Time{}, nil
}

// endpoint returns the endpoint of a URL, made if it is new.
func (j *jwks) endpoint(text string) *endpoint {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.endpoints[text]
	if e == nil {
		if len(j.endpoints) >= maxEndpoints {
			j.forgetOldest()
		}
		e = &endpoint{url: text, budget: fetchBurst, counted: now, unknown: make(map[digest]time.Time)}
		j.endpoints[text] = e
	}
	e.used.Store(int64(now.Sub(j.start)))
	return e
}

// forgetOldest makes room for an endpoint. Caller holds mu.
func (j *jwks) forgetOldest() {
	var oldest *endpoint
	for _, e := range j.endpoints {
		if oldest == nil || e.used.Load() < oldest.used.Load() {
			oldest = e
		}
	}
	delete(j.endpoints, oldest.url)
	j.gen.Add(1) // nobody would notice any more when its keys are withdrawn
}

// ask has the key set fetched for a token whose key is not in it, or returns
// what is known without a fetch. Without an error the set is that of a fetch
// which ended just now; joined says that it had begun before.
func (j *jwks) ask(e *endpoint, kid digest) (joined bool, err error) {
	e.mu.Lock()
	f := e.flight
	if f != nil {
		e.mu.Unlock()
		<-f.done
		return true, f.err
	}
	now := time.Now()
	if at, ok := e.unknown[kid]; ok && now.Sub(at) < unknownFor {
		e.mu.Unlock()
		return false, errUnknownKeyID
	}
	if !e.spend(now) {
		defer e.mu.Unlock()
		if e.failure != nil {
			return false, e.failure
		}
		return false, errUnknownKeyID // to a server that answered a moment ago
	}
	f = e.begin()
	e.mu.Unlock()
	j.fetch(e, f)
	return false, f.err
}

// spend takes one fetch out of the budget. Caller holds mu.
func (e *endpoint) spend(now time.Time) bool {
	e.budget = min(e.budget+float64(now.Sub(e.counted))/float64(fetchEvery), fetchBurst)
	e.counted = now
	if e.budget < 1 {
		return false
	}
	e.budget--
	return true
}

// begin makes the flight that others join. Caller holds mu.
func (e *endpoint) begin() *flight {
	e.flight = &flight{done: make(chan struct{})}
	return e.flight
}

// remember notes a key id that the server does not know.
func (e *endpoint) remember(kid digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.unknown) >= maxUnknown {
		clear(e.unknown) // all it does is save fetches, which have a bound of their own
	}
	e.unknown[kid] = time.Now()
}

// fetch fetches the key set and ends the flight.
func (j *jwks) fetch(e *endpoint, f *flight) {
	set, err := j.get(e.url)
	j.stats.KeyFetches.Add(1)
	e.mu.Lock()
	before := e.failure
	if err == nil {
		e.failure = nil
		e.due = time.Now().Add(refreshMin + rand.N(refreshMax-refreshMin))
		if old := e.set.Swap(set); !set.keeps(old) {
			j.gen.Add(1)
		}
	} else {
		j.stats.KeyFetchErrors.Add(1)
		e.failure = &fetchError{err}
		e.due = time.Now().Add(retryDown)
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
func (j *jwks) refresh() {
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
		}
	}
}

// list returns the endpoints to keep fresh. Those of a template that never
// answered and that no token asks for are dropped.
func (j *jwks) list() []*endpoint {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]*endpoint, 0, len(j.endpoints))
	for text, e := range j.endpoints {
		if !j.url.fixed() && e.set.Load() == nil && now.Sub(j.start)-time.Duration(e.used.Load()) > retryDown {
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
	return e.begin()
}
