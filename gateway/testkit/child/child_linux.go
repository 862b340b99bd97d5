package child

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ownGroup keeps a child from the terminal's Ctrl-C and lets it die with us, however we end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// standing reports whether all threads of a process stand still (proc(5), state T).
func standing(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		// Behind the name, which is in parentheses and may have any byte.
		if rest := text[bytes.LastIndexByte(text, ')')+1:]; !bytes.HasPrefix(rest, []byte(" T")) {
			return false
		}
	}
	return true
}
