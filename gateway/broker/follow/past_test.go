package follow

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
)

// What is remembered is bounded: what was left first is forgotten first.
func TestWhatIsRememberedOfThePastIsBounded(t *testing.T) {
	f := New(brokertest.NewSink(), new(world))
	leave := func(ch string) {
		f.Add([]string{ch})
		f.places.Value(ch).stand(broker.Position{Offset: 1, Epoch: "e"}, 0, ProofNone, 0)
		f.Remove([]string{ch})
	}
	leave("again")
	for i := range pastMost - 1 {
		leave(fmt.Sprint(i))
	}
	leave("again")
	require.Zero(t, f.stats.forgotten.Load())
	leave("one more")
	require.EqualValues(t, 1, f.stats.forgotten.Load())
	require.NotNil(t, f.past.by.Value("again"))
	require.Nil(t, f.past.by.Value("0"))
	require.Equal(t, pastMost, f.past.by.Len())
	require.Equal(t, pastMost, f.past.order.Len())
}
