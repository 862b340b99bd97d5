package jetstream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// shard is one stream, with what is known of it.
type shard struct {
	// Immutable after newShard.
	engine *Engine
	index  int
	stream string
	wake   chan struct{} // capacity 1: there may be something to prove

	markers nats.Rounds

	// Atomic: the highest sequence that the stream has acknowledged to this node.
	acked atomic.Uint64

	// Guarded by mu.
	mu     sync.Mutex
	made   bool          // the stream is there, as far as is known
	gone   time.Time     // since when it was seen not to be there
	most   int           // its messages per subject
	up     bool          // the feed brings all of it
	known  chan struct{} // closed while the stream is known to be what it was, or how far it has gone back
	gen    int           // counts losses of the feed
	probes int           // counts them
	worked time.Time     // when the last probe began that worked
	err    error         // of the last probe
	leader string        // of the stream, and since when
	born   time.Time     // when the stream was made that the last probe was of that worked
	// restored is where the stream was when it was seen to have gone back: what channels had behind their last message,
	// if that is no later, may be lost.
	restored uint64
	doubted  bool // the next probe that works has channels compared: one failed, or the stream has another leader
}

func newShard(e *Engine, index int) *shard {
	return &shard{engine: e, index: index, stream: e.subj.stream(index), wake: make(chan struct{}, 1), known: make(chan struct{})}
}

// Has implements follow.Part: channels have the number of their shard as slot.
func (s *shard) Has(slot int) bool { return slot == s.index }

// signal has the shard proved soon.
func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

const (
	// markerTry is how long one marker may take, behind all that waits to be handed over.
	markerTry = 30 * time.Second
	// markerAgain is between tries.
	markerAgain = 10 * time.Millisecond
)

// marker returns when what the stream published again before has been handed over. Callers
// share markers: one that is under way may have passed the leader before the call, so they wait for the next.
func (s *shard) marker(ctx context.Context) error {
	for {
		err, ok := s.markers.Join(s.sendMarker).Await(ctx)
		switch {
		case !ok:
			return fmt.Errorf("shard %s: no marker came back, see /ready: %w: %w", s.stream, nats.ErrUnavailable, context.Cause(ctx))
		case err == nil:
			return nil
		case !pause.For(ctx, markerAgain):
			return fmt.Errorf("shard %s: no marker came back, see /ready: %w", s.stream, err)
		}
	}
}

// sendMarker sends one for all that wait for it.
func (s *shard) sendMarker() error {
	ctx, cancel := context.WithTimeout(s.engine.over, markerTry)
	defer cancel()
	return s.engine.nats.Feed().Marker(ctx, s.markerRequest())
}

// markerRequest is a message that the leader of the stream refuses: its answer comes behind what the stream published
// again before, and nothing is kept. The stream that it is said to be for cannot be: its name has
// a space.
func (s *shard) markerRequest() nats.Request {
	return nats.Request{Subject: s.engine.subj.marker(s.index), Header: nats.Header{nats.HeaderExpectStream: {"no stream"}}}
}
