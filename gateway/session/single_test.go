package session

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	presencememory "sluice/gateway/presence/memory"
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
				_ = r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: request{}})
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
	a, b, c := NewID(), NewID(), NewID()
	require.True(t, u.stand("u", standing{claim: second, client: b}))
	require.False(t, u.stand("u", standing{claim: first, client: a}), "a newer one is open")
	require.Equal(t, second, u.newestOpen("u"))
	third, _ := u.claim("u")
	require.True(t, u.stand("u", standing{claim: third, client: c}))
	u.unclaim("u", c)
	require.Equal(t, second, u.newestOpen("u"), "whoever is told by nobody stays")
	u.unclaim("u", b)
	require.Zero(t, u.newestOpen("u"))
	require.True(t, u.stand("u", standing{claim: first, client: a}))
	u.unclaim("u", a)
	require.Zero(t, u.stripe("u").singles.Len())
	r := newRig(t, nil, nil)
	require.False(t, r.outdated(&Plan{User: "u"}))
}

// A claim of a connect that fails ends nobody: not one that is open, nor one on its way.
func TestAConnectThatFailsEndsNobody(t *testing.T) {
	r := newRig(t, failingPresence{presencememory.New()}, nil)
	one := func(ch string) *client {
		p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: "one"}})
		require.NoError(t, err)
		p.Grants, p.evicts = []Grant{grant("#one", channel.Options{})}, ch
		return r.openPlan(t, p)
	}
	first := one("#one")
	first.expect(t, `{"connect":`)
	require.NoError(t, <-first.opened)
	onItsWay, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: "one"}})
	require.NoError(t, err)
	onItsWay.evicts = "#one"
	require.NoError(t, r.claim(t.Context(), onItsWay))
	failing := one("fail")
	require.ErrorIs(t, <-failing.opened, errTest)
	failing.expect(t, "refused")
	require.False(t, r.outdated(onItsWay))
	require.Equal(t, 1, r.Counts().Clients, "the first stays")
	r.Abandon(onItsWay)
	last := one("#one")
	last.expect(t, `{"connect":`)
	first.expect(t, "3504")
}

// readAll reads until the stream ends.
func (c *client) readAll() {
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// Of many connects of a user at once, some of which fail wherever one can, exactly the
// newest stays that did not fail.
func TestTheNewestThatDoesNotFailStays(t *testing.T) {
	r := newRig(t, failingPresence{presencememory.New()}, nil)
	read := r.histories
	r.histories = func(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
		answers := read(ctx, queries)
		for i := range queries {
			if strings.HasPrefix(queries[i].Channel, "fail") {
				answers[i].Err = errTest
			}
		}
		return answers
	}
	const rounds, crowd = 40, 12
	for round := range rounds {
		plans, fails := make([]*Plan, crowd), make([]bool, crowd)
		var wg sync.WaitGroup
		for i := range plans {
			p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: "one"}})
			require.NoError(t, err)
			p.Grants, p.evicts = []Grant{grant("#one", channel.Options{Presence: i%2 == 0})}, "#one"
			how := rand.IntN(5)
			if round == 0 {
				how = 0 // all fail
			}
			switch fails[i] = how < 3; how {
			case 0:
				p.evicts = "fail"
			case 1: // behind its attachment
				p.Grants = append(p.Grants, grant("fail", channel.Options{ForcePositioning: true}))
			case 2: // it is gone before it is open
				p.Grants = append(p.Grants, grant("fail gone", channel.Options{ForcePositioning: true}))
			}
			plans[i] = p
			c := r.openPlan(t, p)
			if how == 2 {
				_ = c.Close()
			}
			wg.Go(c.readAll)
		}
		testkit.Eventually(t, func() bool { return r.openings.Load() == 0 }, "the end of all connects")
		want := []ID{}
		newest := uint64(0)
		for i, p := range plans {
			if !fails[i] && p.claim > newest {
				newest, want = p.claim, []ID{p.client}
			}
		}
		testkit.Eventually(t, func() bool { return r.Counts().Clients <= len(want) }, "the end of the others")
		got := []ID{}
		r.do(func(a *Agent) {
			a.each(func(ref loop.Ref, s *session) {
				got = append(got, s.client)
				a.end(ref, loop.ReasonDisconnect, codec.DisconnectForceNoReconnect, closeWithin)
			})
		})
		require.Equal(t, want, got)
		wg.Wait()
		testkit.Eventually(t, func() bool { return r.Counts().Clients == 0 }, "the end of all")
		require.Zero(t, r.users.stripe("one").singles.Len(), "every claim came back")
	}
}

var errTest = errors.New("an engine's error")

// failingPresence cannot tell of the channel "fail", and not now of "away".
type failingPresence struct{ presence.Manager }

func (p failingPresence) Stats(ctx context.Context, ch string) (presence.Stats, error) {
	switch ch {
	case "fail":
		return presence.Stats{}, errTest
	case "away":
		return presence.Stats{}, presence.ErrUnavailable
	}
	return p.Manager.Stats(ctx, ch)
}
