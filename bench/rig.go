//go:build linux

package main

import (
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
	own     ownServer // set by the mode
	asJSON  bool
	workers int
	ramp    int
	quiet   time.Duration
}

func (f *commonFlags) register(fs *flag.FlagSet) {
	f.targetFlags.register(fs)
	fs.BoolVar(&f.asJSON, "json", false, "print JSON instead of a table")
	fs.IntVar(&f.workers, "workers", max(1, runtime.NumCPU()/4), "epoll loops of the client")
	fs.IntVar(&f.ramp, "ramp", 256, "streams connecting at a time")
	fs.DurationVar(&f.quiet, "timeout", 10*time.Second, "give up when nothing arrives for so long")
}

// rig is what a mode works with: the target, resolved, and a folder for files.
type rig struct {
	flags     *commonFlags
	dir       string
	progress  *progress
	server    *server // nil for a running one
	target    *target
	streams   netip.AddrPort
	streamURL *url.URL
}

// newRig raises the file limit to files, builds and starts the server unless a
// running one is named, and checks that the target may be loaded. close must
// be called whenever the error is nil.
func newRig(ctx context.Context, f *commonFlags, files int) (r *rig, err error) {
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
	r = &rig{flags: f, dir: dir, progress: newProgress(os.Stderr)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.target, err = f.external(); err != nil {
		return nil, err
	}
	if r.target == nil {
		if err = r.startOwn(ctx); err != nil {
			return nil, err
		}
	}
	r.streams, r.streamURL, err = resolve(ctx, r.target.streamURL, f.allowRemote)
	return r, err
}

func (r *rig) startOwn(ctx context.Context) (err error) {
	binary := r.flags.server
	if binary == "" {
		r.progress.say("building the server")
		if binary, err = buildServer(ctx, r.dir); err != nil {
			return err
		}
	}
	r.progress.say("starting the server")
	if r.server, err = startServer(ctx, binary, r.dir, r.flags.channel, r.flags.anonymous, r.flags.own); err == nil {
		r.target = r.server.target
	}
	return err
}

// newClient returns a client of the streams at addr with requests for the
// first n streams of the target.
func (r *rig) newClient(addr netip.AddrPort, n int, handler func(worker int) eventHandler) (*client, error) {
	requests := make([][]byte, n)
	for i := range requests {
		var err error
		if requests[i], err = r.target.streamRequest(r.streamURL, i); err != nil {
			return nil, err
		}
	}
	return r.newClientOf(addr, requests, 0, handler)
}

// newClientOf returns a client of the streams at addr with these requests. A
// mode that opens and closes many streams gives each client a source of its
// own (sourcesOf), because closed connections hold their ports for a minute.
func (r *rig) newClientOf(addr netip.AddrPort, requests [][]byte, source int, handler func(worker int) eventHandler) (*client, error) {
	return newClient(clientConfig{
		addr: addr, workers: r.flags.workers, inFlight: r.flags.ramp, source: source, handler: handler,
		request: func(stream int) []byte { return requests[stream] },
	})
}

// sourcesOf is how many groups of source addresses n streams leave from.
func sourcesOf(n int) int { return (n + streamsPerSource - 1) / streamsPerSource }

// serverName says in a report what was measured.
func (r *rig) serverName() string {
	switch {
	case r.server == nil:
		return "server at " + r.target.streamURL
	case r.flags.server != "":
		return "server " + r.flags.server
	}
	name := "our server, built from this repository, default settings"
	if r.flags.own.recoverable {
		name += fmt.Sprintf(", but history_size %d, history_ttl %s and force_recovery", ownHistorySize, ownHistoryTTL)
	}
	if r.flags.own.rsaPublicKey != "" {
		name += ", and an RSA public key"
	}
	return name
}

// close stops what newRig started.
func (r *rig) close() {
	if r.server != nil {
		r.progress.say("stopping the server")
		r.server.stop()
	}
	r.progress.end()
	if err := os.RemoveAll(r.dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
}

// publishers connects to the API of the rig's server; size is the payload's.
func (r *rig) publishers(ctx context.Context, f *commonFlags, conns, inFlight, size int) (*publishers, error) {
	if err := r.target.needsAPI(); err != nil {
		return nil, err
	}
	api, apiURL, err := resolve(ctx, r.target.apiURL, f.allowRemote)
	if err != nil {
		return nil, err
	}
	return newPublishers(api, apiURL, r.target, conns, inFlight, size, f.quiet)
}
