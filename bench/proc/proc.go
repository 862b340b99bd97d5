//go:build linux

package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
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

// Pause waits.
func Pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

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

// Goroutines asks the server at host:port how many goroutines run.
func Goroutines(ctx context.Context, host string) int {
	return int(profiled(ctx, host, "goroutine", "goroutine profile: total "))
}

// Mallocs asks the server at host:port how many objects it has allocated so far.
func Mallocs(ctx context.Context, host string) int64 {
	return profiled(ctx, host, "heap", "# Mallocs = ")
}

// profiled returns the number behind the first line with that prefix of a pprof
// page (debug.enabled), or -1 where there is none.
func profiled(ctx context.Context, host, page, prefix string) int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/debug/pprof/"+page+"?debug=1", nil)
	if err != nil {
		return -1
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if count, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

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
