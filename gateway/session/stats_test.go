package session

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// A walk of many tasks sees each user of a loop once.
func TestUsersOfALoopAreListedOnce(t *testing.T) {
	pool, err := actor.NewPool(1)
	require.NoError(t, err)
	defer pool.Release()
	group, err := loop.NewGroup(1, pool, loop.Options{})
	require.NoError(t, err)
	a := &Agent{}
	m := &Manager{agents: []*Agent{a}}
	m.live.Store(&Live{})
	a.m = m
	var want []uint64
	const sessions = slabSize*walkSlabs*2 + 100 // three tasks
	for slot := range uint32(sessions) {
		user := fmt.Sprint("user", slot/2) // two sessions each
		a.add(loop.Ref{Slot: slot}, &opening{m: m, plan: &Plan{User: user}, conn: &Conn{}})
		if slot%2 == 0 {
			want = append(want, userHash(user))
		}
	}
	a.table.at(sessions + 5) // free slots behind them
	group.Start(func(*loop.Loop) loop.Handler { return a })
	defer group.Stop()
	listed := make(chan []uint64, 1)
	m.Users(group.Loops[0], func(hashes []uint64) { listed <- hashes })
	got := <-listed
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(t, want, got)
}

func TestResumesAreCountedByWhatCameOfThem(t *testing.T) {
	pub := []*codec.Publication{{Offset: 3}}
	f := func(got restored, cut bool, want Resumes) {
		t.Helper()
		m := &Manager{budget: newBudget(1)}
		m.resumes.count(&recoverRequest{offset: 2, epoch: "e"}, &got, cut)
		require.Equal(t, want, m.Stats().Resumes)
	}
	top := broker.Position{Offset: 9, Epoch: "e"}
	f(restored{recovered: true, top: top}, false, Resumes{Complete: 1})
	f(restored{recovered: true, top: top, publications: pub}, false, Resumes{Complete: 1, Missed: 1})
	f(restored{top: top}, false, Resumes{Gap: 1})
	f(restored{top: broker.Position{Offset: 9, Epoch: "other"}}, false, Resumes{Epoch: 1})
	f(restored{top: top}, true, Resumes{Size: 1})
	m := &Manager{budget: newBudget(1)}
	m.resumes.count(&recoverRequest{lost: true}, &restored{top: top}, false)
	require.Equal(t, Resumes{Lost: 1}, m.Stats().Resumes)
}

func TestOnlyCodesOfTheProtocolAreCountedEach(t *testing.T) {
	var counts map[uint32]uint64
	for code := uint32(2900); code < 5100; code++ {
		countCode(&counts, code)
		countCode(&counts, code)
	}
	require.Len(t, counts, len(toldCodes)+1)
	require.EqualValues(t, 2, counts[3503])
	require.EqualValues(t, 2*(2200-len(toldCodes)), counts[0])
}

func TestRefusalsHaveTheCodeThatIsTold(t *testing.T) {
	require.EqualValues(t, 3500, refusedCode(fmt.Errorf("token: %w", codec.DisconnectInvalidToken)))
	require.EqualValues(t, 4321, refusedCode(&codec.Disconnect{Code: 4321}))
	require.EqualValues(t, 3507, refusedCode(codec.ErrPermissionDenied))
	require.EqualValues(t, 3004, refusedCode(errors.New("a bug")))
}

func TestKindsTellOnlyWhetherAClientSaidSomething(t *testing.T) {
	require.Zero(t, KindOf("", ""))
	require.Equal(t, Named, KindOf("app", ""))
	require.Equal(t, Versioned, KindOf("", "1"))
	require.Equal(t, Named|Versioned, KindOf("app", "1"))
}

func TestLoopStatsMerge(t *testing.T) {
	a := LoopStats{Disconnects: map[uint32]uint64{3500: 1}, Unsubscribed: 1}
	a.Clients[Named], a.Accepted[Named], a.Subscriptions[1], a.Subscribed[0] = 1, 2, 3, 4
	a.Sent[PushPing] = hub.Sent{Frames: 1, Bytes: 2}
	var sum LoopStats
	sum.Merge(&a)
	sum.Merge(&a)
	require.Equal(t, map[uint32]uint64{3500: 2}, sum.Disconnects)
	require.Equal(t, map[uint32]uint64{3500: 1}, a.Disconnects, "its own is not written to")
	require.Equal(t, 2, sum.Clients[Named])
	require.EqualValues(t, 4, sum.Accepted[Named])
	require.Equal(t, 6, sum.Subscriptions[1])
	require.EqualValues(t, 8, sum.Subscribed[0])
	require.EqualValues(t, 2, sum.Unsubscribed)
	require.Equal(t, hub.Sent{Frames: 2, Bytes: 4}, sum.Sent[PushPing])
}
