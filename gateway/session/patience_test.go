package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

func TestPatienceLastsAsLongAsItShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := WithPatience(10 * time.Second)
		<-ctx.Done()
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, errImpatient, context.Cause(ctx))
		require.ErrorIs(t, context.Cause(ctx), context.DeadlineExceeded)
		cancel()
		ctx, cancel = WithPatience(10 * time.Second)
		cancel()
		cancel()
		<-ctx.Done()
		require.Equal(t, context.Canceled, context.Cause(ctx))
		ctx, cancel = WithPatience(1)
		<-ctx.Done()
		cancel()
	})
}

func TestPatienceCountsFromWhenSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(wait func(ctx context.Context) <-chan struct{}) {
			t.Helper()
			ctx, cancel := WithPatience(8 * time.Second)
			defer cancel()
			time.Sleep(time.Minute)
			require.NoError(t, ctx.Err())
			require.NoError(t, context.Cause(ctx))
			require.Nil(t, ctx.Value("a trace"))
			require.Nil(t, ctx.(*patience).ctx, "nothing was made for it yet")
			began := time.Now()
			<-wait(ctx)
			require.Equal(t, 8*time.Second, time.Since(began))
			require.Equal(t, context.Canceled, ctx.Err())
			require.Equal(t, errImpatient, context.Cause(ctx))
		}
		f(func(ctx context.Context) <-chan struct{} { return ctx.Done() })
		f(func(ctx context.Context) <-chan struct{} {
			within, stop := context.WithTimeout(ctx, time.Hour)
			context.AfterFunc(within, stop)
			return within.Done()
		})
	})
}

func TestPatienceThatEndedBeforeAnybodyWaited(t *testing.T) {
	ctx, cancel := WithPatience(time.Hour)
	cancel()
	require.Equal(t, context.Canceled, context.Cause(ctx))
	require.Equal(t, context.Canceled, ctx.Err())
	<-ctx.Done()
	require.Equal(t, context.Canceled, context.Cause(ctx))
	within, stop := context.WithCancel(ctx)
	defer stop()
	<-within.Done()
}

// A timer that is late by minutes, because the process was stopped, costs a
// slice.
func TestPatienceDoesNotCountAPauseOfTheProcess(t *testing.T) {
	ctx, cancel := WithPatience(patienceSlices * time.Hour)
	defer cancel()
	p := ctx.(*patience)
	_ = ctx.Done()
	for range patienceSlices - 1 {
		p.tick() // whenever
		require.NoError(t, ctx.Err())
	}
	p.tick()
	require.Equal(t, errImpatient, context.Cause(ctx))
	p.tick()
}

// After a pause of the process the timer of an opening is due before the opening
// can go on: that is no reason to end it.
func TestOpeningIsNotStaleBecauseItsTimerIs(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, nil)
	c := r.open(t, &auth.Identity{}, present())
	testkit.Eventually(t, func() bool { return r.Stats().KeeperBacklog == 1 }, "the opening to wait for presence")
	r.do(func(a *Agent) {
		a.each(func(ref loop.Ref, s *session) {
			require.NotNil(t, s.opening)
			a.Timer(ref)
		})
		require.Equal(t, 1, a.clients)
	})
	p.letGo()
	c.expect(t, `"connect"`)
}

func TestOpeningIsStaleWhenItsTimeIsOver(t *testing.T) {
	p := newStuckPresence()
	r := newRig(t, p, func(o *Options) { o.StaleCloseDelay = 50 * time.Millisecond })
	c := r.open(t, &auth.Identity{}, present())
	c.expect(t, "stale")
	testkit.Eventually(t, func() bool { return r.Counts().Clients == 0 }, "no session")
}

// An engine that does not ask for the end of its context, and that is slow, still
// makes the opening stale for whoever waits at the other end.
func TestOpeningIsStaleThoughItsEngineKnowsNoEnd(t *testing.T) {
	r := newRig(t, newStuckPresence(), func(o *Options) { o.StaleCloseDelay = 50 * time.Millisecond })
	goOn := make(chan struct{})
	read := r.histories
	r.histories = func(_ context.Context, queries []broker.HistoryQuery) []broker.History {
		<-goOn
		return read(context.Background(), queries)
	}
	g := grant("room", channel.Options{ForcePositioning: true})
	require.True(t, g.Positioned)
	require.False(t, g.Presence)
	c := r.open(t, &auth.Identity{}, g)
	c.expect(t, "stale")
	close(goOn)
}
