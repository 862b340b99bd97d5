package hub

import (
	"sluice/codec"
	"sluice/gateway/tally"
)

// ShardStats are the counters of one loop's part of a hub.
type ShardStats struct {
	Subscriptions int
	// Sent are the pushes queued for streams, by kind. What a stream is told
	// by its session is not among them.
	Sent [PushKinds]Sent
	// Lag is how long publications took from the moment at which the engine
	// handed them over to the end of the flush in which the last loop with a
	// subscriber offered them to the kernel. Each publication counts once,
	// with the loop that was last; what a full socket or a max_rate holds back
	// does not make it longer.
	Lag tally.Durations
}

// The kinds of pushes that a hub sends, as indexes of ShardStats.Sent.
const (
	PushPublication = int(eventPublication)
	PushJoin        = int(eventJoin)
	PushLeave       = int(eventLeave)
	PushKinds       = PushLeave + 1
)

// Sent counts pushes to streams.
type Sent struct {
	Frames uint64
	Bytes  uint64 // in chunks, with the id line that all subscribers share
}

func (s *Sent) add(f *codec.Frame) {
	s.Frames++
	s.Bytes += uint64(f.Len())
}

// Merge adds what other has counted.
func (s *ShardStats) Merge(other *ShardStats) {
	s.Subscriptions += other.Subscriptions
	for i := range other.Sent {
		s.Sent[i].Frames += other.Sent[i].Frames
		s.Sent[i].Bytes += other.Sent[i].Bytes
	}
	s.Lag.Merge(&other.Lag)
}

// Stats returns the counters. On-loop only.
func (s *Shard) Stats() ShardStats {
	st := s.stats
	st.Subscriptions = s.subs
	return st
}
