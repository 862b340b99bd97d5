package gateway

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dropPages takes the program's file out of the process: half of what the start
// needed of it is never needed again. The pages are clean; those that are needed
// come back one by one, from the page cache. What cannot be dropped stays.
func dropPages() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps") // proc_pid_maps(5)
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		f := bytes.Fields(line)
		if len(f) != 6 || string(f[5]) != exe || bytes.IndexByte(f[1], 'w') >= 0 {
			continue // never what was written to: it would be lost
		}
		from, to, _ := bytes.Cut(f[0], []byte("-"))
		lo, err1 := strconv.ParseUint(string(from), 16, 64)
		hi, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(lo), uintptr(hi-lo), unix.MADV_DONTNEED)
		}
	}
}
