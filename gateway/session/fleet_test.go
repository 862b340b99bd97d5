package session

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/cluster"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/testkit"
)

// fakePlaces are places of two nodes in one process, without an end by time.
type fakePlaces struct {
	// Immutable.
	began time.Time

	// Guarded by mu.
	mu       sync.Mutex
	away     bool
	doubtful bool // refusals are
	asked    int
	places   map[string]map[string]bool
	claims   map[string]uint64
	hold     chan struct{} // if not nil, claims wait for it once they are made
}

func newFakePlaces() *fakePlaces {
	return &fakePlaces{began: time.Now(), places: map[string]map[string]bool{}, claims: map[string]uint64{}}
}

func (p *fakePlaces) ask() error {
	if p.asked++; p.away {
		return broker.ErrUnavailable
	}
	return nil
}

func (p *fakePlaces) of(user string) map[string]bool {
	if p.places[user] == nil {
		p.places[user] = map[string]bool{}
	}
	return p.places[user]
}

func (p *fakePlaces) Reserve(_ context.Context, user, client string, limit int) (cluster.Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ask(); err != nil {
		return cluster.PlaceRefused, err
	}
	of := p.of(user)
	switch full := limit > 0 && len(of) >= limit && !of[client]; {
	case full && p.doubtful:
		return cluster.PlaceDoubtful, nil
	case full:
		return cluster.PlaceRefused, nil
	}
	of[client] = true
	return cluster.PlaceTaken, nil
}

func (p *fakePlaces) Claim(_ context.Context, user string, age time.Duration) (uint64, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ask(); err != nil {
		return 0, false, err
	}
	last, now := p.claims[user], uint64(time.Since(p.began).Microseconds())+1000
	claim, hold := max(now, last+1), p.hold
	if age > 0 {
		claim = now - uint64(age.Microseconds())
	}
	p.claims[user] = max(claim, last)
	if hold != nil {
		p.mu.Unlock()
		<-hold
		p.mu.Lock()
	}
	return claim, last > 0, nil
}

func (p *fakePlaces) Apply(_ context.Context, changes []cluster.PlaceChange) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ask(); err != nil {
		return err
	}
	for _, c := range changes {
		if c.Left {
			delete(p.of(c.User), c.Client)
		} else {
			p.of(c.User)[c.Client] = true
		}
	}
	return nil
}

// set makes the places unreachable or not, and forgets all of them if lose is set.
func (p *fakePlaces) set(away, lose bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away, p.asked = away, 0
	if lose {
		p.places = map[string]map[string]bool{}
	}
}

func (p *fakePlaces) taken(user string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.places[user])
}

// fleet are two nodes over one presence, whose evictions reach the other.
type fleet struct {
	places   *fakePlaces
	nodes    [2]*rig
	presence *expiringPresence
	// deaf are nodes that hear nothing of the other, cut those that can tell it nothing.
	deaf, cut [2]atomic.Bool
}

func newFleet(t *testing.T, change func(*Options)) *fleet {
	t.Helper()
	f := &fleet{places: newFakePlaces(), presence: &expiringPresence{Manager: presencememory.New(), ttl: 300 * time.Millisecond}}
	for i := range f.nodes {
		f.nodes[i] = newRig(t, f.presence, func(o *Options) {
			o.Places, o.placeTTL, o.settleAgain = f.places, 200*time.Millisecond, time.Millisecond
			o.Evict = func(ctx context.Context, user, keep string, claim uint64) error {
				switch {
				case f.cut[i].Load():
					return broker.ErrUnavailable
				case f.deaf[1-i].Load():
					return nil
				}
				return f.nodes[1-i].EvictOlder(ctx, user, keep, claim)
			}
			if change != nil {
				change(o)
			}
		})
	}
	return f
}

// plan is one for a user of node i who may have one connection if single is set.
func (f *fleet) plan(t *testing.T, i int, user string, single bool) (*Plan, error) {
	t.Helper()
	p, err := f.nodes[i].Plan(&PlanRequest{Identity: &auth.Identity{User: user}})
	if err == nil && single {
		p.Grants, p.evicts = []Grant{grant("#"+user, channel.Options{Presence: true})}, "#"+user
	}
	return p, err
}

func limitOf(n int) func(*Options) { return func(o *Options) { o.UserConnectionLimit = n } }

