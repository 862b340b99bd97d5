package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
)

// recoverRequest is where a client says it was: by offset and epoch in its
// connect request, or by what the id line of its last event said.
type recoverRequest struct {
	offset uint64
	epoch  string
	// entries are those of a cursor that fit the channel: one, unless names
	// collide; nil for a connect request.
	entries []codec.CursorEntry
	// lost: it was somewhere, and cannot say where.
	lost bool
}

// in reports whether the position is of this epoch. An empty epoch of a connect
// request is not compared (PROTOCOL 6.3).
func (r *recoverRequest) in(epoch string) bool {
	if r.entries == nil {
		return r.epoch == "" || r.epoch == epoch
	}
	return r.entries[0].Epoch == hub.EpochTag(epoch)
}

// resolve decides between entries of a cursor whose channels have the same 32
// bits of hash: the one of the channel's present epoch is meant.
func (r *recoverRequest) resolve(epoch string) {
	for i := range r.entries {
		if r.entries[i].Epoch == hub.EpochTag(epoch) {
			r.entries = r.entries[i : i+1]
			break
		}
	}
	r.offset = r.entries[0].Offset
}

// histories is broker.Histories of an engine.
type histories func(ctx context.Context, queries []broker.HistoryQuery) []broker.History

// restored is what a subscriber gets of a channel's history when it subscribes
// (PROTOCOL 6.2 to 6.4).
type restored struct {
	top          broker.Position
	publications []*codec.Publication
	recovered    bool
	offset       uint64    // of the SubscribeResult
	gap          codec.Gap // in front of a backlog; nothing is missing if Dropped is 0
	short        Short     // of a backlog
	// before and after are hub.Seq around the reading.
	before, after uint64
}

// restoreAll reads what subscribers get of the histories of those grants that are due, by
// grant: all of them in one call, and in one more if the cursor of some may mean another
// channel. nil if none is due. The error is a *ChannelError. Not from a turn.
func (m *Manager) restoreAll(ctx context.Context, grants []Grant, due func(g *Grant) bool) ([]restored, error) {
	if err := m.resolveAll(ctx, grants, due); err != nil {
		return nil, err
	}
	var queries []broker.HistoryQuery
	for i := range grants {
		if g := &grants[i]; due(g) {
			if queries == nil {
				queries = make([]broker.HistoryQuery, 0, len(grants)-i)
			}
			queries = append(queries, m.historyOf(g))
		}
	}
	if len(queries) == 0 {
		return nil, nil
	}
	before := m.hub.Seq()
	answers := m.histories(ctx, queries)
	after := m.hub.Seq()
	all := make([]restored, len(grants))
	for i := range grants {
		g := &grants[i]
		if !due(g) {
			continue
		}
		q, h := &queries[0], &answers[0]
		if queries, answers = queries[1:], answers[1:]; h.Err != nil {
			return nil, &ChannelError{g.Channel, h.Err}
		}
		if g.backlog != nil && g.backlog.outdated(h.Top) {
			return m.restoreAll(ctx, grants, due)
		}
		switch {
		case g.backlog != nil:
			all[i] = g.backlog.restore(h, m.opt.RecoveryMaxBytes)
		case q.Limit == 0:
			all[i] = restored{top: h.Top, offset: h.Top.Offset}
		case q.Reverse:
			all[i] = restoreCache(g.Recover, h.Publications, h.Top)
		default:
			all[i] = restoreStream(g.Recover, h.Publications, h.Top)
		}
		all[i].before, all[i].after = before, after
	}
	return all, nil
}

// historyOf returns what is to be read of a channel for a grant.
func (m *Manager) historyOf(g *Grant) broker.HistoryQuery {
	q := broker.HistoryQuery{Channel: g.Channel, MetaTTL: g.Rules.HistoryMetaTTL}
	want := g.Recover != nil && g.Recoverable
	switch {
	case g.backlog != nil:
		g.backlog.ask(&q)
	case g.Rules.ForceRecoveryMode == channel.RecoveryCache && (want || g.cacheRecover()):
		q.Limit, q.Reverse = 1, true
	case want && !g.Recover.lost:
		q.Since, q.Set, q.Limit = g.Recover.offset, true, m.live.Load().RecoveryLimit
		if q.Limit <= 0 {
			q.Limit = -1
		}
	}
	return q
}

// resolveAll decides which entries of cursors are meant, where that is not clear.
func (m *Manager) resolveAll(ctx context.Context, grants []Grant, due func(g *Grant) bool) error {
	var unclear []*Grant
	var queries []broker.HistoryQuery
	for i := range grants {
		if g := &grants[i]; due(g) && g.Recoverable && g.Recover != nil && len(g.Recover.entries) > 1 {
			unclear = append(unclear, g)
			queries = append(queries, broker.HistoryQuery{Channel: g.Channel, MetaTTL: g.Rules.HistoryMetaTTL})
		}
	}
	if len(unclear) == 0 {
		return nil
	}
	for i, h := range m.broker.Histories(ctx, queries) {
		if h.Err != nil {
			return &ChannelError{unclear[i].Channel, h.Err}
		}
		unclear[i].Recover.resolve(h.Top.Epoch)
	}
	return nil
}

// cut says that a client was not recovered, because the publications that it
// missed are too many bytes for its connect push.
func (r *restored) cut() {
	r.publications, r.recovered, r.offset = nil, false, r.top.Offset
}

// size is what the publications count for in a push, or in pushes of their own; in
// the form for subscribers of deltas, in which a payload is a string, twice that.
func (r *restored) size(deltas bool) (n int) {
	for _, p := range r.publications {
		n += p.Size() + recoveredCost
	}
	if deltas {
		n *= 2
	}
	return n
}

