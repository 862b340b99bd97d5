//go:build linux

package proc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLoadOfTheMachineIsNamed(t *testing.T) {
	require.GreaterOrEqual(t, LoadAtStart, 0.0)
	v := BusyElsewhere(t.Context())
	require.True(t, v >= 0 && v <= 1, v)

	require.Equal(t, "other processes used 2 % of the CPUs before, 3 % behind", SayBusy(0.02, 0.03))
	require.Contains(t, SayBusy(0.02, 0.5), "BUSY")
	require.Contains(t, SayBusy(-1, 0), "an unknown part")
}
