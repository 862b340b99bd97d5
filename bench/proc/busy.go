//go:build linux

package proc

import (
	"context"
	"fmt"
	"time"
)

// What else runs on the machine decides what figures are worth: it is measured
// before and behind, and said.

// LoadAtStart is the load average of the minute before the bench began, -1 if it
// is unknown.
var LoadAtStart = loadAverage()

func loadAverage() float64 {
	load, err := thisKernel.LoadAvg()
	if err != nil {
		return -1
	}
	return load.Load1
}

// busyFor is how long BusyElsewhere looks.
const busyFor = time.Second

// BusyElsewhere returns which part of the CPUs, 0 to 1, others use while the bench
// itself waits; -1 if it cannot be told.
func BusyElsewhere(ctx context.Context) float64 {
	busy, all, err := cpuTimes()
	if err != nil {
		return -1
	}
	select {
	case <-ctx.Done():
		return -1
	case <-time.After(busyFor):
	}
	busyThen, allThen, err := cpuTimes()
	if err != nil || allThen <= all {
		return -1
	}
	return min(1, (busyThen-busy)/(allThen-all)) // the sums are of seconds, rounded
}

// cpuTimes returns how many seconds all CPUs were busy, and all of their seconds.
func cpuTimes() (busy, all float64, err error) {
	stat, err := thisKernel.Stat()
	if err != nil {
		return 0, 0, err
	}
	t := stat.CPUTotal
	busy = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal
	return busy, busy + t.Idle + t.Iowait, nil
}

// QuietBelow is the part of the CPUs that others may use before figures suffer.
const QuietBelow = 0.1

// SayBusy says in one line what others used before and behind a run, and what that
// means for its figures.
func SayBusy(before, after float64) string {
	share := func(v float64) string {
		if v < 0 {
			return "an unknown part"
		}
		return fmt.Sprintf("%.0f %%", 100*v)
	}
	text := fmt.Sprintf("other processes used %s of the CPUs before, %s behind", share(before), share(after))
	if max(before, after) > QuietBelow {
		text += ": the machine was BUSY, so times mean little and ratios spread; measure again when it is quiet"
	}
	return text
}
