//go:build linux

package proc

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/bench/standin"
)

func TestPeakWatchSeesMemoryThatIsGoneAgain(t *testing.T) {
	self := []int{os.Getpid()}
	f := func(w *PeakWatch) {
		t.Helper()
		before, err := statusSum(self, func(s *procfs.ProcStatus) uint64 { return s.VmRSS })
		require.NoError(t, err)
		b, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		require.NoError(t, err)
		if !w.kept {
			require.Eventually(t, func() bool { return w.peak.Load() > before+(48<<20) }, standin.Patience, time.Millisecond)
		}
		require.NoError(t, unix.Munmap(b))
		peak, err := w.End()
		require.NoError(t, err)
		require.Greater(t, peak, before+(48<<20), w.How())
	}
	w, err := WatchPeak(self)
	require.NoError(t, err)
	f(w)
	// Where the kernel does not help, samples are taken.
	w = &PeakWatch{pids: self, quit: make(chan struct{})}
	w.wg.Go(w.sample)
	f(w)
	_, err = WatchPeak(nil)
	require.ErrorIs(t, err, ErrNoPID)
}
