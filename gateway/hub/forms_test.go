package hub

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// every is each form that there is.
func everyForm() (all []Form) {
	for c := codec.CodingIdentity; int(c) < codings; c++ {
		for _, deltas := range []bool{false, true} {
			for g := GroupsNone; g <= GroupsWithID; g++ {
				all = append(all, Form{Delta: deltas, Coding: c, Groups: g})
			}
		}
	}
	return all
}

// What is taken is what those who came and did not leave take, in whatever order.
func TestFormsAreTakenWhileSomebodyTakesThem(t *testing.T) {
	h := newInterestHub(t, newSlowEngine(t, 0))
	r := rand.New(rand.NewPCG(1, 2))
	var here []Form
	for range 2000 {
		if len(here) == 0 || r.IntN(2) == 0 {
			f := everyForm()[r.IntN(len(everyForm()))]
			require.NoError(t, h.Acquire(t.Context(), "c", 0, f))
			here = append(here, f)
		} else {
			i := r.IntN(len(here))
			h.Release("c", 0, here[i])
			here = append(here[:i], here[i+1:]...)
		}
		_, taken := h.wanted(nil, "c")
		for _, f := range everyForm() {
			want := false
			for _, other := range here {
				want = want || other.Coding == f.Coding && other.kind() == f.kind()
			}
			if f.Coding == codec.CodingIdentity && f.kind() == kindPlain {
				continue // always made
			}
			require.Equal(t, want, taken.has(f.Coding, f.kind()), "%+v of %+v", f, here)
			if want {
				require.True(t, taken.deltas() || !f.Delta)
				require.True(t, f.Coding == codec.CodingIdentity || taken.coded() && taken.in(f.Coding))
			}
		}
	}
	for _, f := range here {
		h.Release("c", 0, f)
	}
}

func TestGroupsOfALaneAreBounded(t *testing.T) {
	h := newInterestHub(t, newSlowEngine(t, 0))
	var gs groups
	key := func(i int) groupKey { return groupKey{fmt.Sprint("c", i), codec.CodingGzip, kindBare} }
	for i := range maxGroups {
		require.NotNil(t, gs.get(key(i), h))
	}
	require.Nil(t, gs.get(key(maxGroups), h), "all others were gone on with just now")
	gs.all[key(3)].used -= groupRest
	gs.all[key(5)].used -= 2 * groupRest
	require.NotNil(t, gs.get(key(maxGroups), h))
	require.Nil(t, gs.all[key(5)], "the one that rested for longest goes first")
	require.NotNil(t, gs.all[key(3)])
	same := gs.get(key(0), h)
	require.Same(t, same, gs.get(key(0), h))
	s := h.Stats()
	require.Equal(t, maxGroups, s.Groups)
	require.Equal(t, uint64(maxGroups+1), s.GroupsMade)
	require.Equal(t, uint64(1), s.GroupsDropped)
	require.Equal(t, uint64(1), s.GroupsRefused)
	gs.drop("c0", 0, h)
	gs.drop("c1", 1<<formBit(codec.CodingGzip, kindBare), h)
	require.Nil(t, gs.all[key(0)])
	require.NotNil(t, gs.all[key(1)])
	require.Equal(t, maxGroups-1, h.Stats().Groups)
}

// The last follower takes the group with it.
func TestGroupsEndWithTheirLastFollower(t *testing.T) {
	r := newRig(t, 1, Options{})
	follower := Form{Coding: codec.CodingGzip, Groups: GroupsBare}
	for range 2 {
		require.NoError(t, r.hub.Acquire(t.Context(), "c", 0, follower))
	}
	r.publish("c", at(0))
	testkit.EventuallyWithin(t, patience, func() bool { return r.hub.Stats().Groups == 1 }, "a group")
	r.hub.Release("c", 0, follower)
	r.publish("c", at(0))
	require.NoError(t, r.hub.Drain(t.Context()))
	require.Equal(t, 1, r.hub.Stats().Groups)
	r.hub.Release("c", 0, follower)
	testkit.EventuallyWithin(t, patience, func() bool { return r.hub.Stats().Groups == 0 }, "no group")
	s := r.hub.Stats().Coded
	require.Equal(t, uint64(2), s[codec.CodingGzip].Frames)
	require.NotZero(t, s[codec.CodingGzip].Raw)
	require.NotZero(t, s[codec.CodingGzip].Took)
	require.Zero(t, s[codec.CodingZstd])
}