func TestALimitByUserHoldsForAllNodes(t *testing.T) {
	f := newFleet(t, limitOf(2))
	one, err := f.plan(t, 0, "u", false)
	require.NoError(t, err)
	two, err := f.plan(t, 1, "u", false)
	require.NoError(t, err)
	for i := range f.nodes {
		_, err = f.plan(t, i, "u", false)
		require.ErrorIs(t, err, codec.DisconnectConnectionLimit)
		other, err := f.plan(t, i, "other", false)
		require.NoError(t, err)
		f.nodes[i].Abandon(other)
	}
	f.places.mu.Lock()
	f.places.doubtful = true
	f.places.mu.Unlock()
	_, err = f.plan(t, 0, "u", false)
	require.ErrorIs(t, err, codec.ErrTooManyRequests, "it is to come again")
	require.EqualValues(t, 1, f.nodes[0].streams.Load(), "what was refused has nothing")
	c := f.nodes[0].openPlan(t, one)
	c.expect(t, `"connect"`)
	f.nodes[1].Abandon(two)
	testkit.Eventually(t, func() bool { return f.places.taken("u") == 1 && f.places.taken("other") == 0 }, "the place of who was not opened")
	require.NoError(t, f.nodes[0].Disconnect(t.Context(), Target{User: "u"}, nil, codec.DisconnectForceReconnect))
	testkit.Eventually(t, func() bool { return f.places.taken("u") == 0 }, "the place of who has ended")
	require.Zero(t, f.nodes[0].Stats().PlacesAlone)
}

func TestAnonymousUsersAndOtherScopesAskNobody(t *testing.T) {
	f := newFleet(t, limitOf(1))
	for range 3 {
		p, err := f.plan(t, 0, "", false)
		require.NoError(t, err)
		f.nodes[0].Abandon(p)
	}
	f.nodes[1].opt.LimitNodeOnly = true
	p, err := f.plan(t, 1, "u", false)
	require.NoError(t, err)
	_, err = f.plan(t, 1, "u", false)
	require.ErrorIs(t, err, codec.DisconnectConnectionLimit)
	f.nodes[1].Abandon(p)
	require.Zero(t, f.places.asked)
}

// While the places are out of reach, each node has its own limit; what it let in is known
// to all with the next renewal.
func TestNodesCountAloneInAnOutage(t *testing.T) {
	f := newFleet(t, limitOf(1))
	f.places.set(true, false)
	for i := range f.nodes {
		p, err := f.plan(t, i, "u", false)
		require.NoError(t, err)
		_, err = f.plan(t, i, "u", false)
		require.ErrorIs(t, err, codec.DisconnectConnectionLimit)
		c := f.nodes[i].openPlan(t, p)
		c.expect(t, `"connect"`)
		require.EqualValues(t, 1, f.nodes[i].Stats().PlacesAlone)
		f.nodes[i].renewing(t)
	}
	p, err := f.plan(t, 0, "another", false)
	require.NoError(t, err)
	f.nodes[0].Abandon(p)
	testkit.Eventually(t, func() bool { return f.nodes[0].Stats().PlacesFailed > 0 }, "a renewal that fails")
	f.places.set(false, true)
	testkit.Eventually(t, func() bool { return f.places.taken("u") == 2 }, "both are known")
	f.nodes[0].placesPause.Store(0)
	_, err = f.plan(t, 0, "u", false)
	require.ErrorIs(t, err, codec.DisconnectConnectionLimit)
}

// A limit that comes with a reload counts those that are open on all nodes.
func TestALimitThatComesLaterCountsTheFleet(t *testing.T) {
	f := newFleet(t, nil)
	p, err := f.plan(t, 0, "u", false)
	require.NoError(t, err)
	f.nodes[0].openPlan(t, p).expect(t, `"connect"`)
	for _, r := range f.nodes {
		r.Set(Live{UserConnectionLimit: 1})
		r.renewing(t)
	}
	testkit.Eventually(t, func() bool { return f.places.taken("u") == 1 }, "the open one is known")
	_, err = f.plan(t, 1, "u", false)
	require.ErrorIs(t, err, codec.DisconnectConnectionLimit)
}

