package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"sluice/gateway/actor"
	"sluice/gateway/advice"
	"sluice/gateway/api"
	"sluice/gateway/edge"
	"sluice/gateway/front"
	"sluice/gateway/front/client"
	"sluice/gateway/front/local"
	"sluice/gateway/gate"
	"sluice/gateway/heap"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// processors is what Go may use at the start of the process: unlike the number
// of CPUs it knows of a container's share, and we have not raised it yet.
var processors = runtime.GOMAXPROCS(0)

// Loops is how many loops there are.
func (node *Node) Loops() int {
	if n := node.cfg.Node.Loops; n > 0 {
		return n
	}
	return processors
}

// startActors makes the pools, the loops and the hub. GOMAXPROCS is raised to
// two more than the loops, so that accept, API and the garbage collector always
// find a processor while every loop is busy.
func (node *Node) startActors() error {
	loops := node.Loops()
	lanes := node.cfg.Node.Lanes
	if lanes <= 0 {
		lanes = loops
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+2))
	var err error
	if node.turns, err = actor.NewPool(loops + lanes); err != nil {
		return err
	}
	if node.blocking, err = actor.NewPool(hub.BlockingActors + session.BlockingActors(loops)); err == nil {
		node.calls, err = actor.NewBounded(maxCalls)
	}
	if err == nil {
		node.group, err = loop.NewGroup(loops, node.turns, node.loopOptions())
	}
	if err == nil && node.cfg.Node.IOURing == "on" && node.group.RingError() != nil {
		node.group.Stop()
		err = fmt.Errorf("gateway: node.io_uring is on, but it cannot be used here (set it to auto): %w", node.group.RingError())
	}
	if err != nil {
		node.releasePools()
		return err
	}
	if err := node.group.RingError(); err != nil && node.cfg.Node.IOURing != "off" {
		node.log.Info("io_uring is not used", "reason", err)
	}
	if err := node.newEngines(); err != nil {
		node.group.Stop()
		node.releasePools()
		return err
	}
	node.hub = hub.New(node.group, node.broker, node.turns, node.blocking, node.hubOptions())
	return nil
}

// maxCalls is how many refresh hooks may be waited for at once.
const maxCalls = 256

func (node *Node) releasePools() {
	node.turns.Release()
	if node.blocking != nil {
		node.blocking.Release()
	}
	if node.calls != nil {
		node.calls.Release()
	}
}

func (node *Node) onPanic(v any, stack []byte) {
	node.log.Error("panic in a turn", "panic", v, "stack", string(stack))
}

// Start opens the listeners and serves. It returns once they accept. On error nothing is left
// of the node, and Stop does nothing.
func (node *Node) Start() error {
	err := node.start()
	if err != nil {
		node.abandon()
	}
	return err
}

func (node *Node) start() error {
	internal, _ := node.cfg.HTTPServer.Internal()
	separate := node.separate()
	if err := node.openGate(); err != nil {
		return err
	}
	if err := node.listen(node.sockets.Public, node.cfg.HTTPServer.External(), node.routes[0], node.certs.external); err != nil {
		return err
	}
	if separate {
		if err := node.listen(node.sockets.Internal, internal, node.routes[1], node.certs.internal); err != nil {
			return err
		}
	}
	if err := node.serve(); err != nil {
		return err
	}
	if node.files.soft > 0 {
		warnFewFiles(node.log, node.files.soft, node.files.streams, node.cfg.UniSSE.MaxStreams)
	}
	node.warnExposed(node.listeners[0].Addr(), false, separate, net.InterfaceAddrs)
	if separate {
		node.warnExposed(node.listeners[1].Addr(), true, separate, net.InterfaceAddrs)
	}
	node.watching.Go(func() { node.watchHeap(node.quit) })
	node.watching.Go(func() { node.watchMetrics(node.quit) })
	node.watching.Go(func() { node.watchClock(node.empty) })
	node.watching.Go(func() { node.sessions.Reclaim(node.quit) })
	if node.watch != nil {
		node.watching.Go(func() { node.watch.Run(node.quit) })
	}
	if node.edge != nil {
		node.watching.Go(func() { node.edge.Run(node.empty) })
	}
	node.cluster.Start()
	node.ready.Store(true)
	heap.DropPages()
	return nil
}

// separate reports whether the internal endpoints have a listener of their own.
func (node *Node) separate() bool {
	_, separate := node.cfg.HTTPServer.Internal()
	return separate || node.sockets.Internal != nil
}

