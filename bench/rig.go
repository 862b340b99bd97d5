//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"time"
)

// commonFlags are the flags of every mode.
type commonFlags struct {
	targetFlags
	peerFlags
	own     ownServer // set by the mode
	binary  string    // of our server, if it is built already; set by the mode
	set     *flag.FlagSet
	asJSON  bool
	out     string
	workers int
	ramp    int
	quiet   time.Duration
}

func (f *commonFlags) register(fs *flag.FlagSet) {
	f.set = fs
	f.targetFlags.register(fs)
	fs.BoolVar(&f.asJSON, "json", false, "print JSON instead of a table")
	fs.StringVar(&f.out, "o", "", "write the JSON to this file too")
	fs.IntVar(&f.workers, "workers", max(1, runtime.NumCPU()/4), "epoll loops of the client")
	fs.IntVar(&f.ramp, "ramp", 256, "streams connecting at a time")
	fs.DurationVar(&f.quiet, "timeout", 10*time.Second, "give up when nothing arrives for so long")
}

// host is a server under measurement, and where it is.
type host struct {
	name      string
	server    *server // nil for a running one
	target    *target
	streams   netip.AddrPort
	streamURL *url.URL
}

// resolve finds the address of the streams.
func (h *host) resolve(ctx context.Context, allowRemote bool) (err error) {
	h.streams, h.streamURL, err = resolve(ctx, h.target.streamURL, allowRemote)
	return err
}

// rig is what a mode works with: our server or the running one, its peers, and
// a folder for files.
type rig struct {
	host
	flags    *commonFlags
	files    int
	dir      string
	progress *progress
	peers    []*host
}

// ourSide is what our server, or the running one, is called in tables.
const ourSide = "server"

