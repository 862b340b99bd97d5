package session

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who missed one small publication is refused behind somebody who missed much,
// though there is room for it.
func TestASmallResumeDoesNotStandBehindALargeOne(t *testing.T) {
	b := newBudget(100 << 20)
	held, err := b.enter(t.Context(), 30<<20) // of a stream that trickles
	require.NoError(t, err)
	defer held.close()
	go func() {
		if big, err := b.enter(t.Context(), 30<<20); err == nil { // does not fit now
			big.close()
		}
	}()
	require.Eventually(t, func() bool { return b.waiting.Load() == 1 }, time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	small, err := b.enter(ctx, 100) // 40 MiB are free
	require.NoError(t, err)
	small.close()
}