func TestTheNewestConnectionOfAllNodesStays(t *testing.T) {
	f := newFleet(t, nil)
	first := f.single(t, 0)
	other, err := f.plan(t, 0, "other", true)
	require.NoError(t, err)
	stays := f.nodes[0].openPlan(t, other)
	stays.expect(t, `"connect"`)
	second := f.single(t, 1)
	first.expect(t, "3504")
	third := f.single(t, 1)
	second.expect(t, "3504")
	fourth := f.single(t, 0)
	third.expect(t, "3504")
	testkit.Eventually(t, func() bool { return f.nodes[0].Counts().Clients == 2 && f.nodes[1].Counts().Clients == 0 }, "one of each user")
	_ = fourth.Close()
	testkit.Eventually(t, func() bool { return f.nodes[0].Counts().Clients == 1 }, "its end")
	for _, r := range f.nodes { // a client is gone a moment before its place is
		testkit.Eventually(t, func() bool {
			users := r.users.stripe("u")
			users.mu.Lock()
			defer users.mu.Unlock()
			_, left := users.singles.Get("u")
			return !left
		}, "no place left")
	}
}

// Two connects at the same time on two nodes: neither finds the other in presence.
func TestOfConnectsAtTheSameTimeTheNewestStays(t *testing.T) {
	f := newFleet(t, nil)
	for range 20 {
		var clients [2]*client
		for i := range f.nodes {
			p, err := f.plan(t, i, "u", true)
			require.NoError(t, err)
			clients[i] = f.nodes[i].openPlan(t, p)
			go clients[i].readAll()
		}
		count := func() int { return f.nodes[0].Counts().Clients + f.nodes[1].Counts().Clients }
		testkit.Eventually(t, func() bool {
			return f.nodes[0].openings.Load()+f.nodes[1].openings.Load() == 0 && count() == 1
		}, "one of them")
		for _, r := range f.nodes {
			require.NoError(t, r.Disconnect(t.Context(), Target{User: "u"}, nil, codec.DisconnectForceReconnect))
		}
		testkit.Eventually(t, func() bool { return count() == 0 }, "the end of all")
	}
}

// A connect that was overtaken while it was on its way does not open.
func TestAnEvictionReachesConnectsOnTheirWay(t *testing.T) {
	f := newFleet(t, nil)
	hold := make(chan struct{})
	f.places.hold = hold
	p, err := f.plan(t, 0, "u", true)
	require.NoError(t, err)
	slow := f.nodes[0].openPlan(t, p)
	testkit.Eventually(t, func() bool { f.places.mu.Lock(); defer f.places.mu.Unlock(); return f.places.claims["u"] > 0 }, "its claim")
	f.places.mu.Lock()
	f.places.hold = nil
	f.places.mu.Unlock()
	q, err := f.plan(t, 1, "u", true)
	require.NoError(t, err)
	quick := f.nodes[1].openPlan(t, q)
	quick.expect(t, `"connect"`)
	testkit.Eventually(t, func() bool { return f.nodes[1].openings.Load() == 0 }, "its eviction")
	close(hold)
	slow.expect(t, "refused")
	require.ErrorIs(t, <-slow.opened, codec.DisconnectConnectionLimit)
	require.Equal(t, 1, f.nodes[1].Counts().Clients)
}

// Who cannot ask presence for others of its user takes the place on its own node.
func TestTheNewestStaysOnItsNodeWithoutPresence(t *testing.T) {
	p := failingPresence{presencememory.New()}
	r := newRig(t, p, nil)
	one := func() *client {
		plan, err := r.Plan(&PlanRequest{Identity: &auth.Identity{User: "u"}})
		require.NoError(t, err)
		plan.Grants, plan.evicts = []Grant{grant("#u", channel.Options{})}, "away"
		return r.openPlan(t, plan)
	}
	first := one()
	first.expect(t, `"connect"`)
	one().expect(t, `"connect"`)
	first.expect(t, "3504")
	require.EqualValues(t, 2, r.Stats().PlacesAlone)
}

// Claims that a node gave in an outage are newer than all it knows, and older than what
// comes behind them.
func TestClaimsOfAnOutageAreBetween(t *testing.T) {
	f := newFleet(t, nil)
	first := f.single(t, 0)
	f.places.set(true, false)
	second := f.single(t, 0)
	first.expect(t, "3504")
	f.places.set(false, false)
	f.nodes[0].placesPause.Store(0)
	third := f.single(t, 1)
	second.expect(t, "3504")
	f.single(t, 0)
	third.expect(t, "3504")
}
