package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/testkit"
)

// expiringPresence is a presence with a TTL, whose store can lose everything and be out
// of reach, and which notes what it is told.
type expiringPresence struct {
	ttl time.Duration

	// Guarded by mu.
	mu sync.Mutex
	presence.Manager
	away  bool
	calls [][]presence.Change
}

func newExpiringPresence(ttl time.Duration) *expiringPresence {
	return &expiringPresence{Manager: presencememory.New(), ttl: ttl}
}

func (p *expiringPresence) TTL() time.Duration { return p.ttl }

func (p *expiringPresence) Apply(ctx context.Context, changes []presence.Change) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, slices.Clone(changes))
	if p.away {
		return errors.New("out of reach")
	}
	return p.Manager.Apply(ctx, changes)
}

func (p *expiringPresence) Stats(ctx context.Context, ch string) (presence.Stats, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Manager.Stats(ctx, ch)
}

// lose forgets every client.
func (p *expiringPresence) lose(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Manager, p.away = presencememory.New(), away
}

// told returns the changes since the last call, in order.
func (p *expiringPresence) told() (all []presence.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all = slices.Concat(p.calls...)
	p.calls = nil
	return all
}

// renewing calls Renew as a node would, until the test ends.
func (r *rig) renewing(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(max(r.RenewEvery(), time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.Renew()
			}
		}
	})
	t.Cleanup(func() { close(done); wg.Wait() })
}

func TestEachClientIsRenewedInEachInterval(t *testing.T) {
	p := newExpiringPresence(300 * time.Millisecond)
	r := newRig(t, p, nil)
	require.Equal(t, renewLeast, r.RenewEvery())
	require.Equal(t, 100*time.Millisecond, newRig(t, newExpiringPresence(time.Minute), nil).RenewEvery())
	require.Zero(t, newRig(t, nil, nil).RenewEvery())
	const streams = 20
	require.True(t, r.Renew(), "there is nobody")
	for n := range streams {
		c := r.open(t, &auth.Identity{User: fmt.Sprint(n)}, grant("a", channel.Options{Presence: true}),
			grant("b", channel.Options{}), grant("c", channel.Options{Presence: true, JoinLeave: true}))
		c.expect(t, `"connect"`)
	}
	require.False(t, r.Renew())
	r.renewing(t)
	p.told()
	renewed := map[string]int{}
	testkit.Eventually(t, func() bool {
		for _, c := range p.told() {
			require.False(t, c.Left)
			renewed[c.Channel+c.Info.User]++
		}
		least := 100
		for _, n := range renewed {
			least = min(least, n)
		}
		return len(renewed) == 2*streams && least >= 3
	}, "three renewals of each")
	most := 0
	for _, n := range renewed {
		most = max(most, n)
	}
	require.LessOrEqual(t, most, 6, "nobody is renewed much more often than others: %v", renewed)
}

// Presence that lost its clients, and was out of reach for a while, has all of them
// again without anybody doing anything, and none that left meanwhile.
func TestWhatAnOutageTookComesBackWithTheNextRenewal(t *testing.T) {
	p := newExpiringPresence(300 * time.Millisecond)
	r := newRig(t, p, func(o *Options) { o.CallTimeout = 20 * time.Millisecond })
	r.renewing(t)
	var streams []*client
	for n := range 10 {
		streams = append(streams, r.open(t, &auth.Identity{User: fmt.Sprint(n)}, present()))
		streams[n].expect(t, `"connect"`)
	}
	p.lose(true)
	require.NoError(t, r.Disconnect(t.Context(), Target{User: "3"}, nil, codec.DisconnectForceReconnect))
	late := r.open(t, &auth.Identity{User: "late"}, present())
	late.expect(t, `"connect"`)
	testkit.Eventually(t, func() bool { return r.Stats().PresenceFailed > 3 }, "calls that fail")
	p.lose(false)
	testkit.Eventually(t, func() bool {
		s, err := p.Stats(t.Context(), "room")
		return err == nil && s.Clients == 10
	}, "all that are open: nine of the first, and the late one")
	here, err := p.Presence(t.Context(), "room")
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(here, func(i *codec.ClientInfo) bool { return i.User == "3" }))
}

// However renewals and ends meet, a client that left is not brought back.
func TestNobodyIsRenewedBehindItsEnd(t *testing.T) {
	p := newExpiringPresence(30 * time.Millisecond)
	r := newRig(t, p, nil)
	r.renewing(t)
	left := map[string]bool{}
	check := func() {
		for _, c := range p.told() {
			require.False(t, left[c.Info.Client] && !c.Left, "it had left")
			if c.Left {
				left[c.Info.Client] = true
			}
		}
	}
	for range 30 {
		for range 4 {
			_ = r.open(t, &auth.Identity{User: "u"}, present())
		}
		testkit.Eventually(t, func() bool { return r.openings.Load() == 0 }, "they are open")
		check()
		require.NoError(t, r.Disconnect(t.Context(), Target{User: "u"}, nil, codec.DisconnectForceReconnect))
	}
	testkit.Eventually(t, func() bool { check(); return len(left) == 120 }, "the end of all")
	s, err := p.Stats(t.Context(), "room")
	require.NoError(t, err)
	require.Zero(t, s.Clients)
}

// While presence hangs nothing piles up: the walk waits, and what comes meanwhile is one
// call.
func TestWhatWaitsForPresenceIsOneCall(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, nil)
	info := func(n int) *codec.ClientInfo { return &codec.ClientInfo{Client: fmt.Sprint(n)} }
	r.agent.keeper.Post(keeperOp{kind: opPresent, channel: "room", info: info(0)})
	testkit.Eventually(t, func() bool { return r.agent.kept.pending.Load() == 1 && r.agent.keeper.Depth() == 0 }, "the first call")
	var done sync.WaitGroup
	const clients = 500
	for n := range clients {
		done.Add(1)
		r.agent.keeper.Post(keeperOp{kind: opPresent, channel: "room", info: info(n), done: &done})
		if n%2 == 0 {
			r.agent.keeper.Post(keeperOp{kind: opAbsent, channel: "room", info: info(n)})
		}
	}
	require.Equal(t, 1+clients*3/2, r.Stats().KeeperBacklog)
	p.letGo()
	done.Wait()
	testkit.Eventually(t, func() bool { return r.Stats().KeeperBacklog == 0 }, "all of it")
	s, err := r.presence.Stats(t.Context(), "room")
	require.NoError(t, err)
	require.Equal(t, clients/2, s.Clients)
	p.mu.Lock()
	defer p.mu.Unlock()
	require.LessOrEqual(t, p.batches, 3, "of %d changes", len(p.calls))
}

func TestTheWalkWaitsForPresence(t *testing.T) {
	p := newExpiringPresence(3 * time.Millisecond)
	r := newRig(t, p, nil)
	c := r.open(t, &auth.Identity{User: "u"}, present())
	c.expect(t, `"connect"`)
	r.do(func(a *Agent) { a.renewing[renewsPresence].last = &renewal{} }) // which nobody has made yet
	p.told()
	for range 100 {
		r.Renew()
	}
	r.do(func(*Agent) {})
	require.Empty(t, p.told())
	r.do(func(a *Agent) { a.renewing[renewsPresence].last.made.Store(true) })
	testkit.Eventually(t, func() bool { r.Renew(); return len(p.told()) > 0 }, "it goes on")
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) { require.NotZero(t, s.subs[0].flags&subPresent) })
	})
}
