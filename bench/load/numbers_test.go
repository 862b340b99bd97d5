//go:build linux

package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumbersDealMessagesOutEvenly(t *testing.T) {
	f := func(conns, channels int) {
		t.Helper()
		const messages = 57
		owners := map[int]int{}
		for i := range conns {
			n := NumbersOf(i, conns, channels)
			had := map[int]uint32{} // by channel
			for seq := range uint32(messages) {
				for channel := n.First; channel < channels; channel += n.step {
					require.Equal(t, had[channel], n.Before(channel, seq), "before message %d", seq)
				}
				channel := n.Channel(seq)
				require.Less(t, channel, channels)
				require.Equal(t, had[channel], n.Turn(seq))
				had[channel]++
				owners[channel] = i
			}
		}
		require.Len(t, owners, channels, "every channel gets messages")
		for channel, owner := range owners {
			require.Equal(t, channel%conns, owner)
		}
	}
	f(1, 1)
	f(1, 10)
	f(4, 21)
	f(4, 4)
	f(7, 50)
	require.Zero(t, NumbersOf(3, 4, 0).count, "none of no channels")
	require.Equal(t, "bench-00042", NumberedChannel("bench", 42))
}

func TestShareDealsStreamsOutInRows(t *testing.T) {
	for _, n := range []int{0, 1, 5, 7, 100} {
		for k := 1; k < 8; k++ {
			next := 0
			for i := range k {
				first, count := Share(n, k, i)
				require.Equal(t, next, first)
				next += count
			}
			require.Equal(t, n, next)
		}
	}
}
