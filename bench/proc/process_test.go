//go:build linux

package proc

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"sluice/bench/standin"
)

func TestChildrenOfThisProcess(t *testing.T) {
	// The test's own children are none of the parent's.
	parent, err := Children(os.Getppid())
	require.NoError(t, err)
	require.Contains(t, parent, os.Getpid())
}

func TestProcessFiguresOfThisProcess(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := CPU(self)
	require.NoError(t, err)
	require.Positive(t, before)
	for own := OwnCPU(); OwnCPU()-own < 2_000_000; { // burn 2 ms
	}
	after, err := CPU(self)
	require.NoError(t, err)
	require.GreaterOrEqual(t, int64(after-before), int64(2_000_000))

	one, err := ReadMemory(self)
	require.NoError(t, err)
	require.Greater(t, one.RSS, int64(1<<20))
	require.Positive(t, one.Anonymous)
	require.Positive(t, one.Threads)
	// The share in what others map too is not all of RSS: other processes may
	// run the same binary.
	share := one.RSS
	p, err := procfs.Self()
	require.NoError(t, err)
	if rollup, err := p.ProcSMapsRollup(); err == nil {
		share = int64(rollup.Pss)
	}
	two, err := ReadMemory([]int{os.Getpid(), os.Getpid()})
	require.NoError(t, err)
	require.Greater(t, two.RSS, share+share/2, "the memory of several processes adds up")
	require.Positive(t, KernelMemory())
}

func TestProcessFiguresWithoutAProcess(t *testing.T) {
	_, err := CPU(nil)
	require.ErrorIs(t, err, ErrNoPID)
	_, err = ReadMemory(nil)
	require.ErrorIs(t, err, ErrNoPID)
	const none = MaxPID + 1
	_, err = CPU([]int{none})
	require.Error(t, err)
	_, err = ReadMemory([]int{none})
	require.Error(t, err)
}

func TestRaiseFileLimitSaysWhatIsMissing(t *testing.T) {
	require.NoError(t, RaiseFileLimit(1))
	require.ErrorContains(t, RaiseFileLimit(1<<40), "hard limit")
}

func TestRestedCPUWaitsForTheEndOfWork(t *testing.T) {
	self := []int{os.Getpid()}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() { // burn a CPU
		}
	})
	// A machine that stands still lets it rest.
	_, err := RestedCPU(t.Context(), self, restWindow)
	for until := time.Now().Add(standin.Patience); err == nil && time.Now().Before(until); {
		_, err = RestedCPU(t.Context(), self, restWindow)
	}
	require.ErrorContains(t, err, "did not come to rest")
	stop.Store(true)
	wg.Wait()
	before, err := CPU(self)
	require.NoError(t, err)
	cpu, err := RestedCPU(t.Context(), self, standin.Patience)
	require.NoError(t, err)
	require.GreaterOrEqual(t, cpu, before)

	_, err = RestedCPU(t.Context(), nil, time.Second)
	require.ErrorIs(t, err, ErrNoPID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = RestedCPU(ctx, self, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
}
