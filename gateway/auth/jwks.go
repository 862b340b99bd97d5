package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Why not keyfunc and its jwkset: they cannot say whether a key is unknown or
// the server did not answer (3500 or 3004), read
// bodies without a bound, fetch in each caller, and start a goroutine for each
// URL. What remains is the few lines of jwk.go.

const (
	// maxEndpoints is how many known endpoints a template can have before the
	// one that was not used for longest is forgotten.
	maxEndpoints = 1024

	// maxKeyID is how long a key id may be, in bytes.
	maxKeyID = 1024

	// maxTried is how many keys of a set a token without a key id is tried
	// against: each costs a check of a signature, which anybody can cause.
	maxTried = 4
)

var (
	errLongKeyID    = because(flawKeyID, errors.New("header kid: too long"))
	errUnknownKeyID = because(flawKeyID, errors.New("header kid: no such key in the key set"))
	errNoKeyFits    = because(flawKeySet, errors.New("no key of the key set has signed it"))
)

// jwks is the source of keys that a key server publishes (PROTOCOL 4.2), for
// one verifier. A token whose key is known never waits; one whose key is not
// waits for one fetch, which all such tokens share. Keys stay while their server
// is down.
type jwks struct {
	// Immutable after newJWKS.
	url *endpointURL
	*keyStore
}

// keyStore is what was fetched, and fetches it. Verifiers that follow one another
// share it as long as the URL is the same: a reload neither forgets a key nor
// lets one live longer that its server has withdrawn.
type keyStore struct {
	// Immutable after newKeyStore.
	text   string // the URL as it is configured
	fixed  bool   // there is nothing to fill in
	client *http.Client
	log    *slog.Logger
	stats  *Stats
	start  time.Time // of the monotonic clock that ages are told by
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup // the refresher and its fetches
	wake   chan struct{}  // something is due; holds one
	// fetches holds an element for each fetch under way. It is never closed.
	fetches chan struct{}

	// Atomic.
	gen atomic.Uint64

	// Guarded by mu.
	// Nothing locks an endpoint's mu while it holds this one.
	mu        sync.Mutex
	users     int                  // verifiers; 0 for good once it is
	endpoints map[string]*endpoint // the known ones, by URL
	fresh     map[string]*endpoint // the others, see jwks_fresh.go
	budget    bucket               // of fetches for those
	crowd     [2]int               // tokens that wait for a fresh, and a known endpoint
	warnAfter time.Time            // about fresh ones
}

// endpoint is one URL of a key set.
type endpoint struct {
	// Immutable after newEndpoint.
	url  string
	made time.Time

	// Atomic.
	set   atomic.Pointer[keySet] // the last answer, nil before the first
	used  atomic.Int64           // ns since keyStore.start
	known atomic.Bool            // written under keyStore.mu; it stays so

	// Guarded by keyStore.mu.
	waiting int // tokens that wait for flight or next

	// Guarded by mu.
	mu      sync.Mutex
	flight  *flight   // under way
	next    *flight   // begins when there is budget; not while one is under way
	failure error     // why the last fetch failed, nil if it did not
	told    bool      // the failure is in the log
	began   time.Time // when the last fetch began
	due     time.Time // for the refresher
	again   bool      // due once more when the fetch under way has ended
	budget  bucket    // of fetches that tokens may cause
	unknown map[digest]time.Time
}

// flight is a fetch that is to come or under way.
type flight struct {
	after time.Time     // it begins no earlier for a token
	done  chan struct{} // closed by the goroutine that ends it

	// Immutable after done is closed.
	err error
}

// newJWKS starts a source, or goes on with what previous, which may be nil,
// fetched from the same URL; all of that is fetched again at once.
func newJWKS(u *endpointURL, client *http.Client, o *Options, stats *Stats, previous keySource) *jwks {
	if p, ok := previous.(*jwks); ok && p.text == u.text && p.share() {
		p.hurry()
		return &jwks{u, p.keyStore}
	}
	return &jwks{u, newKeyStore(u, client, o, stats)}
}

