package nats

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// Places implements cluster.Places beside presence: of each user the key u.<user>.places, of
// when the places of its clients end and since when it is refused one, and u.<user>.claim, the last claim. All go by the clock of the stream's leader. What is written is compared with what was
// read (Nats-Expected-Last-Subject-Sequence), so that each change is made as a whole or not at all. Make it with [New].
type Places struct {
	// Immutable after newPlaces.
	bucket *bucket
	ttl    time.Duration
	seed   maphash.Seed
	lanes  [placeLanes]chan struct{} // callers for one user do not get into each other's way; their room is the right to go

	// Atomic.
	clock                                                                    atomic.Pointer[clock]
	reserved, doubtful, refused, claims, changes, failed, conflicts, skipped atomic.Uint64
}

var _ cluster.Places = (*Places)(nil)

const (
	placeLanes = 64
	// conflictsMost is how often a change is tried that others were faster than. The pause in between grows
	// from conflictMin to conflictMax.
	conflictsMost = 40
	conflictMin   = time.Millisecond
	conflictMax   = 20 * time.Millisecond
	// clockLife is how long the clock of the leader is believed to go on as ours does.
	clockLife = time.Second
)

// clock is what a leader's clock said, and when that was by ours.
type clock struct{ said, at time.Time }

func newPlaces(b *bucket, ttl time.Duration) *Places {
	p := &Places{bucket: b, ttl: ttl, seed: maphash.MakeSeed()}
	for i := range p.lanes {
		p.lanes[i] = make(chan struct{}, 1)
	}
	return p
}

// PlacesStats are the counters of [Places].
type PlacesStats struct {
	Reserved, Doubtful, Refused uint64 // answers to Reserve
	Claims                      uint64
	Changes                     uint64 // renewed or given back, or not for an error
	Failed                      uint64 // calls with an error
	Conflicts                   uint64 // writes that another one was faster than, which were tried again
	Skipped                     uint64 // values that are none of ours
}

// Stats returns the counters. Any goroutine.
func (p *Places) Stats() PlacesStats {
	return PlacesStats{
		Reserved: p.reserved.Load(), Doubtful: p.doubtful.Load(), Refused: p.refused.Load(), Claims: p.claims.Load(),
		Changes: p.changes.Load(), Failed: p.failed.Load(), Conflicts: p.conflicts.Load(), Skipped: p.skipped.Load(),
	}
}

