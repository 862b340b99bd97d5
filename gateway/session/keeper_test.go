package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	"sluice/gateway/testkit"
)

func present() Grant { return grant("room", channel.Options{Presence: true}) }

// A connect that would add to a backlog over its limit waits for room, and is
// told to come back if there is none in time: not that it was stale, which is
// final.
func TestConnectIsRefusedWhileTheKeeperIsFarBehind(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, func(o *Options) { o.KeeperBacklog, o.StaleCloseDelay = 1, 400*time.Millisecond })
	r.agent.keeper.Post(keeperOp{kind: opPresent, channel: "other", info: &codec.ClientInfo{}})
	c := r.open(t, &auth.Identity{}, present())
	require.ErrorIs(t, <-c.opened, codec.ErrTooManyRequests)
	c.expect(t, "too many")
	require.EqualValues(t, 1, r.Stats().KeeperRefused)
	require.EqualValues(t, 1, r.Stats().KeeperBacklog)
	require.EqualValues(t, 1, r.Stats().KeeperLongest)
	free := r.open(t, &auth.Identity{}, grant("news", channel.Options{})) // adds nothing
	free.expect(t, `"connect"`)
	require.ErrorIs(t, r.Subscribe(t.Context(), Target{}, SubscribeCommand{
		Channel: "room", Override: auth.Override{Presence: auth.On},
	}), codec.ErrTooManyRequests)
	require.EqualValues(t, 2, r.Stats().KeeperRefused)
}

func TestConnectWaitsForRoomInTheKeeper(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, func(o *Options) { o.KeeperBacklog = 1 })
	r.agent.keeper.Post(keeperOp{kind: opPresent, channel: "other", info: &codec.ClientInfo{}})
	clients := []*client{r.open(t, &auth.Identity{}, present()), r.open(t, &auth.Identity{}, present())}
	testkit.Eventually(t, func() bool { return r.agent.room.waiting.Load() == 2 }, "both wait")
	p.letGo()
	for _, c := range clients {
		c.expect(t, `"connect"`)
		require.NoError(t, <-c.opened)
	}
	require.Zero(t, r.Stats().KeeperRefused)
}

// What is owed for streams that were open is done, however much it is.
func TestWhatIsOwedToPresenceIsNeverDropped(t *testing.T) {
	r := newRig(t, nil, func(o *Options) { o.KeeperBacklog = 1 })
	both := channel.Options{Presence: true, JoinLeave: true}
	c := r.open(t, &auth.Identity{}, grant("a", both), grant("b", both), grant("c", both))
	c.expect(t, `"connect"`)
	require.NoError(t, r.Disconnect(t.Context(), Target{}, nil, codec.DisconnectForceReconnect))
	testkit.Eventually(t, func() bool { return r.hub.Stats().Leaves == 3 }, "three leaves")
	require.EqualValues(t, 3, r.hub.Stats().Joins)
	for _, ch := range []string{"a", "b", "c"} {
		stats, err := r.presence.Stats(t.Context(), ch)
		require.NoError(t, err)
		require.Zero(t, stats.Clients)
	}
	require.Zero(t, r.Stats().JoinsDropped)
}

// A backend that renames a client again and again adds nothing to a backlog that
// is full: the next tick tells presence of the last name.
func TestRenamingAddsNothingToAFullKeeper(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, func(o *Options) { o.KeeperBacklog, o.PresenceUpdateInterval = 2, time.Hour })
	g := present()
	c := r.open(t, &auth.Identity{User: "u"}, g)
	testkit.Eventually(t, func() bool { return r.Stats().KeeperBacklog == 1 }, "the client enters presence")
	r.do(func(a *Agent) {
		a.each(func(_ loop.Ref, s *session) {
			for range 100 {
				a.renamed(s)
			}
			require.LessOrEqual(t, a.keeperBacklog(), 2)
			require.NotZero(t, s.subs[0].flags&subRenamed)
		})
	})
	p.letGo()
	c.expect(t, `"connect"`)
	testkit.Eventually(t, func() bool { return r.Stats().KeeperBacklog == 0 }, "the keeper to catch up")
	p.mu.Lock()
	added := len(p.calls)
	p.mu.Unlock()
	r.do(func(a *Agent) {
		a.each(func(ref loop.Ref, s *session) {
			require.NotZero(t, s.tickAt, "a tick is due")
			a.tick(ref, s)
			require.Zero(t, s.subs[0].flags&subRenamed)
			a.schedule(s)
			require.Zero(t, s.tickAt, "no more")
		})
	})
	testkit.Eventually(t, func() bool { return r.Stats().KeeperBacklog == 0 }, "the keeper to catch up")
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, p.calls, added+1)
}

