package child

import "syscall"

// ownGroup keeps a child from the terminal's Ctrl-C and lets it die with us, however we end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
