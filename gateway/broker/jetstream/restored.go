package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/gateway/nats"
)

// A stream can go back: it is restored from an older copy, or its server loses the last seconds with the power. Sequences,
// and so offsets, are then given again, for other publications. A node sees that a stream gives a probe a sequence that is not
// above all that it has acknowledged to the node; it notes in the metadata of the stream how far the stream is then. Whoever
// comes across a channel whose last message is no later gives it another epoch first: clients are told, and nobody is
// told that he has what he has not. A node that has lost its connection keeps and reads nothing before a probe has shown
// that. Nobody can see it if no node ran before and after.

// metaRestored says up to which sequence channels may have lost what they had.
const metaRestored = "sluice.restored"

// saw notes a sequence that the stream has acknowledged.
func (s *shard) saw(seq uint64) {
	for before := s.acked.Load(); before < seq && !s.acked.CompareAndSwap(before, seq); before = s.acked.Load() {
	}
}

// look learns what the stream is, behind a write that it gave a sequence. back says that this is no higher than before. A
// stream that has another leader has its channels compared: the one before may have gone with what it was to publish
// again.
func (s *shard) look(ctx context.Context, seq uint64, back bool) error {
	info, err := s.engine.manager.Info(ctx, s.stream)
	if err != nil {
		return err
	}
	restored, _ := strconv.ParseUint(info.Config.Metadata[metaRestored], 10, 64)
	s.mu.Lock()
	born, noted := s.born, s.restored
	s.mu.Unlock()
	another := !born.IsZero() && info.Created.After(born)                                     // what a new stream has is of now
	if last := info.State.LastSeq; restored > last || back && !another && restored <= noted { // else another node has noted it
		if restored, err = s.wentBack(ctx, info); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.born, s.restored = info.Created, restored
	s.mu.Unlock()
	if back {
		s.acked.Store(seq)
		s.engine.lanes.forgetAll() // what is remembered was before
	}
	s.led(info.Cluster)
	return nil
}

// wentBack notes in the stream that it has gone back.
func (s *shard) wentBack(ctx context.Context, info *jetstream.StreamInfo) (restored uint64, err error) {
	restored = info.State.LastSeq
	cfg := info.Config
	cfg.Metadata[metaRestored] = strconv.FormatUint(restored, 10)
	if _, err := s.engine.manager.Update(ctx, cfg); err != nil {
		return 0, fmt.Errorf("the stream has gone back, which is to be noted in it: %w", err)
	}
	s.engine.opt.Log.Warn("jetstream: a stream has gone back, its channels get other epochs", "stream", s.stream, "sequence", restored,
		"remedy", "it was restored from an older copy, or its server lost its last writes: see sync_interval of nats-server, and use three replicas")
	return restored, nil
}

// led learns which leader the stream has.
func (s *shard) led(cluster *jetstream.ClusterInfo) {
	if cluster == nil || cluster.Leader == "" {
		return
	}
	leader := cluster.Leader
	if cluster.LeaderSince != nil {
		leader += " " + cluster.LeaderSince.String()
	}
	s.mu.Lock()
	another := s.leader != "" && s.leader != leader
	s.leader, s.doubted = leader, s.doubted || another
	s.mu.Unlock()
	if another {
		s.engine.opt.Log.Info("jetstream: a stream has another leader, its channels are compared with their histories", "stream", s.stream, "leader", cluster.Leader)
		s.engine.stats.leaders.Add(1)
	}
}

// stateOf is the state of a channel by its last message, as far as the stream has not gone back since.
func (s *shard) stateOf(m *nats.Stored) (st state, foreign bool) {
	st, foreign = stateOf(m)
	s.mu.Lock()
	st.old = st.seq != 0 && st.seq <= s.restored
	s.mu.Unlock()
	return st, foreign
}

// renewed gives a channel of before the stream went back another epoch, unless somebody has.
func (e *Engine) renewed(ctx context.Context, channel string, st state) (state, error) {
	for st.old {
		if _, err := e.Renew(ctx, channel, st.epoch); err != nil {
			return state{}, err
		}
		var err error
		if st, err = e.state(ctx, channel); err != nil {
			return state{}, err
		}
	}
	return st, nil
}

func (s *shard) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// isKnown reports whether the stream is known to be what it was. Caller holds mu.
func (s *shard) isKnown() bool {
	select {
	case <-s.known:
		return true
	default:
		return false
	}
}

// wasThere reports whether a probe of the stream ever worked.
func (s *shard) wasThere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.born.IsZero()
}

func (s *shard) knows() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isKnown()
}

// awaitKnown waits for that: what is read before may be of a time that the stream has gone back to.
func (s *shard) awaitKnown(ctx context.Context) error {
	s.mu.Lock()
	known, err := s.known, s.err
	s.mu.Unlock()
	select {
	case <-known:
		return nil
	default:
	}
	select {
	case <-known:
		return nil
	case <-ctx.Done():
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonTimeout, Err: fmt.Errorf("stream %s is not known to be what it was, see /ready: %w", s.stream, err)}
}

// recognize looks at the stream behind a write that it gave a sequence, where there is a reason to. gen is that of before
// the write.
func (s *shard) recognize(ctx context.Context, seq uint64, back bool, gen int) error {
	s.mu.Lock()
	s.probes++
	must := back || !s.isKnown()
	may := s.engine.opt.Replicas > 1 || s.probes%lookEvery == 0
	s.mu.Unlock()
	if must || may {
		if err := s.look(ctx, seq, back); err != nil && must {
			return err // else the next look tells
		}
	}
	s.saw(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen && !s.isKnown() {
		close(s.known)
	}
	return nil
}

// lookEvery is after how many probes a node looks at a stream that nothing happened to: other nodes may have noted
// something in it.
const lookEvery = 5
