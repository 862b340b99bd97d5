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

// restored is what a subscriber gets of a channel's history when it subscribes
// (PROTOCOL 6.2 to 6.4).
type restored struct {
	top          broker.Position
	publications []*codec.Publication
	recovered    bool
	offset       uint64 // of the SubscribeResult
}

// restore reads the channel's history for a grant. Not from a turn.
func (m *Manager) restore(ctx context.Context, g *Grant) (restored, error) {
	q := broker.HistoryQuery{Channel: g.Channel, MetaTTL: g.Rules.HistoryMetaTTL}
	cache := g.Rules.ForceRecoveryMode == channel.RecoveryCache
	want := g.Recover != nil && g.Recoverable
	switch {
	case cache && (want || g.cacheRecover()):
		q.Limit, q.Reverse = 1, true
	case want && !g.Recover.lost:
		q.Since, q.Set, q.Limit = g.Recover.offset, true, m.live.Load().RecoveryLimit
		if q.Limit <= 0 {
			q.Limit = -1
		}
	}
	if want && len(g.Recover.entries) > 1 {
		_, top, err := broker.Read(ctx, m.broker, broker.HistoryQuery{Channel: g.Channel, MetaTTL: q.MetaTTL})
		if err != nil {
			return restored{}, err
		}
		g.Recover.resolve(top.Epoch)
		q.Since = g.Recover.offset
	}
	pubs, top, err := m.history(ctx, q)
	if err != nil {
		return restored{}, err
	}
	switch {
	case q.Limit == 0:
		return restored{top: top, offset: top.Offset}, nil
	case q.Reverse:
		return restoreCache(g.Recover, pubs, top), nil
	}
	return restoreStream(g.Recover, pubs, top), nil
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

// flights reads histories so that a storm of resumes from the same position
// costs an engine outside the process few reads. A read that is under way is
// not shared with those who come later: it may have looked at the history
// before their subscriptions began to hold, and what lies between would be
// lost. They share the next one, which starts when this one ends.
type flights struct {
	// Immutable after New.
	read  historyRead
	limit time.Duration // of one read

	// Guarded by mu.
	mu    sync.Mutex
	calls map[broker.HistoryQuery]*flightPair
}

// historyRead is broker.Read of an engine.
type historyRead func(ctx context.Context, q broker.HistoryQuery) ([]*codec.Publication, broker.Position, error)

// flightPair is the read under way, and the one that waits for it; nil if
// nobody has asked for another.
type flightPair struct{ now, next *flight }

// flight is one read. Its results are written before done is closed.
type flight struct {
	done chan struct{}
	pubs []*codec.Publication
	top  broker.Position
	err  error
}

// history is broker.Read, shared. Not from a turn.
func (f *flights) history(ctx context.Context, k broker.HistoryQuery) ([]*codec.Publication, broker.Position, error) {
	f.mu.Lock()
	p := f.calls[k]
	var mine, before *flight
	var run bool
	switch {
	case p == nil:
		mine, run = &flight{done: make(chan struct{})}, true
		f.calls[k] = &flightPair{now: mine}
	case p.next == nil:
		mine, run, before = &flight{done: make(chan struct{})}, true, p.now
		p.next = mine
	default:
		mine = p.next
	}
	f.mu.Unlock()
	if run {
		go f.fly(k, mine, before)
	}
	select {
	case <-mine.done:
		return mine.pubs, mine.top, mine.err
	case <-ctx.Done():
		return nil, broker.Position{}, context.Cause(ctx)
	}
}

// fly makes a read, once the one before it has ended. It is nobody's own: whoever
// asked first may give up while others wait.
func (f *flights) fly(k broker.HistoryQuery, mine, before *flight) {
	if before != nil {
		<-before.done
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.limit)
	defer cancel()
	f.call(ctx, k, mine)
	f.mu.Lock()
	p := f.calls[k]
	p.now, p.next = p.next, nil
	if p.now == nil {
		delete(f.calls, k)
	}
	f.mu.Unlock()
	close(mine.done)
}

// call makes the read; a panic of the engine becomes an error, for those who
// wait.
func (f *flights) call(ctx context.Context, k broker.HistoryQuery, mine *flight) {
	defer func() {
		if v := recover(); v != nil {
			mine.err = fmt.Errorf("session: panic while reading a history: %v", v)
		}
	}()
	mine.pubs, mine.top, mine.err = f.read(ctx, k)
}
