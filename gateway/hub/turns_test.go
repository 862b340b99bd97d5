package hub

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
)

// stays is a task during which a loop does nothing else.
type stays struct{ begun, free chan struct{} }

func (s stays) Run(*loop.Loop) { close(s.begun); <-s.free }

func TestTurnsTellsOfWhatIsStuck(t *testing.T) {
	r := newRig(t, 2, Options{})
	require.NoError(t, r.hub.Turns(context.Background()))
	f := func(why string, block func(stays)) {
		t.Helper()
		s := stays{make(chan struct{}), make(chan struct{})}
		block(s)
		<-s.begun
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		err := r.hub.Turns(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, why)
		close(s.free)
		require.NoError(t, r.hub.Turns(context.Background()))
	}
	f("loop 1 does not turn", func(s stays) { r.group.Loops[1].Post(s) })
	f("a lane does not turn", func(s stays) {
		reached := make(chan struct{})
		r.hub.lanes[0].Post(event{kind: eventBarrier, reached: reached}) // until somebody reads
		close(s.begun)
		go func() {
			<-s.free
			<-reached
		}()
	})
}
