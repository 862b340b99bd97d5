package nats

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goccy/go-json"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
)

// Places implements cluster.Places: of each user one value, u.<user>, which is replaced only by who read it last. Times are
// those of the server's clock, as far as a node knows it. [Manager.Places] has it.
type Places struct {
	// Immutable after newPlaces.
	m   *Manager
	ttl time.Duration

	// turns lets callers of this node ask for a user one after the other, so that only nodes meet.
	turns [turnsMost]chan struct{}

	// Guarded by mu.
	mu    sync.Mutex
	ahead time.Duration // of the server's clock
	asked time.Time     // when that was learnt

	// Atomic.
	reserved, doubtful, refused, claims, changes, failed atomic.Uint64
}

var _ cluster.Places = (*Places)(nil)

// turnsMost is how many users may be asked for at the same time.
const turnsMost = 256

func newPlaces(m *Manager, ttl time.Duration) *Places {
	p := &Places{m: m, ttl: ttl}
	for i := range p.turns {
		p.turns[i] = make(chan struct{}, 1)
	}
	return p
}

// turn waits for that of a user until ctx ends; done gives it back.
func (p *Places) turn(ctx context.Context, user string) (done func(), err error) {
	turn := p.turns[crc32.ChecksumIEEE([]byte(user))%turnsMost]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonBusy, Err: context.Cause(ctx)}
	}
}

// PlacesStats are the counters of [Places].
type PlacesStats struct {
	Reserved, Doubtful, Refused uint64 // answers to Reserve
	Claims                      uint64
	Changes                     uint64 // renewed or given back, or not for an error
	Failed                      uint64 // calls with an error
}

// Stats returns the counters. Any goroutine.
func (p *Places) Stats() PlacesStats {
	return PlacesStats{
		Reserved: p.reserved.Load(), Doubtful: p.doubtful.Load(), Refused: p.refused.Load(), Claims: p.claims.Load(),
		Changes: p.changes.Load(), Failed: p.failed.Load(),
	}
}

// record is what is kept of a user. Times are Unix milliseconds.
type record struct {
	Places  map[string]int64 `json:"places,omitempty"`  // client -> when its place ends
	Refused int64            `json:"refused,omitempty"` // since when the user is refused one; 0: it is not
	Claim   uint64           `json:"claim,omitempty"`   // the last one, in Unix microseconds
}

// recordLife is how long a value is kept after its last change: longer than all that is in it counts.
const recordLife = 10 * cluster.ClaimMoment

// trim lets go of what is over.
func (r *record) trim(now int64, ttl time.Duration) {
	for client, ends := range r.Places {
		if ends <= now {
			delete(r.Places, client)
		}
	}
	if r.Refused != 0 && r.Refused+4*ttl.Milliseconds() <= now {
		r.Refused = 0
	}
}

func (r *record) take(client string, ends int64) {
	if r.Places == nil {
		r.Places = make(map[string]int64)
	}
	r.Places[client] = ends
}

// Reserve implements cluster.Places.
func (p *Places) Reserve(ctx context.Context, user, client string, limit int) (place cluster.Place, err error) {
	err = p.update(ctx, []string{user}, func(_ int, r *record, now time.Time) bool {
		ms, ttl := now.UnixMilli(), p.ttl.Milliseconds()
		if _, has := r.Places[client]; !has && limit > 0 && len(r.Places) >= limit {
			place = cluster.PlaceDoubtful
			if r.Refused == 0 {
				r.Refused = ms
				return true
			}
			for _, ends := range r.Places {
				if ends-ttl <= r.Refused { // not renewed since
					return false
				}
			}
			place, r.Refused = cluster.PlaceRefused, 0
			return true
		}
		place, r.Refused = cluster.PlaceTaken, 0
		r.take(client, ms+ttl)
		return true
	})
	if err != nil {
		return cluster.PlaceDoubtful, err
	}
	switch place {
	case cluster.PlaceTaken:
		p.reserved.Add(1)
	case cluster.PlaceRefused:
		p.refused.Add(1)
	default:
		p.doubtful.Add(1)
	}
	return place, nil
}

// Claim implements cluster.Places. Claims are microseconds of the server's clock, or one more than the claim
// before where that was later.
func (p *Places) Claim(ctx context.Context, user string, age time.Duration) (claim uint64, others bool, err error) {
	err = p.update(ctx, []string{user}, func(_ int, r *record, now time.Time) bool {
		us, last := uint64(now.UnixMicro()), r.Claim
		claim = max(us, last+1)
		if age > 0 {
			claim = us - uint64(age.Microseconds())
		}
		others = us < last+uint64(cluster.ClaimMoment.Microseconds())
		r.Claim = max(claim, last)
		return true
	})
	if err != nil {
		return 0, false, err
	}
	p.claims.Add(1)
	return claim, others, nil
}

