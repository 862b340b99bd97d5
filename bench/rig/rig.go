//go:build linux

package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"

	"sluice/bench/load"
	"sluice/bench/proc"
)

// Host is a server under measurement, and where it is.
type Host struct {
	Name      string
	Server    *server // nil for a running one
	Target    *load.Target
	Streams   netip.AddrPort
	StreamURL *url.URL
}

// resolve finds the address of the streams.
func (h *Host) resolve(ctx context.Context, allowRemote bool) (err error) {
	h.Streams, h.StreamURL, err = load.Resolve(ctx, h.Target.StreamURL, allowRemote)
	return err
}

// Rig is what a mode works with: our server or the running one, its peers, and
// a folder for files.
type Rig struct {
	Host
	Flags    *CommonFlags
	files    int
	Dir      string
	Progress *progress
	Peers    []*Host
	Redis    *Redis // nil unless OwnServer.OnRedis
	binary   string // of our server
}

// OurSide is what our server, or the running one, is called in tables.
const OurSide = "server"

// New raises the file limit to files, builds and starts the server unless a
// running one is named, and its peers, and checks that the targets may be
// loaded. Close must be called whenever the error is nil.
func New(ctx context.Context, f *CommonFlags, files int) (r *Rig, err error) {
	if r, err = NewEmpty(f, files); err != nil {
		return nil, err
	}
	if err = r.start(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// With lets run work with a new rig, and closes that behind it. An error of
// run has the log of a server that is gone.
func With[R any](ctx context.Context, f *CommonFlags, files int, run func(r *Rig) (R, error)) (result R, err error) {
	r, err := New(ctx, f, files)
	if err != nil {
		return result, err
	}
	defer r.Close()
	result, err = run(r)
	if ctx.Err() == nil {
		err = r.Explain(err)
	}
	return result, err
}

// start starts the servers, and finds them.
func (r *Rig) start(ctx context.Context) (err error) {
	if r.Target, err = r.Flags.external(); err != nil {
		return err
	}
	if r.Target == nil {
		if err = r.startOwn(ctx); err != nil {
			return err
		}
	}
	if err = r.resolve(ctx, r.Flags.AllowRemote); err != nil {
		return err
	}
	return r.startPeers(ctx)
}

// NewEmpty is a rig without servers.
func NewEmpty(f *CommonFlags, files int) (*Rig, error) {
	if f.Workers < 1 || f.Ramp < 1 || f.Quiet <= 0 {
		return nil, errors.New("bench: -workers, -ramp and -timeout should be above zero")
	}
	if err := proc.RaiseFileLimit(files); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return &Rig{Host: Host{Name: OurSide}, Flags: f, files: files, Dir: dir, Progress: newProgress(os.Stderr)}, nil
}

// Hosts are all servers, ours first.
func (r *Rig) Hosts() []*Host { return append([]*Host{&r.Host}, r.Peers...) }

func (r *Rig) startOwn(ctx context.Context) (err error) {
	binary := cmp.Or(r.Flags.Server, r.Flags.Binary)
	if binary == "" {
		r.Progress.Say("building the server")
		if binary, err = BuildServer(ctx, r.Dir); err != nil {
			return err
		}
	}
	if wish := r.Flags.Own.RecoveryWish; wish > 0 && knows(ctx, binary, "uni_sse.recovery_max_total") {
		r.Flags.Own.RecoveryTotal = wish
	}
	if r.binary = binary; r.Flags.Own.OnRedis {
		r.Progress.Say("starting redis-server")
		if r.Redis, err = StartRedis(ctx, r.Dir); err != nil {
			return err
		}
	}
	r.Progress.Say("starting the server")
	if r.Server, err = r.startNode(ctx, r.binary, r.Dir, r.Flags.Own); err == nil {
		r.Target = r.Server.target
	}
	return err
}

// startNode starts a server of ours, whose program is binary and whose files are in dir.
func (r *Rig) startNode(ctx context.Context, binary, dir string, own OwnServer) (*server, error) {
	if own.OnRedis {
		own.redis = r.Redis.Addr()
	}
	return startServer(ctx, binary, dir, r.Flags.Channel, r.Flags.Anonymous, own)
}

// AddNode starts one more server of ours, as a peer. Only where New started ours.
func (r *Rig) AddNode(ctx context.Context, name string, own OwnServer) (*Host, error) {
	return r.addNode(ctx, r.binary, name, own)
}

// addNode starts a server of ours, whose program is binary, as a peer.
func (r *Rig) addNode(ctx context.Context, binary, name string, own OwnServer) (*Host, error) {
	r.Progress.Say("starting the server: %s", name)
	dir := filepath.Join(r.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s, err := r.startNode(ctx, binary, dir, own)
	if err := r.addPeer(ctx, name, s, err); err != nil {
		return nil, err
	}
	return r.Peers[len(r.Peers)-1], nil
}

// Find is a host of a target that others started.
func (r *Rig) Find(ctx context.Context, name string, t *load.Target) (*Host, error) {
	h := &Host{Name: name, Target: t}
	return h, h.resolve(ctx, r.Flags.AllowRemote)
}

// On is the same host, with another channel as the target's.
func (h *Host) On(channel string) *Host {
	host, target := *h, *h.Target
	target.Channel, host.Target = channel, &target
	return &host
}

// NewClient returns a client of h with requests for its first n streams.
func (r *Rig) NewClient(h *Host, n int, handler func(worker int) load.Handler) (*load.Client, error) {
	requests, err := h.Requests(n)
	if err != nil {
		return nil, err
	}
	return r.NewClientOf(h, requests, 0, handler)
}

// Requests are those of the first n streams, all on the target's channel.
func (h *Host) Requests(n int) (requests [][]byte, err error) {
	requests = make([][]byte, n)
	for i := range requests {
		if requests[i], err = h.Target.StreamRequest(h.StreamURL, i); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// RequestOn is the request of the n-th stream, on other channels than the
// target's.
func (h *Host) RequestOn(n int, channels ...string) ([]byte, error) {
	token, err := h.Target.Token(n)
	if err != nil {
		return nil, err
	}
	return h.Target.Dialect().Subscribe(h.StreamURL, channels, token, "")
}

// NewClientOf returns a client of h with these requests. A mode that opens and
// closes many streams gives each client a source of its own (load.SourcesOf),
// because closed connections hold their ports for a minute.
func (r *Rig) NewClientOf(h *Host, requests [][]byte, source int, handler func(worker int) load.Handler) (*load.Client, error) {
	return load.New(r.ClientConfig(h, requests, source, handler))
}

// ClientConfig is what NewClientOf makes a client of, for modes that change it.
func (r *Rig) ClientConfig(h *Host, requests [][]byte, source int, handler func(worker int) load.Handler) load.Config {
	return load.Config{
		Addr: h.Streams, Workers: r.Flags.Workers, InFlight: r.Flags.Ramp, Source: source, Handler: handler,
		Request: func(stream int) []byte { return requests[stream] }, HeadOpens: !h.Target.Dialect().Greets(),
	}
}

// serverName says in a report what was measured.
func (r *Rig) serverName() string {
	switch {
	case r.Flags.URL != "":
		return "server at " + r.Flags.URL
	case r.Flags.Server != "":
		return "server " + r.Flags.Server
	}
	name := "our server, built from this repository, default settings"
	if r.Flags.Own.Recoverable {
		name += fmt.Sprintf(", but history_size %d, history_ttl %s and force_recovery", cmp.Or(r.Flags.Own.WholeHistory, ownHistorySize), ownHistoryTTL)
	}
	if r.Flags.Own.Namespace {
		name += fmt.Sprintf(", but channels %s… with history_size %d, history_ttl %s and force_recovery", RecoverablePrefix, ownHistorySize, ownHistoryTTL)
	}
	if r.Flags.Own.WholeHistory > 0 {
		name += fmt.Sprintf(", and a resume may have all of the %d messages kept", r.Flags.Own.WholeHistory)
	}
	if r.Flags.Own.RecoveryTotal > 0 {
		name += fmt.Sprintf(", and recovery_max_total %d", r.Flags.Own.RecoveryTotal)
	}
	if r.Flags.Own.Waiting {
		name += ", but out of reach limits and deadlines of connections that wait for their client"
	}
	if r.Flags.Own.RSAPublicKey != "" {
		name += ", and an RSA public key"
	}
	return name
}

// Explain adds the log of a server that is gone to an error.
func (r *Rig) Explain(err error) error {
	for _, h := range r.Hosts() {
		err = h.Server.explain(err)
	}
	return err
}

// Close stops what New started.
func (r *Rig) Close() {
	for _, h := range r.Hosts() {
		if h.Server != nil {
			r.Progress.Say("stopping the %s", h.Name)
			h.Server.stop()
		}
	}
	if r.Redis != nil {
		r.Redis.Stop()
	}
	r.Progress.end()
	if err := os.RemoveAll(r.Dir); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
}

// Publishing is what publishers do.
type Publishing struct {
	Conns, InFlight int
	Size            int // bytes of data per message
	Channels        int // 0: only the target's channel
}

// Publishers connects to the API of h.
func (r *Rig) Publishers(ctx context.Context, h *Host, p Publishing) (*load.Publishers, error) {
	if err := h.Target.NeedsAPI(); err != nil {
		return nil, err
	}
	api, apiURL, err := load.Resolve(ctx, h.Target.APIURL, r.Flags.AllowRemote)
	if err != nil {
		return nil, err
	}
	return load.NewPublishers(api, apiURL, h.Target, p.Conns, p.InFlight, p.Size, p.Channels, r.Flags.Quiet)
}
