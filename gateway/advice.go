package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// What the system refuses at a start is said with what to do about it: whoever
// reads it wants to go on.

// adviseListen adds to the error of a listener on host:port what to do; option is
// the start of the options that say where: "http_server." or
// "http_server.internal_".
func adviseListen(err error, addr, option string) error {
	_, port, _ := net.SplitHostPort(addr)
	var name *net.DNSError
	advice := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf("another process listens there (`ss -ltnp sport = :%s` shows it): stop it, or set %sport to another one", port, option)
	case errors.Is(err, fs.ErrPermission):
		advice = fmt.Sprintf("ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit): give it, or set %sport to a higher one behind a front", option)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = fmt.Sprintf("this machine does not have that address (`ip addr` shows its own): set %saddress to one that it has, or leave it empty for all", option)
	case errors.As(err, &name):
		advice = fmt.Sprintf("the name in %saddress cannot be resolved: set it to an address of this machine", option)
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, advice)
}

// adviseFile adds to the error of a file that an option names what to do.
func adviseFile(err error, option string) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		advice = fmt.Sprintf("the process runs as uid %d, which may not: change the owner or the mode of the file and its folder, or set %s to another path", os.Getuid(), option)
	case errors.Is(err, syscall.EROFS):
		advice = fmt.Sprintf("it is on a file system without writing (ReadWritePaths= in a systemd unit?): set %s to another path", option)
	case errors.Is(err, fs.ErrNotExist):
		advice = fmt.Sprintf("make its folder, or set %s to another path", option)
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, advice)
}

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
