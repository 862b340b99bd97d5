package follow

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What makes a channel known between Lost and Back says nothing about what follows: the connection may
// be lost again, of which nobody tells, before it is whole.
func TestAPlaceMadeBeforeBackIsCompared(t *testing.T) {
	f := func(name string, known func(g *game)) {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, g *game) {
				g.lose(g.lines...)
				g.f.Remove([]string{"a"})
				g.f.Add([]string{"a"})
				g.connect(g.lines...)
				known(g)
				g.cut(g.lines...) // again; the reader was not back, so it does not tell
				g.publish("a")
				g.back(g.lines...)
				synctest.Wait()
				g.arrive(1 << 30)
				l, top := g.crowd.by["a"], g.channels["a"].top
				require.True(t, l.told || l.at.Offset == top, "position %v, top %d", l.at, top)
			})
		})
	}
	f("by a read", func(g *game) { g.enter("a") })
	f("by a message", func(g *game) {
		g.publish("a")
		g.arrive(1)
		g.crowd.by["a"] = &positioned{at: g.channels["a"].kept[0].At, seen: make(map[uint64]string)}
	})
}

// over reports whether done is closed.
func over(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Back comes on the goroutine that hands over messages: what comes before it must not wait for what
// follows it, however much that is.
func TestAFloodBeforeBackStopsNobody(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.lose(g.lines...)
		g.publish("a")
		g.connect(g.lines...)
		g.mu.Lock()
		for i := range 3 * holdMost {
			g.send("a", g.world.message(0, "", fmt.Sprintf("bare%04d", i)))
		}
		g.mu.Unlock()
		done := make(chan struct{})
		go func() {
			g.arrive(1 << 30)
			g.f.Back(g.lines[0], true)
			close(done)
		}()
		synctest.Wait()
		require.True(t, over(done), "the reader waits for what only it can bring")
		g.check()
		require.Len(t, g.crowd.bare, 3*holdMost)
	})
}

// loseAgain tells of Back, and of another loss during the comparison that follows; then of Back again. With
// the loss comes something that is in no history: it waits, so that there is another comparison.
func (g *game) loseAgain(meanwhile func()) {
	g.meanwhile = func() {
		g.mu.Lock()
		meanwhile()
		g.send("a", g.world.message(0, "", "bare"))
		g.mu.Unlock()
		g.arrive(1)
		g.f.Lost(g.lines[0])
	}
	g.f.Back(g.lines[0], true)
	synctest.Wait()
	g.f.Back(g.lines[0], true)
	time.Sleep(time.Second)
	synctest.Wait()
}

// A comparison that finds no history at all, while the reader is lost again, leaves a place that is
// not known, and messages that wait: they go on when it is back.
func TestWhatWaitsAtAPlaceThatIsNotKnownAnyMoreGoesOn(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.lose(g.lines...)
		g.mu.Lock()
		*g.channels["a"] = stream{}
		g.mu.Unlock()
		g.connect(g.lines...)
		g.loseAgain(func() {})
		require.Len(t, g.crowd.bare, 1)
		g.check()
	})
}

// Who hands over messages may wait for a comparison that is put off, because the part of the reader is
// lost: the reader waits for him before the part can come back.
func TestALossLetsGoWhoWaitsForAComparison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, stop := newGame(t, 1)
		g.publish("a")
		g.arrive(1)
		stop() // nothing is compared
		g.publish("a")
		g.publish("a")
		g.mu.Lock()
		g.flight = g.flight[1:] // a gap
		for i := range 2 * holdMost {
			g.send("a", g.world.message(0, "", fmt.Sprintf("bare%04d", i)))
		}
		g.mu.Unlock()
		done := make(chan struct{})
		go func() {
			g.arrive(1 << 30)
			close(done)
		}()
		synctest.Wait()
		require.False(t, over(done), "nothing waited")
		g.f.Lost(g.lines[0])
		synctest.Wait()
		require.True(t, over(done), "the reader waits for what only it can bring")
	})
}
