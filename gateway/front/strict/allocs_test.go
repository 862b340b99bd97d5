//go:build !race

package front

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStrictAllocatesNothing(t *testing.T) {
	for name, h := range map[string]string{"browser": browserHead, "publish": publishHead} {
		ctx := contextOf(t, h)
		calls := 0
		handler := Strict(func(*fasthttpCtx) { calls++ }, nil)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			Prepare(&ctx.Request.Header)
			handler(ctx)
		}), name)
		require.Positive(t, calls, name)
	}
}

func TestLimitsAllocateNothingForAKnownAddress(t *testing.T) {
	l := NewLimits(LimitOptions{Streams: 10, Rate: 1 << 20})
	a := netip.MustParseAddr("2001:db8::1")
	require.True(t, l.Reserve(a))
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if l.Reserve(a) {
			l.Release(a)
		}
	}))
}
