package session

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/testkit"
)

// missing is a grant of somebody who has seen nothing of the channel.
func missing(ch string) Grant {
	g := grant(ch, channel.Options{ForceRecovery: true, HistorySize: 1000, HistoryTTL: time.Hour})
	g.Recover = &recoverRequest{}
	return g
}

func (r *rig) fill(t *testing.T, ch string, n, size int) {
	t.Helper()
	for _, p := range missedPubs(1, uint64(n), size) {
		_, err := r.broker.Publish(t.Context(), ch, &codec.Publication{Data: p.Data}, broker.PublishOptions{
			History: broker.HistoryOptions{Size: 1000, TTL: time.Hour},
		})
		require.NoError(t, err)
	}
}

func (r *rig) awaitSettled(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, func() bool { return r.budget.used.Load() == 0 }, "the budget to come back")
	r.budget.settled(t)
}

func debugLog(to *testkit.LogBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// faulty is an engine whose reads of histories fail in their turn.
type faulty struct {
	broker.Broker
	reads atomic.Int64
	fail  func(n int64) error // of read n; may panic
}

func (f *faulty) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	if err := f.fail(f.reads.Add(1)); err != nil {
		answers := make([]broker.History, len(queries))
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	return f.Broker.Histories(ctx, queries)
}

func TestAnOpeningThatFailsGivesItsRoomBack(t *testing.T) {
	errBroken := errors.New("the engine is broken")
	for name, fail := range map[string]func(n int64) error{
		"first read": func(n int64) error {
			if n == 1 {
				return errBroken
			}
			return nil
		},
		"second read": func(n int64) error {
			if n == 2 {
				return errBroken
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			r.fill(t, "a", 20, 2000)
			f := &faulty{Broker: r.broker, fail: fail}
			r.histories = f.Histories
			c := r.open(t, &auth.Identity{}, missing("a"))
			require.ErrorIs(t, <-c.opened, errBroken)
			r.awaitSettled(t)
			again := r.open(t, &auth.Identity{}, missing("a"))
			require.NoError(t, <-again.opened)
			again.expect(t, `"recovered":true`)
			r.awaitSettled(t)
		})
	}
}

func TestAnOpeningThatPanicsGivesItsRoomBack(t *testing.T) {
	for n := int64(1); n <= 2; n++ {
		r := newRig(t, nil, nil)
		r.fill(t, "a", 20, 2000)
		at := n
		f := &faulty{Broker: r.broker, fail: func(n int64) error {
			if n == at {
				panic("in the engine")
			}
			return nil
		}}
		r.histories = f.Histories
		p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{}})
		require.NoError(t, err)
		p.Grants = []Grant{missing("a")}
		sock, far := pairOf(t)
		r.Enter()
		require.Panics(t, func() {
			defer r.Leave()
			_ = r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: request{}})
		})
		(&client{Conn: far}).expect(t, "refused")
		r.awaitSettled(t)
	}
}

// Who gets no room in time is told to come back, not that it was stale: that would
// be final. The log has the code that it is told, and the option that bounds the room.
func TestWhoGetsNoRoomIsToldToComeBack(t *testing.T) {
	log := &testkit.LogBuffer{}
	r := newRig(t, nil, func(o *Options) {
		o.StaleCloseDelay, o.Log = 400*time.Millisecond, debugLog(log)
	})
	r.fill(t, "a", 20, 2000)
	all, err := r.budget.enter(t.Context(), 1<<40)
	require.NoError(t, err)
	c := r.open(t, &auth.Identity{}, missing("a"))
	require.ErrorIs(t, <-c.opened, codec.ErrTooManyRequests)
	c.expect(t, "no memory came free for what was missed (uni_sse.recovery_max_total)")
	testkit.Eventually(t, func() bool {
		return strings.Contains(log.String(), `msg="connect refused" reason="too many requests" option=uni_sse.recovery_max_total code=42 `)
	}, "the refusal in the log")
	require.NotContains(t, log.String(), "code=111")
	require.ErrorIs(t, r.Subscribe(t.Context(), Target{}, SubscribeCommand{Channel: "none"}), nil, "nobody is meant")
	all.close()
	require.EqualValues(t, 1, r.Stats().Recovery.Refused)
	r.awaitSettled(t)
}

