package sse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/session"
)

func planOf(user string) *session.PlanRequest {
	return &session.PlanRequest{Identity: &auth.Identity{User: user, ExpireAt: 5}, Client: session.NewID(), MayRequest: true}
}

func TestTicketIsGoodOnceAndFor30Seconds(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := newTickets()
	f := func(key string, at time.Duration, want *session.PlanRequest) {
		t.Helper()
		var got session.PlanRequest
		err := store.redeem(key, &got, now.Add(at))
		if want == nil {
			require.ErrorIs(t, err, codec.DisconnectInvalidToken)
			require.Equal(t, session.PlanRequest{}, got, "nothing comes of a bad ticket")
			return
		}
		require.NoError(t, err)
		require.Equal(t, *want, got)
	}
	a, b := planOf("a"), planOf("b")
	b.MayRequest = false
	keyA, keyB, keyC := store.issue(a, now), store.issue(b, now), store.issue(a, now)
	require.NotEqual(t, keyA, keyC)
	require.GreaterOrEqual(t, len(keyA), 26, "128 bits")
	f(keyA, 0, a)
	f(keyA, 0, nil)
	f(keyB, 30*time.Second-1, b)
	f(keyC, 30*time.Second, nil)
	f(keyC, 0, nil)
	f("", 0, nil)
	f("made up", 0, nil)
}

func TestTicketsDoNotFollowTheWallClock(t *testing.T) {
	store := newTickets()
	key := store.issue(planOf("a"), time.Now())
	due := store.held[key].due
	require.NotEqual(t, due.Round(0), due, "the monotonic reading was lost")
}

func TestTicketsAreBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := newTickets()
	plan := planOf("a")
	keys := make([]string, maxTickets)
	for i := range keys {
		keys[i] = store.issue(plan, now)
		require.NotEmpty(t, keys[i])
	}
	require.Empty(t, store.issue(plan, now), "one too many")
	var got session.PlanRequest
	require.NoError(t, store.redeem(keys[maxTickets/2], &got, now))
	require.NotEmpty(t, store.issue(plan, now), "a used one makes room, though older ones wait")
	require.Empty(t, store.issue(plan, now))
	require.NotEmpty(t, store.issue(plan, now.Add(ticketLife)), "those that are too old make room")
	require.Len(t, store.held, 1)
	require.Len(t, store.order, 1)
}

// Tickets that are used at once leave nothing behind, though one waits.
func TestUsedTicketsLeaveNothingBehind(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	store := newTickets()
	plan := planOf("a")
	waits := store.issue(plan, now)
	for range 100_000 {
		var got session.PlanRequest
		require.NoError(t, store.redeem(store.issue(plan, now), &got, now))
	}
	require.Len(t, store.held, 1)
	require.LessOrEqual(t, len(store.order), minSwept+4)
	var got session.PlanRequest
	require.NoError(t, store.redeem(waits, &got, now))
}