// recoveredCost is what a recovered publication takes beyond its payload.
const recoveredCost = 48

// restoreStream decides whether pubs, the publications behind the client's
// position, are all that it missed. An empty epoch is not compared.
func restoreStream(r *recoverRequest, pubs []*codec.Publication, top broker.Position) restored {
	ok := r.in(top.Epoch)
	if len(pubs) == 0 {
		ok = ok && r.offset == top.Offset
	} else {
		ok = ok && pubs[0].Offset == r.offset+1 && pubs[len(pubs)-1].Offset == top.Offset
	}
	if !ok {
		return restored{top: top, offset: top.Offset}
	}
	return restored{top: top, publications: pubs, recovered: true, offset: r.offset}
}

// restoreCache brings the latest publication, which is the channel's state,
// unless the client has it.
func restoreCache(r *recoverRequest, pubs []*codec.Publication, top broker.Position) restored {
	var at recoverRequest
	if r != nil {
		at = *r
	}
	known := at.entries != nil || at.epoch != ""
	if known && at.offset == top.Offset && at.in(top.Epoch) && (at.offset > 0 || len(pubs) == 0) {
		return restored{top: top, recovered: true, offset: at.offset}
	}
	if len(pubs) == 1 && pubs[0].Offset == top.Offset {
		return restored{top: top, publications: pubs, recovered: true, offset: at.offset}
	}
	return restored{top: top, offset: top.Offset}
}

// flights are calls of an engine outside the process that are shared by those who make
// them at the same time: a storm of resumes from the same position costs few reads, a
// storm of commands few barriers. A call that is under way is not shared with those who
// come later: it may have looked before their subscriptions began to hold, and what lies
// between would be lost. They share the next one, which starts when this one ends.
type flights[K comparable, V any] struct {
	// Immutable after newFlights.
	read   func(ctx context.Context, keys []K) []V
	failed func(err error) V
	limit  time.Duration // of one call

	// Guarded by mu.
	mu    sync.Mutex
	calls map[K]*flightPair[V]
}

// newFlights returns flights whose calls answer keys with read, or in a panic with failed.
func newFlights[K comparable, V any](limit time.Duration, read func(ctx context.Context, keys []K) []V, failed func(err error) V) *flights[K, V] {
	return &flights[K, V]{read: read, failed: failed, limit: limit, calls: make(map[K]*flightPair[V])}
}

// flightPair is the call under way, or about to be, and the one that waits for its end; nil
// if nobody has asked for another.
type flightPair[V any] struct{ now, next *flight[V] }

// flight is one call. Its answer is written before done is closed.
type flight[V any] struct {
	done   chan struct{}
	begun  bool // guarded by flights.mu
	answer V
}

// departure is flights that leave together.
type departure[K comparable, V any] struct {
	keys    []K
	flights []*flight[V]
	behind  []*flight[V] // that have begun, and end before
}

func (d *departure[K, V]) add(k K) *flight[V] {
	fl := &flight[V]{done: make(chan struct{})}
	d.keys, d.flights = append(d.keys, k), append(d.flights, fl)
	return fl
}

// get answers keys. Not from a turn.
func (f *flights[K, V]) get(ctx context.Context, keys []K) []V {
	var atOnce, later departure[K, V]
	mine := make([]*flight[V], len(keys))
	f.mu.Lock()
	for i, k := range keys {
		p := f.calls[k]
		switch {
		case p == nil:
			mine[i] = atOnce.add(k)
			f.calls[k] = &flightPair[V]{now: mine[i]}
		case !p.now.begun:
			mine[i] = p.now
		case p.next == nil:
			mine[i] = later.add(k)
			p.next, later.behind = mine[i], append(later.behind, p.now)
		default:
			mine[i] = p.next
		}
	}
	f.mu.Unlock()
	for _, d := range []*departure[K, V]{&atOnce, &later} {
		if len(d.flights) > 0 {
			go f.fly(d)
		}
	}
	answers := make([]V, len(keys))
	for i, fl := range mine {
		select {
		case <-fl.done:
			answers[i] = fl.answer
		case <-ctx.Done():
			answers[i] = f.failed(fmt.Errorf("session: the engine did not answer in time: %w: %w", broker.ErrUnknown, context.Cause(ctx)))
		}
	}
	return answers
}

// fly makes a call, once those before it have ended. It is nobody's own: whoever
// asked first may give up while others wait.
func (f *flights[K, V]) fly(d *departure[K, V]) {
	for _, before := range d.behind {
		<-before.done
	}
	f.mu.Lock()
	for _, fl := range d.flights {
		fl.begun = true
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), f.limit)
	defer cancel()
	f.call(ctx, d)
	f.mu.Lock()
	for _, k := range d.keys {
		p := f.calls[k]
		p.now, p.next = p.next, nil
		if p.now == nil {
			delete(f.calls, k)
		}
	}
	f.mu.Unlock()
	for _, fl := range d.flights {
		close(fl.done)
	}
}

// call makes the call; a panic of the engine becomes an error, for those who
// wait.
func (f *flights[K, V]) call(ctx context.Context, d *departure[K, V]) {
	defer func() {
		if v := recover(); v != nil {
			for _, fl := range d.flights {
				fl.answer = f.failed(fmt.Errorf("session: panic in the engine: %v", v))
			}
		}
	}()
	for i, answer := range f.read(ctx, d.keys) {
		d.flights[i].answer = answer
	}
}
