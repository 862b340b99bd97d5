package node

import (
	"fmt"
	"log/slog"
	"syscall"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/proxy"
)

// How the descriptors of the process are divided.
const (
	// ownFiles, loopFiles and doorFiles are what the process itself has, each of its loops,
	// and each door of the gate.
	ownFiles, loopFiles, doorFiles = 16, 4, 2
	// callShare is the part that calls to servers of the operator may have, one in so
	// many, if they may not have all that they can use, and callFiles what one kind of
	// them has at the least.
	callShare, callFiles = 8, 2
	// relayShare is the part that streams of an origin may have, one in so many, if they
	// may not have all that they can use.
	relayShare = 4
	// spareShare is the part that is kept from streams, one in so many, and spareFiles
	// what is kept of a low limit: for calls, health checks, metrics, and connects on
	// their way. (Without a gate each has two descriptors for a moment.)
	spareShare, spareFiles = 10, 48
	// privateFiles is how many places the internal listener has for itself, at the most.
	privateFiles = 64
)

// fileLimit is what the limit of open files allows; the zero value if that is unknown.
type fileLimit struct {
	soft    uint64 // the limit itself
	streams int    // uni_sse.max_streams = 0
	calls   int    // of one hook at once; 0: what package proxy says
	fetches int    // of key sets at once; 0: what package auth says
	relayed int    // of an origin at once; 0: what is configured
	out     int    // what all of these have, not counted in front.Files
	front.Files
}

// users are who has descriptors but clients and streams.
type users struct {
	hooks   int  // that are on
	keys    bool // a key server is asked
	relayed int  // most streams of an origin
	private bool // there is an internal listener
}

// usersOf returns those of a configuration; separate says that the internal endpoints have a
// listener of their own. A reload does not change them: a key
// server that it adds is counted all the same, and asked as if it were there.
func usersOf(c *config.Config, separate bool) (u users) {
	for _, hook := range []bool{c.Client.Proxy.Connect.Enabled, c.Client.Proxy.Refresh.Enabled} {
		if hook {
			u.hooks++
		}
	}
	u.keys = c.Client.Token.JWKSPublicEndpoint != ""
	if c.Relays() {
		u.relayed = c.Relay.MaxChannels
	}
	u.private = separate
	return u
}

// raiseFileLimit raises the soft limit of open files to the hard one, and divides what
// there is then between streams and all else. The error is that of enoughFiles.
func raiseFileLimit(log *slog.Logger, loops int, u users) (fileLimit, error) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		log.Warn("the limit of open files cannot be read", "error", err)
		return fileLimit{}, nil
	}
	if err := enoughFiles(uint64(lim.Max), loops); err != nil {
		return fileLimit{}, err
	}
	if lim.Cur < lim.Max {
		raised := syscall.Rlimit{Cur: lim.Max, Max: lim.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			log.Warn("the limit of open files cannot be raised", "soft", lim.Cur, "hard", lim.Max, "error", err)
		} else {
			lim = raised
		}
	}
	f := divideFiles(int(min(uint64(lim.Cur), 1<<31)), loops, u)
	f.soft = uint64(lim.Cur)
	return f, nil
}

// divideFiles divides so many descriptors. Calls to hooks and key servers, and streams of an origin, have theirs,
// whether or not they are used. Of the others, streams leave a reserve: the part that the
// limit names, of a low limit an absolute number. A quarter of it is the internal
// listener's, if there is one. Half of the rest is for connections that are no streams,
// so that there is always a place for a call or a health check: those that wait for their
// clients make room. A quarter more is for requests that are being answered at the same
// moment, and the last one for what nobody counts: a connection that is closed as soon as
// it was accepted, or that asks for the address of a name.
func divideFiles(limit, loops int, u users) fileLimit {
	rest := limit - min(ownFiles+loopFiles*loops+doorFiles*doors(loops), limit/2)
	f := u.calls(rest)
	f.relayed = min(u.relayed, rest/relayShare)
	f.out += f.relayed
	rest -= f.out
	spare := max(rest/spareShare, min(spareFiles, rest/2))
	f.streams = rest - spare
	if u.private {
		f.Private = min(spare/4, privateFiles)
		spare -= f.Private
	}
	f.Scarce, f.None = f.streams+spare/2, f.streams+spare*3/4
	return f
}

// calls divides what calls may have of so many descriptors between their kinds.
func (u users) calls(files int) (f fileLimit) {
	kinds := u.hooks
	if u.keys {
		kinds++
	}
	if kinds == 0 {
		return f
	}
	each := max(files/callShare/kinds, callFiles)
	f.calls, f.fetches = min(each, proxy.DefaultMaxInFlight), min(each, auth.DefaultMaxFetches)
	if f.out = u.hooks * f.calls; u.keys {
		f.out += f.fetches
	}
	return f
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
// its own, for each of its loops, and for the first clients that it could serve; beside
// doorFiles.
const leastOwn, leastLoop, leastClients = 12, 3, 12

// enoughFiles refuses a limit of open files that leaves no place for clients. Why: the
// process would say that it serves, and break in the middle of whatever comes first.
func enoughFiles(limit uint64, loops int) error {
	least := leastOwn + leastLoop*loops + doorFiles*doors(loops) + leastClients
	if limit >= uint64(least) {
		return nil
	}
	return fmt.Errorf("gateway: %d open files are allowed, and with %d loops %d are needed at the least\nraise the limit: %s", limit, loops, least, moreFiles)
}

// warnUnreachable warns of limits of connections that the limit of file
// descriptors keeps from being reached: only a start knows that one.
func (node *Node) warnUnreachable() {
	if node.files.streams <= 0 {
		return
	}
	for _, limit := range []struct {
		option string
		n      int
	}{{"uni_sse.max_streams", node.cfg.UniSSE.MaxStreams}, {"client.connection_limit", node.cfg.Client.ConnectionLimit}} {
		if limit.n > node.files.streams {
			node.log.Warn("an option is more than the limit of file descriptors allows, so that it is never reached",
				"option", limit.option, "value", limit.n, "streams", node.files.streams, "advice", "raise the limit (ulimit -n, LimitNOFILE), or set the option to less")
		}
	}
}
