package session

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// Of connections of one user that are opened at the same time the last to claim the place
// stays, and only that; those of other users are let be.
func TestOnlyTheNewestOfAUserStays(t *testing.T) {
	r := newRig(t, nil, nil)
	const rounds, crowd = 30, 20
	other := r.open(t, &auth.Identity{User: "other"}, grant("news", channel.Options{}))
	require.NoError(t, <-other.opened)
	for range rounds {
		plans := make([]*Plan, crowd)
		var wg sync.WaitGroup
		for i := range plans {
			p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: "one"}})
			require.NoError(t, err)
			p.Grants = []Grant{grant("#one", channel.Options{Presence: i%2 == 0})}
			p.evicts = "#one"
			plans[i] = p
			sock, far := pairOf(t)
			r.Enter()
			wg.Go(func() {
				defer r.Leave()
				_ = r.Open(p, Conn{Socket: sock, Framing: codec.FramingClose, Request: request{}})
			})
			wg.Go(func() { // reads what it is told, so that its stream can end
				for buf := make([]byte, 1024); ; {
					if _, err := far.Read(buf); err != nil {
						_ = far.Close()
						return
					}
				}
			})
			t.Cleanup(func() { _ = far.Close() })
		}
		open := func() (clients []ID) {
			r.do(func(a *Agent) {
				a.each(func(_ loop.Ref, s *session) {
					if s.user == "one" && s.opening == nil {
						clients = append(clients, s.client)
					}
				})
			})
			return clients
		}
		testkit.Eventually(t, func() bool { return r.openings.Load() == 0 && r.Counts().Clients == 2 }, "one of them, and another user's")
		newest := plans[0]
		for _, p := range plans {
			if p.claim > newest.claim {
				newest = p
			}
		}
		require.Equal(t, []ID{newest.client}, open())
		r.do(func(a *Agent) {
			a.selectTarget(&Target{User: "one"}, func(ref loop.Ref, _ *session) {
				a.end(ref, loop.ReasonDisconnect, codec.DisconnectForceNoReconnect, closeWithin)
			})
		})
		wg.Wait()
		testkit.Eventually(t, func() bool { return r.Counts().Clients == 1 }, "the end of all")
		require.Zero(t, r.users.stripe("one").singles.Len(), "every claim came back")
	}
}

// A plan that is not opened gives its claim back, and one that has none is never outdated.
func TestClaimsComeBack(t *testing.T) {
	u := newUsers()
	first, others := u.claim("u")
	require.False(t, others)
	second, others := u.claim("u")
	require.True(t, others)
	require.False(t, u.isNewest("u", first))
	require.True(t, u.isNewest("u", second))
	u.unclaim("u")
	u.unclaim("u")
	require.Zero(t, u.stripe("u").singles.Len())
	r := newRig(t, nil, nil)
	require.False(t, r.outdated(&Plan{User: "u"}))
}
