//go:build linux

package proc

import (
	"fmt"
	"os"

	"github.com/prometheus/procfs"
)

// Memory is what processes hold, in bytes, and their threads. What
// several of them share is counted once in RSS.
type Memory struct {
	RSS       int64 `json:"rss"`
	Anonymous int64 `json:"anonymous"` // the part of RSS that is no file
	Threads   int64 `json:"threads"`
}

// ReadMemory reads the memory of processes, added up.
func ReadMemory(pids []int) (Memory, error) {
	var m Memory
	if len(pids) == 0 {
		return m, ErrNoPID
	}
	for _, pid := range pids {
		p, status, err := processStatus(pid)
		if err != nil {
			return m, err
		}
		stat, err := p.Stat()
		if err != nil {
			return m, fmt.Errorf("bench: threads of process %d: %w", pid, err)
		}
		rss, anonymous := status.VmRSS, status.RssAnon
		// Why: status counts pages per thread in batches and lags behind;
		// smaps_rollup walks the pages. It may be hidden, status is not.
		if rollup, err := p.ProcSMapsRollup(); err == nil {
			rss, anonymous = rollup.Rss, rollup.Anonymous
			if len(pids) > 1 {
				// Why: what several processes share would be counted in each.
				rss = rollup.Pss
			}
		}
		m.RSS += int64(rss)
		m.Anonymous += int64(anonymous)
		m.Threads += int64(stat.NumThreads)
	}
	return m, nil
}

// processStatus reads /proc/PID/status.
func processStatus(pid int) (p procfs.Proc, status procfs.ProcStatus, err error) {
	if p, err = procfs.NewProc(pid); err == nil {
		status, err = p.NewStatus()
	}
	if err != nil {
		err = fmt.Errorf("bench: memory of process %d: %w", pid, err)
	}
	return p, status, err
}

// thisKernel is /proc.
var thisKernel = func() procfs.FS {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		panic("bench: " + err.Error()) // there is none: nothing can be measured
	}
	return fs
}()

// KernelMemory returns the machine's slab memory plus TCP buffer pages, in
// bytes. Its growth while streams open is the kernel's share of both their
// ends, and of whatever else the machine did meanwhile.
func KernelMemory() (total int64) {
	if m, err := thisKernel.Meminfo(); err == nil && m.SlabBytes != nil {
		total = int64(*m.SlabBytes)
	}
	sockets, err := thisKernel.NetSockstat()
	if err != nil {
		return total
	}
	for _, p := range sockets.Protocols {
		if p.Protocol == "TCP" && p.Mem != nil {
			total += int64(*p.Mem) * int64(os.Getpagesize())
		}
	}
	return total
}
