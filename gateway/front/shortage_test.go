package front

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A newcomer waits for a place as long as the server gets on; and where that was held up as a
// whole, no time has passed.
func TestHowLongNewcomersWaitForAPlace(t *testing.T) {
	var s shortage
	long := func() { s.from.Store(int64(now()) - 2*int64(patienceFull)) }
	require.False(t, s.tooLong())
	for n := range fullLooks - 1 {
		require.False(t, s.lasts(7), n)
		long()
	}
	require.True(t, s.lasts(7))
	require.True(t, s.tooLong())
	require.False(t, s.lasts(8), "somebody has left, and another has the place")
	require.False(t, s.tooLong())
	for range fullLooks {
		s.lasts(8)
	}
	require.False(t, s.tooLong(), "too soon")
	long()
	require.True(t, s.tooLong())
	s.ends()
	require.False(t, s.tooLong())
	require.False(t, s.lasts(8))
}
