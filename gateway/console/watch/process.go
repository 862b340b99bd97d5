package watch

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// process is what the process takes: bytes of memory, of these those of objects of Go, and
// seconds of processors so far.
type process struct{ memory, heap, cpu float64 }

// processReader reads it.
type processReader struct{ samples []metrics.Sample }

const (
	heapObjects  = "/memory/classes/heap/objects:bytes"
	heapReleased = "/memory/classes/heap/released:bytes"
	allMemory    = "/memory/classes/total:bytes"
)

func (r *processReader) read() (p process) {
	if r.samples == nil {
		r.samples = []metrics.Sample{{Name: heapObjects}, {Name: heapReleased}, {Name: allMemory}}
	}
	metrics.Read(r.samples)
	value := func(i int) float64 {
		if r.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return float64(r.samples[i].Value.Uint64())
	}
	p.heap = value(0)
	if p.memory = resident(); p.memory == 0 {
		p.memory = value(2) - value(1) // what the runtime has; the rest is small
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		p.cpu = (time.Duration(used.Utime.Nano()) + time.Duration(used.Stime.Nano())).Seconds()
	}
	return p
}

// resident returns the bytes of the process that are in memory, 0 where the system has no
// such file (proc_pid_statm(5)).
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return float64(pages) * float64(os.Getpagesize())
}