// Apply implements cluster.Places.
func (p *Places) Apply(ctx context.Context, changes []cluster.PlaceChange) error {
	p.changes.Add(uint64(len(changes)))
	var users []string
	of := make(map[string][]cluster.PlaceChange, len(changes))
	for _, c := range changes {
		if of[c.User] == nil {
			users = append(users, c.User)
		}
		of[c.User] = append(of[c.User], c)
	}
	return p.update(ctx, users, func(i int, r *record, now time.Time) bool {
		for _, c := range of[users[i]] {
			if c.Left {
				delete(r.Places, c.Client)
			} else {
				r.take(c.Client, now.Add(p.ttl).UnixMilli())
			}
		}
		return true
	})
}

const (
	// updateTries bounds how often a value is changed again because another node came first.
	updateTries = 32
	updatePause = 5 * time.Millisecond
)

// update changes the values of users, each by compare-and-set: change reports whether it did. It may be called
// several times for a user, the last of which counts.
func (p *Places) update(ctx context.Context, users []string, change func(i int, r *record, now time.Time) bool) error {
	left := make([]int, len(users))
	for i := range left {
		left[i] = i
	}
	err := p.m.do(ctx, func(ctx context.Context) error {
		if len(users) == 1 {
			done, err := p.turn(ctx, users[0])
			if err != nil {
				return err
			}
			defer done()
		}
		for try := 0; len(left) > 0; try++ {
			if try == updateTries {
				return &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonBusy, Err: errors.New("other nodes change the same users all the time")}
			}
			if try > 0 {
				t := time.NewTimer(rand.N(updatePause))
				select {
				case <-t.C:
				case <-ctx.Done():
					t.Stop()
					return context.Cause(ctx)
				}
			}
			var err error
			if left, err = p.once(ctx, users, left, change); err != nil {
				return err
			}
		}
		return nil
	})
	return p.outcome(err)
}

// once tries to change values, and returns those of which another node came first.
func (p *Places) once(ctx context.Context, users []string, left []int, change func(i int, r *record, now time.Time) bool) (again []int, err error) {
	now, err := p.now(ctx)
	if err != nil {
		return left, err
	}
	wanted := make([]nats.Wanted, len(left))
	for k, i := range left {
		wanted[k] = nats.Wanted{Stream: p.m.stream, Subject: p.key(users[i])}
	}
	var reqs []nats.Request
	var of []int
	for k, last := range p.m.api.Lasts(ctx, wanted) {
		if last.Err != nil {
			return left, last.Err
		}
		r := p.read(&last.Stored)
		r.trim(now.UnixMilli(), p.ttl)
		if !change(left[k], r, now) {
			continue
		}
		data, err := json.Marshal(r)
		if err != nil {
			return left, fmt.Errorf("places: %w", err)
		}
		reqs = append(reqs, nats.Request{Subject: p.m.api.Put(wanted[k].Subject), Data: data, Header: nats.Header{
			nats.HeaderTTL: {strconv.Itoa(int(recordLife / time.Second))}, nats.HeaderExpectSubject: {strconv.FormatUint(last.Seq, 10)},
		}})
		of = append(of, left[k])
	}
	for k, err := range p.m.api.PublishAll(ctx, reqs) {
		var failed *nats.Error
		switch {
		case err == nil:
		case errors.As(err, &failed) && failed.Reason == nats.ReasonSequence:
			again = append(again, of[k])
		default:
			return left, err
		}
	}
	return again, nil
}

// read decodes a value; what is none counts as nothing.
func (p *Places) read(s *nats.Stored) *record {
	r := new(record)
	if s.Seq != 0 && json.Unmarshal(s.Data, r) != nil {
		p.m.skipped.Add(1)
		*r = record{}
	}
	return r
}

func (p *Places) key(user string) string { return "$KV." + p.m.bucket + ".u." + nats.Key(user) }

// clockEvery is how often the clock of the server is asked for.
const clockEvery = 10 * time.Second

// now is the time of the server.
func (p *Places) now(ctx context.Context) (time.Time, error) {
	p.mu.Lock()
	ahead, asked := p.ahead, p.asked
	p.mu.Unlock()
	if !asked.IsZero() && time.Since(asked) < clockEvery {
		return time.Now().Add(ahead), nil
	}
	sent := time.Now()
	info, err := p.m.manager.Info(ctx, p.m.stream)
	if err != nil {
		return time.Time{}, err
	}
	if info.TimeStamp.IsZero() {
		return time.Now(), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// In the middle of question and answer, as far as can be known.
	p.ahead, p.asked = info.TimeStamp.Sub(sent.Add(time.Since(sent)/2)), time.Now()
	return time.Now().Add(p.ahead), nil
}

// outcome counts a call that failed and says what that means.
func (p *Places) outcome(err error) error {
	if err == nil {
		return nil
	}
	p.failed.Add(1)
	switch {
	case errors.Is(err, nats.ErrUnknown):
		return fmt.Errorf("%w: %w", broker.ErrUnknown, err)
	case errors.Is(err, nats.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	return fmt.Errorf("places of users: %w", err)
}
