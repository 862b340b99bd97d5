//go:build linux

package proc

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// OwnCPU returns this process's CPU time.
func OwnCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// CPU returns the CPU time that processes have used so far, user and
// system, all threads, from their CPU clocks: nanoseconds, where
// /proc/PID/stat counts ticks of 10 ms (clock_getcpuclockid(3)).
func CPU(pids []int) (time.Duration, error) {
	if len(pids) == 0 {
		return 0, ErrNoPID
	}
	var sum time.Duration
	for _, pid := range pids {
		// The clock id that the C library would make: CPUCLOCK_SCHED of a process.
		const schedClock = 2
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
			return 0, fmt.Errorf("bench: CPU clock of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// A process is at rest when in restWindow it uses at most restCPU: a hundredth
// of a CPU, which timers and a collector's scavenger may take.
const (
	restWindow = 100 * time.Millisecond
	restCPU    = restWindow / 100
)

// RestedCPU waits until the processes are at rest and returns the CPU time that
// they have used so far, so that the work a client cannot see the end of is
// counted too (closing, collecting). It gives up after limit.
func RestedCPU(ctx context.Context, pids []int, limit time.Duration) (time.Duration, error) {
	last, err := CPU(pids)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	tick := time.NewTicker(restWindow)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if err := ctx.Err(); err != nil { // though a tick came, too
			return 0, err
		}
		now, err := CPU(pids)
		if err != nil {
			return 0, err
		}
		if now-last <= restCPU {
			return now, nil
		}
		if time.Since(begin) > limit {
			return 0, fmt.Errorf("bench: the server did not come to rest within %v, it still uses %v of CPU in %v; measure one that nobody else uses", limit, now-last, restWindow)
		}
		last = now
	}
}
