package gateway

import (
	"log/slog"
	"syscall"

	"sluice/gateway/front"
)

// How the descriptors of the process are divided.
const (
	// ownFiles and loopFiles are what the process itself has, and each of its loops.
	ownFiles, loopFiles = 16, 4
	// spareShare is the part that is kept from streams, one in so many, and spareFiles
	// what is kept of a low limit: for calls, health checks, metrics, hooks, and streams
	// on their way, which have two for a moment.
	spareShare, spareFiles = 10, 48
)

// fileLimit is what the limit of open files allows; the zero value if that is unknown.
type fileLimit struct {
	streams int // uni_sse.max_streams = 0
	front.Files
}

// raiseFileLimit raises the soft limit of open files to the hard one, and divides what
// there is then between streams and all else.
func raiseFileLimit(log *slog.Logger, loops int) fileLimit {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		log.Warn("the limit of open files cannot be read", "error", err)
		return fileLimit{}
	}
	if lim.Cur < lim.Max {
		raised := syscall.Rlimit{Cur: lim.Max, Max: lim.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			log.Warn("the limit of open files cannot be raised", "soft", lim.Cur, "hard", lim.Max, "error", err)
		} else {
			lim = raised
		}
	}
	return divideFiles(int(min(uint64(lim.Cur), 1<<31)), loops)
}

// divideFiles divides so many descriptors. Streams leave a reserve: the part that the
// limit names, of a low limit an absolute number. Half of it is for connections that
// are no streams, so that there is always a place for a call or a health check: those
// that wait for their clients make room. A quarter more is for requests that are being
// answered at the same moment, and the last one for what is no connection of a client.
func divideFiles(limit, loops int) fileLimit {
	rest := limit - min(ownFiles+loopFiles*loops, limit/2)
	spare := max(rest/spareShare, min(spareFiles, rest/2))
	streams := rest - spare
	return fileLimit{streams: streams, Files: front.Files{Scarce: streams + spare/2, None: streams + spare*3/4}}
}
