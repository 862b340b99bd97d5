//go:build linux

package proc

import (
	"errors"
	"fmt"

	"github.com/prometheus/procfs"
)

// Children returns the processes whose parent is pid.
func Children(pid int) (children []int, err error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("bench: processes: %w", err)
	}
	for _, p := range all {
		// A process may end while it is looked at.
		if stat, err := p.Stat(); err == nil && stat.PPID == pid {
			children = append(children, p.PID)
		}
	}
	return children, nil
}

// MaxPID is the kernel's PID_MAX_LIMIT on 64-bit machines.
const MaxPID = 1 << 22

// ErrNoPID says that CPU and memory cannot be told.
var ErrNoPID = errors.New("bench: the server's process id is not known; give -P PID")
