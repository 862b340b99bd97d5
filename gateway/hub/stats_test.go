package hub

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// shardStats sums what all loops count.
func (r *rig) shardStats() ShardStats {
	parts := make([]ShardStats, len(r.group.Loops))
	r.group.Do(func(l *loop.Loop) { parts[l.ID()] = r.hub.Shard(l).Stats() })
	var sum ShardStats
	for i := range parts {
		sum.Merge(&parts[i])
	}
	return sum
}

// Each publication with a subscriber counts once, however many loops it is for.
func TestLagCountsEachPublicationOnce(t *testing.T) {
	r := newRig(t, 3, Options{})
	for i := range r.group.Loops {
		r.stream(i).subscribe("everywhere", 0)
		r.stream(i).subscribe("everywhere", 0)
	}
	r.stream(1).subscribe("one", 0)
	for range 10 {
		r.publish("everywhere", at(0))
		r.publish("one", at(0))
		r.publish("nobody", at(0))
		r.hub.Join("everywhere", &codec.ClientInfo{User: "u", Client: "c"}, nil)
	}
	var s ShardStats
	testkit.EventuallyWithin(t, patience, func() bool { s = r.shardStats(); return s.Lag.Count() == 20 }, "the lag of 20 publications")
	r.drain()
	s = r.shardStats()
	require.EqualValues(t, 20, s.Lag.Count())
	require.Positive(t, s.Lag.Sum())
	require.Equal(t, 7, s.Subscriptions)
	require.EqualValues(t, 10*6+10, s.Sent[PushPublication].Frames)
	require.Zero(t, s.Sent[PushJoin].Frames, "nobody wanted joins")
	st := r.hub.Stats()
	require.EqualValues(t, 30, st.Published)
	require.EqualValues(t, 10, st.Joins)
	require.Equal(t, 2, st.Channels)
}

func TestSentCountsWhatEachKindOfSubscriberGets(t *testing.T) {
	r := newRig(t, 1, Options{})
	plain, joins, positioned := r.stream(0), r.stream(0), r.stream(0)
	plain.subscribe("a", 0)
	joins.subscribe("a", PushJoinLeave)
	positioned.subscribe("a", Positioned)
	info := &codec.ClientInfo{User: "u", Client: "c"}
	r.publish("a", at(1))
	r.hub.Join("a", info, nil)
	r.hub.Leave("a", info, nil)
	r.publish("a", at(1)) // a duplicate for the one that has a position
	r.drain()
	s := r.shardStats()
	require.EqualValues(t, 3+2, s.Sent[PushPublication].Frames)
	require.EqualValues(t, 1, s.Sent[PushJoin].Frames)
	require.EqualValues(t, 1, s.Sent[PushLeave].Frames)
	for i := range s.Sent {
		require.Positive(t, s.Sent[i].Bytes)
	}
}

func TestWaitsForCreditAreTimed(t *testing.T) {
	r := newRig(t, 1, Options{CreditBytes: 1000, CreditWait: 1})
	credit, err := r.hub.AcquireCredit(t.Context(), 900)
	require.NoError(t, err)
	st := r.hub.Stats()
	require.EqualValues(t, 1000, st.CreditSize)
	require.Zero(t, st.CreditWait.Count())
	_, err = r.hub.AcquireCredit(t.Context(), 900)
	require.Error(t, err)
	st = r.hub.Stats()
	require.EqualValues(t, 1, st.CreditWait.Count())
	require.EqualValues(t, 1, st.CreditFails)
	credit.Release()
}
