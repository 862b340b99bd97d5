//go:build linux

package main

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
			n := numbersOf(i, conns, channels)
			had := map[int]uint32{} // by channel
			for seq := range uint32(messages) {
				for channel := n.first; channel < channels; channel += n.step {
					require.Equal(t, had[channel], n.before(channel, seq), "before message %d", seq)
				}
				channel := n.channel(seq)
				require.Less(t, channel, channels)
				require.Equal(t, had[channel], n.turn(seq))
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
	require.Zero(t, numbersOf(3, 4, 0).count, "none of no channels")
	require.Equal(t, "bench-00042", numberedChannel("bench", 42))
}

func TestShareDealsStreamsOutInRows(t *testing.T) {
	for _, n := range []int{0, 1, 5, 7, 100} {
		for k := 1; k < 8; k++ {
			next := 0
			for i := range k {
				first, count := share(n, k, i)
				require.Equal(t, next, first)
				next += count
			}
			require.Equal(t, n, next)
		}
	}
}

func TestDeliveriesOnOwnChannelsTellMessagesOfOthers(t *testing.T) {
	// Two publishers, six channels; this worker has channels 3, 4 and 5.
	d := newDeliveries(newGoal(), 2)
	d.own = &ownChannels{first: 3, conns: 2, channels: 6}
	event := func(stream, publisher int, seq uint32) {
		b, err := newPayload(100)
		require.NoError(t, err)
		stampPayload(b, message{sent: 1_700_000_000_000_000_000, publisher: publisher, seq: seq})
		d.Event(stream, b, 1_700_000_000_001_000_000)
	}
	d.begin([]uint32{0, 0})
	for stream := range 3 {
		d.Opened(stream, nil)
	}
	event(0, 1, 1) // channel 3 is the second of publisher 1
	event(1, 0, 2) // channel 4 the third of publisher 0
	event(2, 1, 2)
	require.Equal(t, tally{fresh: 3}, d.tally)
	event(0, 1, 1)
	require.Equal(t, tally{fresh: 3, duplicated: 1}, d.tally)
	event(0, 0, 1) // another publisher's
	event(0, 1, 2) // another channel's
	require.EqualValues(t, 2, d.foreign)
	event(0, 1, 7) // message 4 is missing
	require.Equal(t, tally{fresh: 4, duplicated: 1, lost: 1}, d.tally)
	d.settle([]uint32{6, 8})
	// Channel 3 had 1, 4 and 7; channel 4 had 2 and 5; channel 5 had 2 and 5.
	require.Equal(t, tally{fresh: 4, duplicated: 1, lost: 3}, d.tally)
}
