//go:build e2e

package test

import (
	"testing"
)

// Subscribers of one channel in every coding, some of which begin in the midst of a burst,
// stall for a while or are paused now and then, all get each publication once and in order.
func TestLongABurstToStreamsOfAllCodings(t *testing.T) {
	for _, ch := range []string{"pp:a", "rr:a"} {
		t.Run(ch, func(t *testing.T) {
			loopModes(t, func(t *testing.T, open bool) { burstToCodings(t, ch, open) })
		})
	}
}