// listen opens a listener, of which nobody is served yet, or takes the one that is given.
func (node *Node) listen(given net.Listener, addr string, t *routes, certs *front.Certs) error {
	opt := node.frontOptions()
	opt.TLS = tlsConfig(certs)
	opt.Private = len(node.listeners) > 0
	ln, err := (*front.Listener)(nil), error(nil)
	if given != nil {
		ln = front.Wrap(given, opt)
		node.log.Info("listening on a socket of the service manager", "address", addressOf(ln.Addr()), "internal", opt.Private)
	} else if ln, err = front.Listen(addr, opt); err != nil {
		option := "http_server."
		if len(node.listeners) > 0 {
			option = "http_server.internal_"
		}
		return fmt.Errorf("gateway: %w", adviseListen(err, addr, option))
	}
	node.listeners = append(node.listeners, ln)
	node.servers = append(node.servers, node.newServer(node.counted(node.handler(t)), t))
	return nil
}

// adviseListen adds to the error of a listener what to do.
func adviseListen(err error, addr, option string) error {
	if path, ok := local.Path(addr); ok {
		return advice.Socket(err, path, option+"address")
	}
	return advice.Listen(err, addr, option)
}

// addressOf is an address as options have it.
func addressOf(a net.Addr) string {
	if a.Network() == "unix" {
		return local.Prefix + a.String()
	}
	return a.String()
}

// serve serves the connections of the listeners.
func (node *Node) serve() error {
	for i, ln := range node.listeners {
		srv := node.servers[i]
		ended := func(err error) {
			if !errors.Is(err, net.ErrClosed) && !node.stopping.Load() {
				node.failed <- fmt.Errorf("gateway: serving on %s ended: %w", addressOf(ln.Addr()), err)
			}
		}
		if node.gate != nil {
			if err := ln.ServeOn(node.gate, srv.ServeConn, ended); err != nil {
				return err
			}
			continue
		}
		node.serving.Go(func() {
			if err := srv.Serve(ln); err != nil {
				ended(err)
			}
		})
	}
	if node.gate != nil {
		node.gate.Start()
	}
	return nil
}

// openGate makes the gate, if there is to be one and the system has what it takes.
func (node *Node) openGate() (err error) {
	if node.cfg.HTTPServer.Gate == "off" {
		return nil
	}
	node.gate, err = gate.New(node.gateOptions())
	if errors.Is(err, gate.ErrUnsupported) {
		node.log.Info("connections wait at the HTTP server", "reason", err)
		err = nil
	}
	if err != nil {
		return fmt.Errorf("gateway: no gate for connections (http_server.gate: off is the way without): %w", err)
	}
	return nil
}

// Listening is where a listener is bound, and whether it encrypts.
type Listening struct {
	Addr net.Addr
	TLS  bool
}

// Listening returns the listeners after Start, the public one first.
func (node *Node) Listening() []Listening {
	out := []Listening{{node.listeners[0].Addr(), node.certs.external != nil}}
	if len(node.listeners) > 1 {
		out = append(out, Listening{node.listeners[1].Addr(), node.certs.internal != nil})
	}
	return out
}

// Works reports whether the node goes on: the error says which loop, lane or door has had no
// turn before ctx ended. Only while the node serves, see WhileServing.
func (node *Node) Works(ctx context.Context) error {
	if err := node.hub.Turns(ctx); err != nil || node.gate == nil {
		return err
	}
	return node.gate.Turns(ctx)
}

// WhileServing runs f on a goroutine of its own, whose context ends when the last stream has:
// Stop waits for it then. After Start, before Stop.
func (node *Node) WhileServing(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	node.watching.Go(func() {
		<-node.empty
		cancel()
	})
	node.watching.Go(func() { f(ctx) })
}

// Status says in a line for people what the node is doing. Any goroutine.
func (node *Node) Status() string {
	streams := fmt.Sprintf("%d streams", loop.Sockets())
	switch {
	case node.stopping.Load():
		return "stopping, " + streams + " left"
	case !node.ready.Load():
		return "about to stop, " + streams
	}
	return streams
}

// Parts are what a node is made of.
type Parts struct {
	Sessions  *session.Manager
	Hub       *hub.Hub
	Group     *loop.Group
	SSE       *sse.Server  // nil without the endpoint
	API       *api.Server  // nil without the server API
	Edge      *edge.Server // nil without the broadcast route
	ID        string       // of the node
	Limits    *client.Limits
	Certs     []*front.Certs // those there are, the public listener's first
	Bodies    *bodyRoom
	HookCalls int // of one hook at once
	Counters  metrics.Source
	Waiting   *front.Waiting
	Listeners []*front.Listener // the public one first
}

// Parts returns the parts after Start; for tests, which count and stop what users
// cannot.
func (node *Node) Parts() Parts {
	return Parts{
		Sessions: node.sessions, Hub: node.hub, Group: node.group, SSE: node.sse, API: node.api,
		Limits: node.limits, Certs: node.certs.all(), Waiting: node.waiting, Listeners: node.listeners,
		Edge: node.edge, ID: node.id.String(), Bodies: node.bodies, HookCalls: node.files.calls, Counters: counters{node},
	}
}

// Verify panics if the tables of the parts disagree; for tests.
func (node *Node) Verify() { node.sessions.Verify() }