// The waits for the keeper and for room are one wait to the client.
func TestBothWaitsTogetherEndBeforeTheOpeningIsStale(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, func(o *Options) { o.KeeperBacklog, o.StaleCloseDelay = 1, 2*time.Second })
	r.fill(t, "a", 20, 2000)
	all, err := r.budget.enter(t.Context(), 1<<40)
	require.NoError(t, err)
	defer all.close()
	r.agent.keeper.Post(keeperOp{kind: opPresent, channel: "other", info: &codec.ClientInfo{}})
	g := missing("a")
	g.Presence = true
	began := time.Now()
	c := r.open(t, &auth.Identity{}, g)
	testkit.Eventually(t, func() bool { return r.agent.room.waiting.Load() == 1 }, "it waits for the keeper")
	testkit.Eventually(t, func() bool { return time.Since(began) > time.Second }, "half of the time to be over")
	p.letGo()
	require.ErrorIs(t, <-c.opened, codec.ErrTooManyRequests)
	c.expect(t, "no memory came free")
}

func TestAClientThatLeavesWhileItWaitsTakesNothing(t *testing.T) {
	r := newRig(t, nil, nil)
	r.fill(t, "a", 20, 2000)
	all, err := r.budget.enter(t.Context(), 1<<40)
	require.NoError(t, err)
	c := r.open(t, &auth.Identity{}, missing("a"))
	r.budget.awaitWaiting(t, 1)
	require.NoError(t, c.Close())
	all.close()
	<-c.opened
	r.awaitSettled(t)
}

func TestAStreamOfOneEventGivesItsRoomBack(t *testing.T) {
	r := newRig(t, nil, nil)
	r.fill(t, "a", 20, 2000)
	p, err := r.Plan(&PlanRequest{Identity: &auth.Identity{}})
	require.NoError(t, err)
	p.Grants = []Grant{missing("a")}
	sock, far := pairOf(t)
	r.Enter()
	require.NoError(t, r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, MaxEvents: 1, Request: request{}}))
	r.Leave()
	(&client{Conn: far}).expect(t, "\n\n")
	r.awaitSettled(t)
}

// What is too much for a connect push is told not recovered, and takes no room.
func TestWhatIsTooMuchForAPushTakesNoRoom(t *testing.T) {
	r := newRig(t, nil, func(o *Options) { o.RecoveryMaxBytes = 30_000 })
	r.fill(t, "a", 20, 2000)
	r.fill(t, "b", 10, 2000)
	all, err := r.budget.enter(t.Context(), 1<<40)
	require.NoError(t, err)
	c := r.open(t, &auth.Identity{}, missing("a"))
	c.expect(t, `"offset":20,"positioned":true,"was_recovering":true`)
	require.NoError(t, <-c.opened)
	both := r.open(t, &auth.Identity{}, missing("a"), missing("b"))
	r.budget.awaitWaiting(t, 1) // b fits
	all.close()
	require.NoError(t, <-both.opened)
	both.expect(t, `"recovered":true`)
	require.EqualValues(t, 2, r.Stats().Resumes.Size)
	r.awaitSettled(t)
}

func TestThoseWhoWaitShareOneBlock(t *testing.T) {
	r := newRig(t, nil, nil)
	r.fill(t, "a", 20, 5000)
	all, err := r.budget.enter(t.Context(), 1<<40)
	require.NoError(t, err)
	var clients []*client
	for range 10 {
		clients = append(clients, r.open(t, &auth.Identity{}, missing("a")))
	}
	r.budget.awaitWaiting(t, 10)
	all.close()
	for _, c := range clients {
		require.NoError(t, <-c.opened)
	}
	for _, c := range clients {
		c.expect(t, strings.Repeat("0", 4990)+`20"`)
	}
	r.awaitSettled(t)
}