// newRig raises the file limit to files, builds and starts the server unless a
// running one is named, and its peers, and checks that the targets may be
// loaded. close must be called whenever the error is nil.
func newRig(ctx context.Context, f *commonFlags, files int) (r *rig, err error) {
	if r, err = newEmptyRig(f, files); err != nil {
		return nil, err
	}
	if err = r.start(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// withRig lets run work with a new rig, and closes that behind it. An error of
// run has the log of a server that is gone.
func withRig[R any](ctx context.Context, f *commonFlags, files int, run func(r *rig) (R, error)) (result R, err error) {
	r, err := newRig(ctx, f, files)
	if err != nil {
		return result, err
	}
	defer r.close()
	result, err = run(r)
	if ctx.Err() == nil {
		err = r.explain(err)
	}
	return result, err
}

// start starts the servers, and finds them.
func (r *rig) start(ctx context.Context) (err error) {
	if r.target, err = r.flags.external(); err != nil {
		return err
	}
	if r.target == nil {
		if err = r.startOwn(ctx); err != nil {
			return err
		}
	}
	if err = r.resolve(ctx, r.flags.allowRemote); err != nil {
		return err
	}
	return r.startPeers(ctx)
}

// newEmptyRig is a rig without servers.
func newEmptyRig(f *commonFlags, files int) (*rig, error) {
	if f.workers < 1 || f.ramp < 1 || f.quiet <= 0 {
		return nil, errors.New("bench: -workers, -ramp and -timeout should be above zero")
	}
	if err := raiseFileLimit(files); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return &rig{host: host{name: ourSide}, flags: f, files: files, dir: dir, progress: newProgress(os.Stderr)}, nil
}

// hosts are all servers, ours first.
func (r *rig) hosts() []*host { return append([]*host{&r.host}, r.peers...) }

func (r *rig) startOwn(ctx context.Context) (err error) {
	binary := cmp.Or(r.flags.server, r.flags.binary)
	if binary == "" {
		r.progress.say("building the server")
		if binary, err = buildServer(ctx, r.dir); err != nil {
			return err
		}
	}
	if wish := r.flags.own.recoveryWish; wish > 0 && knows(ctx, binary, "uni_sse.recovery_max_total") {
		r.flags.own.recoveryTotal = wish
	}
	r.progress.say("starting the server")
	if r.server, err = startServer(ctx, binary, r.dir, r.flags.channel, r.flags.anonymous, r.flags.own); err == nil {
		r.target = r.server.target
	}
	return err
}

// newClient returns a client of h with requests for its first n streams.
func (r *rig) newClient(h *host, n int, handler func(worker int) eventHandler) (*client, error) {
	requests, err := h.requests(n)
	if err != nil {
		return nil, err
	}
	return r.newClientOf(h, requests, 0, handler)
}

// requests are those of the first n streams, all on the target's channel.
func (h *host) requests(n int) (requests [][]byte, err error) {
	requests = make([][]byte, n)
	for i := range requests {
		if requests[i], err = h.target.streamRequest(h.streamURL, i); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// requestOn is the request of the n-th stream, on other channels than the
// target's.
func (h *host) requestOn(n int, channels ...string) ([]byte, error) {
	token, err := h.target.token(n)
	if err != nil {
		return nil, err
	}
	return h.target.dialect().subscribe(h.streamURL, channels, token, "")
}

// newClientOf returns a client of h with these requests. A mode that opens and
// closes many streams gives each client a source of its own (sourcesOf),
// because closed connections hold their ports for a minute.
func (r *rig) newClientOf(h *host, requests [][]byte, source int, handler func(worker int) eventHandler) (*client, error) {
	return newClient(r.clientConfig(h, requests, source, handler))
}

func (r *rig) clientConfig(h *host, requests [][]byte, source int, handler func(worker int) eventHandler) clientConfig {
	return clientConfig{
		addr: h.streams, workers: r.flags.workers, inFlight: r.flags.ramp, source: source, handler: handler,
		request: func(stream int) []byte { return requests[stream] }, headOpens: !h.target.dialect().greets(),
	}
}

// serverName says in a report what was measured.
func (r *rig) serverName() string {
	switch {
	case r.flags.url != "":
		return "server at " + r.flags.url
	case r.flags.server != "":
		return "server " + r.flags.server
	}
	name := "our server, built from this repository, default settings"
	if r.flags.own.recoverable {
		name += fmt.Sprintf(", but history_size %d, history_ttl %s and force_recovery", cmp.Or(r.flags.own.wholeHistory, ownHistorySize), ownHistoryTTL)
	}
	if r.flags.own.namespace {
		name += fmt.Sprintf(", but channels %s… with history_size %d, history_ttl %s and force_recovery", recoverablePrefix, ownHistorySize, ownHistoryTTL)
	}
	if r.flags.own.wholeHistory > 0 {
		name += fmt.Sprintf(", and a resume may have all of the %d messages kept", r.flags.own.wholeHistory)
	}
	if r.flags.own.recoveryTotal > 0 {
		name += fmt.Sprintf(", and recovery_max_total %d", r.flags.own.recoveryTotal)
	}
	if r.flags.own.rsaPublicKey != "" {
		name += ", and an RSA public key"
	}
	return name
}

// explain adds the log of a server that is gone to an error.
func (r *rig) explain(err error) error {
	for _, h := range r.hosts() {
		err = h.server.explain(err)
	}
	return err
}

// close stops what newRig started.
func (r *rig) close() {
	for _, h := range r.hosts() {
		if h.server != nil {
			r.progress.say("stopping the %s", h.name)
			h.server.stop()
		}
	}
	r.progress.end()
	if err := os.RemoveAll(r.dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
}

// publishing is what publishers do.
type publishing struct {
	conns, inFlight int
	size            int // bytes of data per message
	channels        int // 0: only the target's channel
}

// publishers connects to the API of h.
func (r *rig) publishers(ctx context.Context, h *host, p publishing) (*publishers, error) {
	if err := h.target.needsAPI(); err != nil {
		return nil, err
	}
	api, apiURL, err := resolve(ctx, h.target.apiURL, r.flags.allowRemote)
	if err != nil {
		return nil, err
	}
	return newPublishers(api, apiURL, h.target, p.conns, p.inFlight, p.size, p.channels, r.flags.quiet)
}