// noCredit is a hub whose publishers have taken all credit.
type noCredit struct{ asked chan int }

func (c *noCredit) AcquireCredit(ctx context.Context, size int) (*broker.Credit, error) {
	c.asked <- size
	<-ctx.Done()
	return nil, codec.ErrInternal
}

// Joins and leaves wait for credit as publications do, and clients that are gone
// leave presence meanwhile.
func TestJoinsWaitForCreditAndPresenceDoesNot(t *testing.T) {
	c := &noCredit{asked: make(chan int, 1)}
	r := newRig(t, nil, func(o *Options) { o.CallTimeout = 200 * time.Millisecond })
	pool, err := actor.NewPool(1)
	require.NoError(t, err)
	t.Cleanup(pool.Release)
	k := &keeper{m: r.Manager, room: r.agent.room, inbox: func() int { return 0 }}
	k.teller = actor.New[keeperOp](pool, &teller{m: r.Manager, credit: c, room: r.agent.room})
	info := &codec.ClientInfo{User: "u", Client: "c", ConnInfo: codec.QuoteJSON("x")}
	require.NoError(t, r.presence.Apply(t.Context(), []presence.Change{{Channel: "room", Info: info}}))
	k.Handle(keeperOp{kind: opJoin, channel: "room", info: info})
	k.Flush()
	require.Equal(t, len("room")+len("u")+len("c")+len(`"x"`), <-c.asked)
	k.Handle(keeperOp{kind: opAbsent, channel: "room", info: info})
	k.Flush()
	stats, err := r.presence.Stats(t.Context(), "room")
	require.NoError(t, err)
	require.Zero(t, stats.Clients, "while the join waits")
	testkit.Eventually(t, k.teller.Idle, "the join is given up")
	require.EqualValues(t, 1, r.Stats().JoinsDropped)
	require.Zero(t, r.hub.Stats().Joins)
}

// countedCredit gives credit and counts it.
type countedCredit struct{ out, most atomic.Int64 }

func (c *countedCredit) AcquireCredit(_ context.Context, size int) (*broker.Credit, error) {
	c.most.Store(max(c.most.Load(), c.out.Add(int64(size))))
	return broker.NewCredit(int64(size), func(n int64) { c.out.Add(-n) }), nil
}

func TestJoinsAndLeavesGiveTheirCreditBack(t *testing.T) {
	c := &countedCredit{}
	r := newRig(t, nil, nil)
	tell := &teller{m: r.Manager, credit: c, room: r.agent.room}
	tell.Handle(keeperOp{kind: opJoin, channel: "room", info: &codec.ClientInfo{}})
	tell.Handle(keeperOp{kind: opLeave, channel: "room", info: &codec.ClientInfo{}})
	require.NoError(t, r.hub.Drain(t.Context()))
	testkit.Eventually(t, func() bool { return c.out.Load() == 0 }, "the credit to come back from the hub")
	require.NotZero(t, c.most.Load())
	require.EqualValues(t, 1, r.hub.Stats().Joins)
	require.EqualValues(t, 1, r.hub.Stats().Leaves)
}

