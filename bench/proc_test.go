//go:build linux

package main

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
)

func TestProcessFiguresOfThisProcess(t *testing.T) {
	self := []int{os.Getpid()}
	before, err := processCPU(self)
	require.NoError(t, err)
	require.Positive(t, before)
	for own := ownCPU(); ownCPU()-own < 2_000_000; { // burn 2 ms
	}
	after, err := processCPU(self)
	require.NoError(t, err)
	require.GreaterOrEqual(t, int64(after-before), int64(2_000_000))

	one, err := readMemory(self)
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
	two, err := readMemory([]int{os.Getpid(), os.Getpid()})
	require.NoError(t, err)
	require.Greater(t, two.RSS, share+share/2, "the memory of several processes adds up")
	require.Positive(t, kernelMemory())
}

func TestProcessFiguresWithoutAProcess(t *testing.T) {
	_, err := processCPU(nil)
	require.ErrorIs(t, err, errNoPID)
	_, err = readMemory(nil)
	require.ErrorIs(t, err, errNoPID)
	const none = maxPID + 1
	_, err = processCPU([]int{none})
	require.Error(t, err)
	_, err = readMemory([]int{none})
	require.Error(t, err)
}

func TestRaiseFileLimitSaysWhatIsMissing(t *testing.T) {
	require.NoError(t, raiseFileLimit(1))
	require.ErrorContains(t, raiseFileLimit(1<<40), "hard limit")
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
	_, err := restedCPU(t.Context(), self, restWindow)
	for until := time.Now().Add(patience); err == nil && time.Now().Before(until); {
		_, err = restedCPU(t.Context(), self, restWindow)
	}
	require.ErrorContains(t, err, "did not come to rest")
	stop.Store(true)
	wg.Wait()
	before, err := processCPU(self)
	require.NoError(t, err)
	cpu, err := restedCPU(t.Context(), self, patience)
	require.NoError(t, err)
	require.GreaterOrEqual(t, cpu, before)

	_, err = restedCPU(t.Context(), nil, time.Second)
	require.ErrorIs(t, err, errNoPID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = restedCPU(ctx, self, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
}
