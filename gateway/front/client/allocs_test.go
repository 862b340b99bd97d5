//go:build !race

package client

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

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
