package follow

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What was dropped before it came is brought by the comparison that its channel is told to need, also
// where nothing follows it.
func TestAChannelOfWhichAMessageWasDroppedIsCompared(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.publish("a")
		g.mu.Lock()
		g.flight = nil // dropped
		g.mu.Unlock()
		g.f.DoubtChannel("a")
		g.f.DoubtChannel("nobody's")
		g.check()
		require.EqualValues(t, 1, g.f.Stats().Dropped)
		require.EqualValues(t, 1, g.f.Stats().Replayed)
	})
}

// A message that is dropped while the history is being read may be missing in it: it is read again.
func TestAChannelThatIsBeingReadIsReadAgain(t *testing.T) {
	play(t, func(t *testing.T, g *game) {
		g.publish("a")
		g.arrive(1)
		g.mu.Lock()
		g.meanwhile = func() {
			g.publish("a")
			g.mu.Lock()
			g.flight = nil
			g.mu.Unlock()
			g.f.DoubtChannel("a")
		}
		g.mu.Unlock()
		g.f.DoubtChannel("a")
		g.check()
		require.EqualValues(t, 1, g.f.Stats().Replayed)
	})
}
