package node

import (
	"fmt"
	"log/slog"
)

// fewFiles is the limit of open files below which a start says so: it is what
// shells and containers have unless told, and soon used up by streams.
const fewFiles = 4096

// warnFewFiles warns of a limit of open files that streams will soon use up, or
// that is below the streams which are configured; fit is how many it allows.
func warnFewFiles(log *slog.Logger, limit uint64, fit, wanted int) {
	missing := ""
	switch {
	case wanted > 0 && uint64(wanted) >= limit:
		missing = fmt.Sprintf("uni_sse.max_streams is %d, and each stream takes one: %d fit, and who comes then is turned away", wanted, fit)
	case limit < fewFiles:
		missing = fmt.Sprintf("each stream takes one: %d fit, and who comes then is turned away", fit)
	default:
		return
	}
	log.Warn("few files may be open", "limit", limit, "streams", fit, "detail", missing, "remedy", moreFiles)
}

// moreFiles says how a process is allowed more open files.
const moreFiles = "LimitNOFILE=1048576 in a systemd unit, --ulimit nofile=1048576 for a container, ulimit -Hn 1048576 before a start by hand"

// leastOwn, leastLoop and leastClients are what a process has open at the very least: of
// its own, for each of its loops, and for the first clients that it could serve.
const leastOwn, leastLoop, leastClients = 12, 3, 12

// enoughFiles refuses a limit of open files that leaves no place for clients. Why: the
// process would say that it serves, and break in the middle of whatever comes first.
func enoughFiles(limit uint64, loops int) error {
	least := leastOwn + leastLoop*loops + leastClients
	if limit >= uint64(least) {
		return nil
	}
	return fmt.Errorf("gateway: %d open files are allowed, and with %d loops %d are needed at the least\nraise the limit: %s", limit, loops, least, moreFiles)
}
