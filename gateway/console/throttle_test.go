package console

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clocked is a throttle whose time a test sets.
func clocked() (*throttle, *time.Duration) {
	now := new(time.Duration)
	t := &throttle{}
	t.init(func() time.Duration { return *now })
	return t, now
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func TestThrottleOfOneAddress(t *testing.T) {
	l, now := clocked()
	for range ownBurst {
		require.Zero(t, l.try(address(1)))
	}
	require.Equal(t, ownPeriod, l.try(address(1)))
	require.Equal(t, ownPeriod, l.try(address(1)), "who is refused does not wait longer for it")
	require.Zero(t, l.try(address(2)), "others are not held up")
	*now += ownPeriod
	require.Zero(t, l.try(address(1)))
	require.Equal(t, ownPeriod, l.try(address(1)))

	// All addresses of one network are one.
	for i := range ownBurst {
		require.Zero(t, l.try(netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))))
	}
	require.NotZero(t, l.try(netip.MustParseAddr("2001:db8::ffff")))
	require.Zero(t, l.try(netip.MustParseAddr("2001:db8:0:1::1")))
	require.Zero(t, l.try(netip.Addr{}), "where nobody knows the address all are one")

	// The right password costs nothing.
	l, _ = clocked()
	for range 100 {
		require.Zero(t, l.try(address(1)))
		l.passed(address(1), true)
	}
}

func TestThrottleOfAllAddresses(t *testing.T) {
	l, now := clocked()
	require.Zero(t, l.try(address(9999)))
	l.passed(address(9999), true)
	n := 0
	for i := range 1000 {
		if l.try(address(i)) == 0 {
			n++
		}
	}
	require.Equal(t, allBurst, n)
	require.Zero(t, l.try(address(9999)), "from where somebody logged in before it goes on")
	for range ownBurst {
		l.try(address(9999))
	}
	require.NotZero(t, l.try(address(9999)), "but not without its own bound")
	*now += allPeriod
	require.Zero(t, l.try(address(1001)))
	require.NotZero(t, l.try(address(1002)))
}

func TestThrottleIsBounded(t *testing.T) {
	l, now := clocked()
	for i := range 200_000 {
		l.try(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
		*now += time.Second / 2
	}
	require.LessOrEqual(t, len(l.own), allBurst+int(ownPeriod*ownBurst/allPeriod)+1)
	for i := range 2 * knownMost {
		*now += ownPeriod
		l.try(address(i))
		l.passed(address(i), true)
	}
	require.Len(t, l.known, knownMost)
	require.NotContains(t, l.known, address(0))
}

func TestTellerIsQuiet(t *testing.T) {
	var l teller
	n, ok := l.tell(someTime)
	require.True(t, ok && n == 0)
	for range 5 {
		_, ok = l.tell(someTime.Add(time.Second))
		require.False(t, ok)
	}
	n, ok = l.tell(someTime.Add(tellEvery))
	require.True(t, ok && n == 5)
}

// Whoever has the viewers' password, and many addresses, tries that of the admins no more
// often for it.
func TestOnlyAdminsMakeAnAddressKnown(t *testing.T) {
	l, _ := clocked()
	n := 0
	for i := range 1000 {
		for range ownBurst - 1 {
			if l.try(address(i)) == 0 {
				n++
			}
		}
		if l.try(address(i)) == 0 {
			n++
			l.passed(address(i), false)
		}
	}
	require.Less(t, n, 2*allBurst)
	require.Empty(t, l.known)

	l, _ = clocked()
	for i := range knownMost {
		require.Zero(t, l.try(address(i)))
		l.passed(address(i), true)
	}
	n = 0
	for i := range knownMost {
		for range ownBurst {
			if l.try(address(i)) == 0 {
				n++
			}
		}
	}
	require.Equal(t, allBurst, n, "those that are known have one bound together")
	require.Zero(t, l.try(address(5000)), "which is not that of others")
}