// newKeyStore starts a store with its refresher.
func newKeyStore(u *endpointURL, client *http.Client, o *Options, stats *Stats) *keyStore {
	log, fetches := o.Log, o.MaxFetches
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if fetches <= 0 {
		fetches = DefaultMaxFetches
	}
	j := &keyStore{
		text: u.text, fixed: u.fixed(), client: client, log: log, stats: stats, start: time.Now(),
		wake: make(chan struct{}, 1), users: 1, endpoints: make(map[string]*endpoint), fresh: make(map[string]*endpoint),
		fetches: make(chan struct{}, fetches),
	}
	j.budget = newBucket(freshBurst, freshEvery, j.start)
	j.ctx, j.cancel = context.WithCancel(context.Background())
	if j.fixed {
		e := newEndpoint(u.text, j.start)
		e.known.Store(true)
		j.endpoints[u.text] = e
	}
	j.done.Go(j.refresh)
	return j
}

// share adds a user, unless the last one has gone.
func (j *keyStore) share() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.users == 0 {
		return false
	}
	j.users++
	return true
}

// close ends the refresher and every fetch, if nobody else uses the store; keys
// that are known stay usable.
func (j *keyStore) close() {
	j.mu.Lock()
	j.users--
	last := j.users == 0
	j.mu.Unlock()
	if !last {
		return
	}
	j.cancel()
	j.done.Wait()
	j.client.CloseIdleConnections()
}

func (j *jwks) methods() []string { return webAlgs() }

func (j *keyStore) generation() uint64 { return j.gen.Load() }

func (j *jwks) keys(q *keyQuery, _ time.Time) ([]jwt.VerificationKey, time.Time, error) {
	if len(q.kid) > maxKeyID {
		return nil, time.Time{}, errLongKeyID
	}
	e, err := j.at(q)
	if err != nil {
		return nil, time.Time{}, err
	}
	q.endpoint = e
	if q.kid == "" {
		return j.anyKeys(q.waits, e, q.alg)
	}
	// Fast path: the key is known, though the server may be down.
	keys, known := e.set.Load().find(q.kid, q.alg)
	if !known {
		// Slow path: ask the server.
		err := j.ask(q.waits, e, digestOf(q.kid), errUnknownKeyID, func() bool {
			keys, known = e.set.Load().find(q.kid, q.alg)
			return known
		})
		if err != nil {
			return nil, time.Time{}, err
		}
	}
	if len(keys) == 0 {
		return nil, time.Time{}, because(flawAlgorithm, fmt.Errorf("header alg: the key is not for %s", q.alg))
	}
	return keys, time.Time{}, nil
}

// anyKeys returns the keys that a token without a key id is tried against: all
// that fit the algorithm.
func (j *jwks) anyKeys(waits Waits, e *endpoint, alg string) ([]jwt.VerificationKey, time.Time, error) {
	if e.set.Load() == nil {
		if err := j.ask(waits, e, digestOf(""), errNoKeyFits, func() bool { return e.set.Load() != nil }); err != nil {
			return nil, time.Time{}, err
		}
	}
	keys := e.set.Load().fitting(alg)
	if len(keys) > maxTried {
		return nil, time.Time{}, because(flawKeyID, fmt.Errorf("header kid: the id of a key expected, there are %d for %s: at most %d are tried", len(keys), alg, maxTried))
	}
	return keys, time.Time{}, nil
}

func (j *jwks) renew(q *keyQuery, token digest, found func() bool) error {
	e, err := j.at(q)
	if err != nil {
		return err
	}
	return j.ask(q.waits, e, token, errNoKeyFits, found)
}

// at returns the endpoint for a token.
func (j *jwks) at(q *keyQuery) (*endpoint, error) {
	text, err := j.url.of(q)
	if err != nil {
		return nil, because(flawClaims, err)
	}
	return j.endpoint(text), nil
}

func newEndpoint(text string, now time.Time) *endpoint {
	return &endpoint{url: text, made: now, budget: newBucket(fetchBurst, fetchEvery, now), unknown: make(map[digest]time.Time)}
}

// endpoint returns the endpoint of a URL, a fresh one if there is none.
func (j *keyStore) endpoint(text string) *endpoint {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.endpoints[text]
	if e == nil {
		e = j.fresh[text]
	}
	if e == nil {
		if len(j.fresh) >= maxFresh {
			j.forgetFresh()
		}
		e = newEndpoint(text, now)
		j.fresh[text] = e
	}
	e.used.Store(int64(now.Sub(j.start)))
	return e
}
