//go:build linux

package proc

import (
	"fmt"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// RaiseFileLimit lifts the soft limit of open files to the hard one and says
// what is missing if need is more.
func RaiseFileLimit(need int) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("bench: getrlimit: %w", err)
	}
	if l.Cur < l.Max {
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return fmt.Errorf("bench: setrlimit: %w", err)
		}
	}
	if uint64(need) > l.Cur {
		return fmt.Errorf("bench: %d open files are needed, and the hard limit is %d; ask for fewer streams or raise it (ulimit -Hn, LimitNOFILE=)", need, l.Cur)
	}
	return nil
}

// OpenFiles counts the open descriptors of processes.
func OpenFiles(pids []int) (n int, err error) {
	for _, pid := range pids {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return 0, fmt.Errorf("bench: open files of process %d: %w", pid, err)
		}
		open, err := p.FileDescriptorsLen()
		if err != nil {
			return 0, fmt.Errorf("bench: open files of process %d: %w", pid, err)
		}
		n += open
	}
	return n, nil
}
