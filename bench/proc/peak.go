//go:build linux

package proc

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
)

// peakSample is how often memory is looked at where the kernel does not keep the
// peak for us.
const peakSample = 20 * time.Millisecond

// PeakWatch finds the largest RSS of processes over a time. The kernel's mark is
// lowered to what they hold now, and read at the end (proc_pid_clear_refs(5));
// where that is refused, samples are taken.
type PeakWatch struct {
	// Immutable after WatchPeak.
	pids []int
	kept bool // by the kernel
	quit chan struct{}
	wg   sync.WaitGroup

	// Atomic.
	peak atomic.Int64 // the largest sample so far; only the sampling goroutine writes

	// Owned by the sampling goroutine until quit is closed and wg is done.
	err error
}

// WatchPeak begins; End must be called.
func WatchPeak(pids []int) (*PeakWatch, error) {
	if len(pids) == 0 {
		return nil, ErrNoPID
	}
	w := &PeakWatch{pids: pids, kept: true, quit: make(chan struct{})}
	for _, pid := range pids {
		// 5 resets the peak of the resident set, and touches nothing else.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			w.kept = false
		}
	}
	if !w.kept {
		w.wg.Go(w.sample)
	}
	return w, nil
}

// sample looks again and again.
func (w *PeakWatch) sample() {
	tick := time.NewTicker(peakSample)
	defer tick.Stop()
	for {
		now, err := statusSum(w.pids, func(s *procfs.ProcStatus) uint64 { return s.VmRSS })
		if err != nil {
			w.err = err
			return
		}
		w.peak.Store(max(w.peak.Load(), now))
		select {
		case <-tick.C:
		case <-w.quit:
			return
		}
	}
}

// How says in a report how the peak was found.
func (w *PeakWatch) How() string {
	if w.kept {
		return "kernel's high-water mark (VmHWM, reset with clear_refs)"
	}
	return fmt.Sprintf("sampled every %v", peakSample)
}

// End returns the largest RSS since WatchPeak, in bytes, added up over the
// processes.
func (w *PeakWatch) End() (int64, error) {
	close(w.quit)
	w.wg.Wait()
	if w.kept {
		return statusSum(w.pids, func(s *procfs.ProcStatus) uint64 { return s.VmHWM })
	}
	return w.peak.Load(), w.err
}

// statusSum adds up a field of /proc/PID/status, in bytes.
func statusSum(pids []int, field func(s *procfs.ProcStatus) uint64) (sum int64, err error) {
	for _, pid := range pids {
		_, status, err := processStatus(pid)
		if err != nil {
			return 0, err
		}
		sum += int64(field(&status))
	}
	return sum, nil
}
