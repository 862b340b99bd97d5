//go:build !race

package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
)

// To tell a connect where it stands costs no memory, in however many channels.
func TestTheFirstPositionsOfAConnectAllocateNothing(t *testing.T) {
	least := func(m *Manager, channels int) float64 {
		op := opening{m: m, plan: &Plan{client: NewID(), secret: NewID()}, conn: &Conn{}}
		for i := range channels {
			ch := fmt.Sprint("channel", i)
			op.plan.Grants = append(op.plan.Grants, grant(ch, channel.Options{ForceRecovery: true}))
			op.results = append(op.results, codec.SubscribeResult{Channel: ch, Recoverable: true, Positioned: true, Epoch: "epoch"})
			op.at = append(op.at, hub.Start{Channel: ch, Features: hub.Recoverable, Epoch: 1 << 31, Offset: 1 << 60})
		}
		compose := func() {
			op.pieces = op.pieces[:0]
			op.compose()
			if op.once {
				op.pieces[0].FreeOnce() // as its loop does; what the pool has is of other tests
			}
		}
		n := testing.AllocsPerRun(100, compose)
		for range 5 {
			n = min(n, testing.AllocsPerRun(100, compose))
		}
		return n
	}
	without := newRig(t, nil, nil)
	with := newRig(t, nil, func(o *Options) { o.Cursors = true })
	for _, channels := range []int{1, 10, 60} {
		require.Equal(t, least(without.Manager, channels), least(with.Manager, channels), "%d channels", channels)
	}
}
