package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
)

// flights reads histories so that a storm of resumes from the same position
// costs an engine outside the process few reads. A read that is under way is
// not shared with those who come later: it may have looked at the history
// before their subscriptions began to hold, and what lies between would be
// lost. They share the next one, which starts when this one ends.
type flights struct {
	// Immutable after New.
	read  func(ctx context.Context, channel string, q broker.HistoryQuery) ([]*codec.Publication, broker.Position, error)
	limit time.Duration // of one read

	// Guarded by mu.
	mu    sync.Mutex
	calls map[flightKey]*flightPair
}

type flightKey struct {
	channel string
	query   broker.HistoryQuery
}

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

// history is Broker.History, shared. Not from a turn.
func (f *flights) history(ctx context.Context, channel string, q broker.HistoryQuery) ([]*codec.Publication, broker.Position, error) {
	k := flightKey{channel, q}
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
func (f *flights) fly(k flightKey, mine, before *flight) {
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
func (f *flights) call(ctx context.Context, k flightKey, mine *flight) {
	defer func() {
		if v := recover(); v != nil {
			mine.err = fmt.Errorf("session: panic while reading a history: %v", v)
		}
	}()
	mine.pubs, mine.top, mine.err = f.read(ctx, k.channel, k.query)
}