func TestRoomIsGivenInOrderAndAsCallsAreMade(t *testing.T) {
	var backlog atomic.Int64
	backlog.Store(12)
	r := newRoom(10, func() int { return int(backlog.Load()) })
	entered := make(chan int)
	for i := range 4 {
		go func() {
			if err := r.enter(context.Background(), 3, testPatience); err == nil {
				entered <- i
			}
		}()
		testkit.Eventually(t, func() bool { return r.waiting.Load() == int64(i+1) }, "it waits")
	}
	none := func() {
		t.Helper()
		select {
		case i := <-entered:
			t.Fatalf("%d has entered", i)
		default:
		}
	}
	made := func(calls int) {
		backlog.Add(-int64(calls))
		r.made(calls)
	}
	made(2)
	require.EqualValues(t, 4, r.waiting.Load(), "the backlog is at its limit")
	made(2)
	require.Equal(t, 0, <-entered) // and its three calls are yet to come
	require.EqualValues(t, 3, r.waiting.Load())
	r.made(0)
	require.EqualValues(t, 3, r.waiting.Load(), "the same room is not given twice")
	none()
	backlog.Add(3)
	made(4)
	require.Equal(t, 1, <-entered)
	require.ErrorIs(t, r.enter(context.Background(), 1, time.Nanosecond), errNoRoom, "not before those who came first")
	require.EqualValues(t, 2, r.waiting.Load())
	backlog.Store(0)
	r.made(0)
	require.ElementsMatch(t, []int{2, 3}, []int{<-entered, <-entered})
	require.NoError(t, r.enter(context.Background(), 100, time.Nanosecond), "nobody waits, and there is room")
}

// What is passed on to the teller is not made yet, and waits for no end of what comes
// behind it.
func TestJoinsAreMadeByTheTeller(t *testing.T) {
	r := newRig(t, nil, nil)
	var backlog atomic.Int64
	backlog.Store(5)
	room := newRoom(5, func() int { return int(backlog.Load()) })
	pool, err := actor.NewPool(1)
	require.NoError(t, err)
	t.Cleanup(pool.Release)
	told := &callCounter{made: new(atomic.Int64), room: room}
	k := &keeper{m: r.Manager, room: room, inbox: func() int { return 1 }}
	k.teller = actor.New[keeperOp](pool, &passed{told})
	entered := make(chan error)
	go func() { entered <- room.enter(context.Background(), 1, testPatience) }()
	testkit.Eventually(t, func() bool { return room.waiting.Load() == 1 }, "it waits")
	backlog.Store(4)
	for range keeperBatch {
		k.Handle(keeperOp{kind: opJoin, channel: "room", info: &codec.ClientInfo{}})
		k.Flush()
	}
	require.Zero(t, k.taken, "joins alone are a batch too")
	require.Zero(t, k.pending.Load())
	require.NoError(t, <-entered, "as the teller makes them")
	testkit.Eventually(t, k.teller.Idle, "all are made")
	require.EqualValues(t, keeperBatch, told.made.Load())
}

// passed takes what a keeper passes on for a number.
type passed struct{ *callCounter }

func (p *passed) Handle(keeperOp) { p.callCounter.Handle(0) }

// No wake-up is lost between the last call and those who begin to wait.
func TestNobodyWaitsForRoomThatThereIs(t *testing.T) {
	pool, err := actor.NewPool(1)
	require.NoError(t, err)
	t.Cleanup(pool.Release)
	var made atomic.Int64
	b := &callCounter{made: &made}
	a := actor.New[int](pool, b)
	r := newRoom(2, a.Depth)
	b.room = r
	var wg sync.WaitGroup
	const goroutines, each = 16, 2000
	var failed atomic.Value
	for range goroutines {
		wg.Go(func() {
			for range each {
				if err := r.enter(context.Background(), 1, testPatience); err != nil {
					failed.Store(err)
					return
				}
				a.Post(1)
			}
		})
	}
	wg.Wait()
	require.Nil(t, failed.Load())
	testkit.Eventually(t, a.Idle, "all made")
	require.EqualValues(t, goroutines*each, made.Load())
	require.Zero(t, r.waiting.Load())
}

type callCounter struct {
	made *atomic.Int64
	room *room
	n    int
}

func (c *callCounter) Begin() {}

func (c *callCounter) Handle(int) { c.n++; c.made.Add(1) }

func (c *callCounter) Flush() bool {
	c.room.made(c.n)
	c.n = 0
	return false
}

func (c *callCounter) Panicked(v any) { panic(v) }

func TestContextEndsTheWaitForRoom(t *testing.T) {
	r := newRoom(1, func() int { return 5 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := r.enter(ctx, 1, testPatience)
	require.True(t, errors.Is(err, codec.ErrTooManyRequests))
	require.Zero(t, r.waiting.Load())
}
