package heap

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// madvPageout is MADV_PAGEOUT of linux/mman.h; older kernels refuse it.
const madvPageout = 21

// DropPages takes the program's file out of the process: most of what the start
// needed of it is never needed again. Those pages that are needed come back one by
// one. Only advice is given (MADV_PAGEOUT, madvise(2)): nothing can be lost by it,
// as it could by MADV_DONTNEED where a linker has written to a page.
func DropPages() {
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
			continue
		}
		from, to, _ := bytes.Cut(f[0], []byte("-"))
		lo, err1 := strconv.ParseUint(string(from), 16, 64)
		hi, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, uintptr(lo), uintptr(hi-lo), madvPageout)
		}
	}
}
