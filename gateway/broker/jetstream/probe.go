package jetstream

import (
	"context"
	"fmt"
	"time"

	"sluice/gateway/advice"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
)

// run proves the shard again and again until ctx ends.
func (s *shard) run(ctx context.Context) {
	opt := &s.engine.opt
	for {
		s.prove(ctx)
		s.engine.report()
		if !pause.Until(ctx, opt.ProbeEvery, s.wake) {
			return
		}
	}
}

// prove makes the stream if it is not there, writes, and waits for a marker.
func (s *shard) prove(ctx context.Context) {
	began := time.Now()
	s.mu.Lock()
	gen := s.gen
	s.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, s.engine.opt.ProbeLate)
	defer cancel()
	known := s.acked.Load()
	seq, err := s.write(within)
	back := err == nil && seq <= known
	if err == nil {
		err = s.recognize(within, seq, back, gen)
	}
	if err == nil {
		if err = s.marker(within); err != nil {
			err = fmt.Errorf("delivery: %w", err)
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.proved(began, gen, back, err)
	if s.index == 0 && err == nil {
		s.engine.askAgain(within)
	}
	if s.index == 0 && err == nil && s.engine.level.Load() < nats.LevelBatch {
		s.engine.learn(within) // the servers may be newer now
	}
}

// probeLife is how long the message of a probe is kept, in seconds.
const probeLife = "60"

// write has the stream keep something, and makes the stream if it is not there.
func (s *shard) write(ctx context.Context) (seq uint64, err error) {
	if !s.isMade() {
		if err := s.engine.ensure(ctx); err != nil && !s.isMade() { // others may not be there
			return 0, ofShard(err, s)
		}
	}
	sent := time.Now()
	ack, err := s.engine.api.Publish(ctx, nats.Request{
		Subject: s.engine.subj.probe(s.index, s.engine.opt.Node), Header: nats.Header{nats.HeaderTTL: {probeLife}},
	})
	if err != nil {
		s.missing(err)
		return 0, fmt.Errorf("write: %w", err)
	}
	if took := time.Since(sent); s.index == 0 && took < clockSlow {
		s.engine.setClock(ctx, s.stream, ack.Seq, sent.Add(took/2))
	}
	return ack.Seq, nil
}

// missing notes that the stream may not be there any more.
func (s *shard) missing(err error) {
	if nats.Gone(err) {
		s.mu.Lock()
		s.made = false
		s.mu.Unlock()
		s.engine.lanes.forgetAll()
		s.signal()
	}
}

func (s *shard) isMade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// proved takes the outcome of a probe. another says that the stream is not the one that it was.
func (s *shard) proved(began time.Time, gen int, another bool, err error) {
	e := s.engine
	s.mu.Lock()
	failed := s.err
	s.err = err
	var back, doubt bool
	if err != nil {
		s.doubted = true
	} else {
		s.worked = began
		back = !s.up && s.gen == gen && e.nats.Feed().Ready() == nil
		s.up = s.up || back
		doubt = s.up && !back && (s.doubted || another)
		s.doubted = s.doubted && !s.up
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		e.stats.probesFailed.Add(1)
		e.calls.failed(err)
		if failed == nil {
			e.opt.Log.Warn("jetstream: what is written does not come back", "stream", s.stream, "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
		return
	case failed != nil:
		e.opt.Log.Info("jetstream: what is written comes back again", "stream", s.stream)
	}
	e.calls.took(callProbe, time.Since(began))
	switch {
	case back:
		e.follow.Back(s, e.allUp())
	case doubt:
		e.stats.doubts.Add(1)
		e.follow.DoubtAll(s.Has)
	}
}

// lost notes that the feed is gone.
func (s *shard) lost() {
	s.mu.Lock()
	was := s.up
	s.up = false
	if s.isKnown() {
		s.known = make(chan struct{})
	}
	s.gen++
	s.mu.Unlock()
	if was {
		s.engine.follow.Lost(s)
	}
}

// doubt has the shard's channels compared once the next probe worked.
func (s *shard) doubt() {
	s.mu.Lock()
	s.doubted = true
	s.mu.Unlock()
	s.signal()
}

// clockSlow is how long a write may take that says what time it is at the server.
const clockSlow = 500 * time.Millisecond

// setClock learns how far the clock of the server is ahead, by a message that was kept at about a time of ours.
func (e *Engine) setClock(ctx context.Context, stream string, seq uint64, at time.Time) {
	m, err := e.api.Message(ctx, stream, seq)
	if err != nil || m.Seq == 0 {
		return
	}
	e.ahead.Store(int64(m.Time.Sub(at)))
}
