//go:build linux

package fanout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
)

func TestDeliveriesOnOwnChannelsTellMessagesOfOthers(t *testing.T) {
	// Two publishers, six channels; this worker has channels 3, 4 and 5.
	d := newDeliveries(load.NewGoal(), 2)
	d.own = &ownChannels{first: 3, conns: 2, channels: 6}
	event := func(stream, publisher int, seq uint32) {
		b, err := load.NewPayload(100)
		require.NoError(t, err)
		load.StampPayload(b, load.Message{Sent: 1_700_000_000_000_000_000, Publisher: publisher, Seq: seq})
		d.Event(stream, b, 1_700_000_000_001_000_000)
	}
	d.begin([]uint32{0, 0})
	for stream := range 3 {
		d.Opened(stream, nil)
	}
	event(0, 1, 1) // channel 3 is the second of publisher 1
	event(1, 0, 2) // channel 4 the third of publisher 0
	event(2, 1, 2)
	require.Equal(t, load.Tally{Fresh: 3}, d.tally)
	event(0, 1, 1)
	require.Equal(t, load.Tally{Fresh: 3, Duplicated: 1}, d.tally)
	event(0, 0, 1) // another publisher's
	event(0, 1, 2) // another channel's
	require.EqualValues(t, 2, d.foreign)
	event(0, 1, 7) // message 4 is missing
	require.Equal(t, load.Tally{Fresh: 4, Duplicated: 1, Lost: 1}, d.tally)
	d.settle([]uint32{6, 8})
	// Channel 3 had 1, 4 and 7; channel 4 had 2 and 5; channel 5 had 2 and 5.
	require.Equal(t, load.Tally{Fresh: 4, Duplicated: 1, Lost: 3}, d.tally)
}

func TestDeliveriesKeepTheLagOfTheLastStream(t *testing.T) {
	g := load.NewGoal()
	parts := []*deliveries{newDeliveries(g, 2), newDeliveries(g, 2)}
	event := func(m load.Message) []byte {
		b, err := load.NewPayload(100)
		require.NoError(t, err)
		load.StampPayload(b, m)
		return b
	}
	const t0 = int64(1_700_000_000_000_000_000)
	const ms = int64(time.Millisecond)
	sent := []uint32{7, 0}
	for _, d := range parts {
		d.begin(sent)
		for stream := range 2 {
			d.Opened(stream, nil)
		}
	}
	m := load.Message{Sent: t0, Publisher: 0, Seq: 7}
	parts[0].Event(0, event(m), t0+1*ms)
	parts[0].Event(1, event(m), t0+2*ms)
	parts[1].Event(0, event(m), t0+8*ms)
	parts[1].Event(1, event(m), t0+9*ms)
	parts[1].Event(1, event(m), t0+50*ms) // a repeat moves no lag
	parts[1].Event(1, []byte(`{}`), t0)   // a ping
	parts[1].Event(1, []byte(`{"pub":{"data":1}}`), t0)
	parts[1].Event(1, event(load.Message{Sent: t0, Publisher: 2}), t0)
	all := newArrivals(2)
	for _, d := range parts {
		d.Flush()
		d.settle([]uint32{8, 0})
		all.take(d)
	}
	require.EqualValues(t, 4, g.Arrived.Load())
	require.Equal(t, load.Tally{Fresh: 4, Duplicated: 1}, all.tally)
	require.EqualValues(t, 2, all.foreign)
	require.EqualValues(t, 4, all.lag.TotalCount())
	require.EqualValues(t, 1, all.lastStream().TotalCount())
	require.InEpsilon(t, 9000, all.lastStream().Max(), 0.002)
}
