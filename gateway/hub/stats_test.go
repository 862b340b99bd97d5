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
		r.hub.Join("everywhere", &codec.ClientInfo{User: "u", Client: "c"})
	}
	var s ShardStats
	testkit.EventuallyWithin(t, patience, func() bool { s = r.shardStats(); return s.Lag.Count() == 20 }, "the lag of 20 publications")
	r.settle()
	s = r.shardStats()
	require.EqualValues(t, 20, s.Lag.Count())
	require.Positive(t, s.Lag.Sum())
	require.Zero(t, s.LagUnknown)
	require.Equal(t, 7, s.Subscriptions)
	require.EqualValues(t, 10*6+10, s.Sent[PushPublication].Frames)
	require.Zero(t, s.Sent[PushJoin].Frames, "nobody wanted joins")
	st := r.hub.Stats()
	require.EqualValues(t, 30, st.Published)
	require.EqualValues(t, 10, st.Joins)
	require.Equal(t, 2, st.Channels)
	r.group.Do(func(l *loop.Loop) { require.Empty(t, r.hub.Shard(l).unflushed) })
}

// While a loop never comes to the end of a flush, publications are not kept for
// their lag without bound; the ones that are given up are never measured.
func TestLagIsGivenUpWhenTooManyWait(t *testing.T) {
	r := newRig(t, 2, Options{})
	s, other := r.hub.Shard(r.group.Loops[0]), r.hub.Shard(r.group.Loops[1])
	var given []*delivery
	r.group.Do(func(l *loop.Loop) {
		if l.ID() != 0 {
			return
		}
		for range maxUnflushed + 3 {
			d := &delivery{hub: r.hub}
			d.unflushed.Store(2)
			s.await(d)
			given = append(given, d)
		}
		require.Len(t, s.unflushed, maxUnflushed)
		require.EqualValues(t, 3, s.stats.LagUnknown)
		s.flushed()
		require.Empty(t, s.unflushed)
		require.Zero(t, s.stats.Lag.Count(), "the other loop is not done")
	})
	r.group.Do(func(l *loop.Loop) {
		if l.ID() != 1 {
			return
		}
		for i, d := range given {
			other.await(d)
			if i%100 == 0 {
				other.flushed()
			}
		}
		other.flushed()
		require.EqualValues(t, maxUnflushed, other.stats.Lag.Count())
		require.Zero(t, other.stats.LagUnknown, "counted by the loop that gave them up")
	})
}

func TestSentCountsWhatEachKindOfSubscriberGets(t *testing.T) {
	r := newRig(t, 1, Options{})
	plain, joins, positioned := r.stream(0), r.stream(0), r.stream(0)
	plain.subscribe("a", 0)
	joins.subscribe("a", PushJoinLeave)
	positioned.subscribe("a", Positioned)
	info := &codec.ClientInfo{User: "u", Client: "c"}
	r.publish("a", at(1))
	r.hub.Join("a", info)
	r.hub.Leave("a", info)
	r.publish("a", at(1)) // a duplicate for the one that has a position
	r.settle()
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
	r.hub.ReleaseCredit(credit)
}
