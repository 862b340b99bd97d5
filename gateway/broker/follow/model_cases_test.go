package follow

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
)

// What the model found once in many games, each by itself.

// A subscriber that comes while a channel is compared may see more of the history than the
// comparison does: that is not a history that went back.
func TestAReadMadeDuringAComparisonIsNoLoss(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.lose(g.lines...)
		g.publish("a")
		g.meanwhile = func() {
			g.publish("a")
			g.enter("a")
		}
		g.back(g.lines...)
		synctest.Wait()
		g.check()
		require.Nil(t, g.meanwhile, "no comparison was made")
		require.Zero(t, g.f.stats.told.Load()+g.f.stats.wentBack.Load())
	})
}

// A subscriber that comes while the history has another epoch already than what has arrived:
// what it saw is remembered all the same.
func TestWhatAReadSawOfAnEpochThatIsToComeCounts(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		_, err := g.Renew(t.Context(), "a", g.channels["a"].epoch) // another node
		require.NoError(t, err)
		g.publish("a")
		g.publish("a")
		g.enter("a")
		g.arrive(1)
		g.cut(g.lines...)
		g.f.Lost(g.lines[0])
		g.rewind(1, g.lines[0])
		g.publish("a") // in the place of what the subscriber saw
		g.back(g.lines...)
		synctest.Wait()
		require.True(t, g.crowd.by["a"].told)
		g.check()
	})
}

// A history that went away leaves nothing to be compared: nor when the connection is lost once
// more before that is settled.
func TestAHistoryThatWentAwayInTwoLossesIsNotWaitedFor(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		part := g.lines[0]
		g.lose(part)
		g.mu.Lock()
		*g.channels["a"] = stream{}
		g.mu.Unlock()
		g.meanwhile = func() {
			g.cut(part)
			g.f.Lost(part)
		}
		g.connect(part)
		g.f.Back(part, true)
		synctest.Wait()
		require.Nil(t, g.meanwhile, "no comparison was made")
		require.True(t, g.crowd.by["a"].told)
		g.connect(part)
		g.f.Back(part, true)
		time.Sleep(time.Minute) // the others are compared
		up, left := g.f.CaughtUp()
		require.True(t, up)
		require.Zero(t, left)
	})
}

// A channel that is being read when a position check finds it behind is read again, if what is
// missing came behind that read.
func TestABarrierIsBehindTheReadUnderWay(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		barrier := make(chan error, 1)
		g.meanwhile = func() {
			g.publish("a")
			g.mu.Lock()
			g.flight = nil
			top := broker.Position{Offset: g.channels["a"].top, Epoch: g.channels["a"].epoch}
			g.mu.Unlock()
			g.f.Learn("a", Tip{Top: top}, nil)
			go func() { barrier <- g.f.Await(t.Context(), g.f.TakeSuspects()) }()
			time.Sleep(time.Second) // until it waits for this read
		}
		g.f.DoubtAll(func(int) bool { return true })
		synctest.Wait()
		time.Sleep(time.Minute)
		require.NoError(t, <-barrier)
		require.EqualValues(t, 2, g.crowd.by["a"].at.Offset)
		g.check()
	})
}

// A failover between two reads of one comparison, that gave the offset of what the first one
// had brought to another publication.
func TestAFailoverBetweenTwoReadsIsTold(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.lose(g.lines...)
		for range 3 {
			g.publish("a")
		}
		g.meanwhile = func() { // behind the read of 1 to 3
			g.rewind(2, g.lines[0])
			g.publish("a")
			g.publish("a")
		}
		g.back(g.lines...)
		synctest.Wait()
		require.True(t, g.crowd.by["a"].told)
		g.check()
	})
}

// A history that went back and is gone before it gets another epoch leaves no place, and no offset that
// the next comparison finds to have gone back again.
func TestAHistoryThatGoesWhileItIsRenewedLeavesNoPlace(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		for range 3 {
			g.publish("a")
		}
		g.arrive(3)
		g.lose(g.lines...)
		g.rewind(1, g.lines[0])
		g.connect(g.lines...)
		g.loseAgain(func() { *g.channels["a"] = stream{} })
		require.EqualValues(t, 1, g.f.stats.wentBack.Load())
		g.publish("a")
		g.check()
		require.Len(t, g.crowd.bare, 1)
	})
}
