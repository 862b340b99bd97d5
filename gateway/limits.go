package gateway

import (
	"log/slog"
	"syscall"
)

// descriptorShare is the part of the limit of open files that streams may use.
const descriptorShare = 0.9

// raiseFileLimit raises the soft limit of open files to the hard one, and
// returns how many streams fit (uni_sse.max_streams = 0).
func raiseFileLimit(log *slog.Logger) int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		log.Warn("the limit of open files cannot be read", "error", err)
		return 0
	}
	if lim.Cur < lim.Max {
		raised := syscall.Rlimit{Cur: lim.Max, Max: lim.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			log.Warn("the limit of open files cannot be raised", "soft", lim.Cur, "hard", lim.Max, "error", err)
		} else {
			lim = raised
		}
	}
	return int(min(float64(lim.Cur)*descriptorShare, 1<<31))
}
