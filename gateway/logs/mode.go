package logs

import (
	"fmt"
	"log/slog"
	"os"
)

// WarnWide warns of a log file that others than its owner may read or write:
// one that was there before keeps its mode. Pipes and devices are left alone.
func WarnWide(log *slog.Logger, path string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if mode := info.Mode().Perm(); mode&^FileMode != 0 {
		log.Warn("log.file is open to others than its owner: it names addresses, users and channels",
			"file", path, "mode", fmt.Sprintf("%04o", mode), "advice", fmt.Sprintf("chmod %04o, or let a group read it on purpose only", FileMode))
	}
}