// Reserve implements cluster.Places.
func (p *Places) Reserve(ctx context.Context, user, client string, limit int) (cluster.Place, error) {
	var place cluster.Place
	err := p.alone(ctx, user, p.subject(user, "places"), func(last *nats.Stored, now time.Time) (data []byte, life time.Duration) {
		s := p.seats(last)
		var changed bool
		place, changed = s.reserve(client, limit, now.UnixMilli(), p.ttl.Milliseconds())
		if !changed {
			return nil, 0
		}
		return s.encode(), s.life(p.ttl)
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

// Claim implements cluster.Places. Claims are microseconds of the leader's clock, or one
// more than the claim before where that was later.
func (p *Places) Claim(ctx context.Context, user string, age time.Duration) (claim uint64, others bool, err error) {
	err = p.alone(ctx, user, p.subject(user, "claim"), func(last *nats.Stored, now time.Time) ([]byte, time.Duration) {
		var keep uint64
		claim, keep, others = claimOf(p.lastClaim(last), now, max(age, 0))
		return strconv.AppendUint(nil, keep, 10), 10 * cluster.ClaimMoment
	})
	if err != nil {
		return 0, false, err
	}
	p.claims.Add(1)
	return claim, others, nil
}

// claimOf returns a claim behind the last one, and what is the last one then: one that was due earlier is no reason
// to forget a later one.
func claimOf(last uint64, now time.Time, age time.Duration) (claim, keep uint64, others bool) {
	at := uint64(now.UnixMicro())
	if claim = max(at, last+1); age > 0 {
		claim = at - min(at, uint64(age.Microseconds()))
	}
	return claim, max(claim, last), at < last+uint64(cluster.ClaimMoment.Microseconds())
}

func (p *Places) lastClaim(last *nats.Stored) uint64 {
	if len(last.Data) == 0 {
		return 0
	}
	// Half of the numbers are enough for times, and leave room to add to.
	n, err := strconv.ParseUint(string(last.Data), 10, 63)
	if err != nil {
		p.skipped.Add(1)
		return 0
	}
	return n
}

func (p *Places) subject(user, kind string) string { return p.bucket.root + userKey(user, kind) }

// alone changes a value of a user. f says what it is to be by what it is, for so long, nil for no change;
// it may be called several times.
func (p *Places) alone(ctx context.Context, user, subject string, f func(last *nats.Stored, now time.Time) (data []byte, life time.Duration)) error {
	lane := p.lanes[maphash.String(p.seed, user)%placeLanes]
	select {
	case lane <- struct{}{}:
		defer func() { <-lane }()
	case <-ctx.Done():
		return p.outcome(&nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonBusy, Err: context.Cause(ctx)})
	}
	return p.change(ctx, []valueChange{{subject: subject, f: f}})
}

// valueChange is one value on its way.
type valueChange struct {
	subject string
	f       func(last *nats.Stored, now time.Time) (data []byte, life time.Duration)
}

// change makes changes, those again that others were faster than.
func (p *Places) change(ctx context.Context, list []valueChange) error {
	wait := conflictMin
	var refused error
	for tries := 1; ; tries++ {
		var again []valueChange
		var clash error
		err := p.bucket.with(ctx, func() (err error) {
			again, clash, err = p.once(ctx, list)
			return err
		})
		list = again
		switch {
		case err != nil && !errors.Is(err, nats.ErrRefused):
			return p.outcome(err)
		case err != nil && refused == nil: // it is no reason to leave out the others
			refused = err
		}
		if len(list) == 0 {
			return p.outcome(refused)
		}
		p.conflicts.Add(uint64(len(list)))
		if tries == conflictsMost || !pause.For(ctx, rand.N(wait)) { // #nosec: it only parts those that meet
			return p.outcome(clash)
		}
		wait = min(2*wait, conflictMax)
	}
}

// once makes one attempt. It returns the changes that others were faster than, with such an error; and the first of other
// errors, that of a bucket that is not there before others.
func (p *Places) once(ctx context.Context, list []valueChange) (again []valueChange, clash, err error) {
	now, err := p.now(ctx)
	if err != nil {
		return nil, nil, err
	}
	subjects := make([]string, len(list))
	for i := range list {
		subjects[i] = list[i].subject
	}
	var reqs []nats.Request
	var of []valueChange
	for i, last := range p.bucket.lasts(ctx, subjects) {
		if last.Err != nil {
			if nats.Gone(last.Err) {
				return nil, nil, last.Err
			}
			if err == nil {
				err = last.Err
			}
			continue
		}
		if nats.Get(last.Header, nats.HeaderOperation) != "" {
			last.Data = nil // it is no value any more
		}
		data, life := list[i].f(&last.Stored, now)
		if data == nil {
			continue
		}
		reqs = append(reqs, nats.Request{Subject: p.bucket.api.Put(list[i].subject), Data: data, Header: nats.Header{
			nats.HeaderExpectSubject: {strconv.FormatUint(last.Seq, 10)}, nats.HeaderTTL: {seconds(life)},
		}})
		of = append(of, list[i])
	}
	for i, failed := range p.bucket.publish(ctx, reqs) {
		switch {
		case failed == nil:
		case nats.Outrun(failed):
			again, clash = append(again, of[i]), failed
		case nats.Gone(failed):
			return nil, nil, failed
		case err == nil:
			err = failed
		}
	}
	return again, clash, err
}

// seconds writes how long a key lasts: no less.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// now returns the time by the clock of the leader.
func (p *Places) now(ctx context.Context) (time.Time, error) {
	if c := p.clock.Load(); c != nil {
		if since := time.Since(c.at); since < clockLife {
			return c.said.Add(since), nil
		}
	}
	st, err := p.bucket.state(ctx, "", 0)
	if err != nil {
		return time.Time{}, err
	}
	p.clock.Store(&clock{said: st.Time, at: time.Now()})
	return st.Time, nil
}

// Apply implements cluster.Places.
func (p *Places) Apply(ctx context.Context, changes []cluster.PlaceChange) error {
	if len(changes) == 0 {
		return nil
	}
	p.changes.Add(uint64(len(changes)))
	of := make(map[string][]cluster.PlaceChange)
	var users []string
	for _, c := range changes {
		if of[c.User] == nil {
			users = append(users, c.User)
		}
		of[c.User] = append(of[c.User], c)
	}
	list := make([]valueChange, len(users))
	for i, user := range users {
		list[i] = valueChange{p.subject(user, "places"), func(last *nats.Stored, now time.Time) ([]byte, time.Duration) {
			s := p.seats(last)
			if !s.apply(of[user], now.UnixMilli(), p.ttl.Milliseconds()) {
				return nil, 0
			}
			return s.encode(), s.life(p.ttl)
		}}
	}
	return p.change(ctx, list)
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
	case errors.Is(err, nats.ErrUnavailable):
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	return fmt.Errorf("places of users: %w", err)
}
