// Package node is a server: it makes all parts, joins them and is the only package
// that knows all others. It owns New, Start, Reload and Stop, the wiring (one file
// wiring_*.go for each part: its options out of the configuration), the HTTP server
// with its table of routes and the room for bodies, the limit of open files, and
// what gives memory back. It has no logic of streams: who wants to know what a
// client sees looks into the part.
package node

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/admin"
	"sluice/gateway/api"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/cluster"
	"sluice/gateway/config"
	"sluice/gateway/console"
	"sluice/gateway/console/watch"
	"sluice/gateway/dictionary"
	"sluice/gateway/edge"
	"sluice/gateway/front"
	"sluice/gateway/front/client"
	"sluice/gateway/gate"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/presence"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/systemd"
)

// Version is the version of Sluice.
const Version = "0.1.0"

// builtFrom is the commit of a release: `make release` sets it with the linker, as what Go
// itself stamps into a program depends on the clone too (its tags). Empty: ask Go.
var builtFrom string

// Commit returns the commit that the program was built from, with "-dirty" behind it if its
// source was changed since; "" if nobody noted it.
func Commit() string {
	if info, ok := debug.ReadBuildInfo(); ok && builtFrom == "" {
		return commitOf(info)
	}
	return builtFrom
}

// commitOf returns the commit that Go has stamped into a program.
func commitOf(info *debug.BuildInfo) string {
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}

// Options of a [Node] that are not configuration.
type Options struct {
	Log *slog.Logger
	// LogDropped returns how many lines of the log were dropped, for metrics; nil
	// if nobody counts them.
	LogDropped func() uint64
	// Dev switches the live page on.
	Dev bool
	// Verify makes the loops check every byte they hand over; for tests.
	Verify bool
	// Sockets are listened on instead of what http_server says. They are the node's, from a
	// Start that did not fail or the one that did.
	Sockets systemd.Sockets
}

// Node is one running server. Make it with [New], then call Start and, in
// the end, Stop.
type Node struct {
	// Immutable after New.
	cfg        *config.Config
	log        *slog.Logger
	logDropped func() uint64
	verify     bool
	sockets    systemd.Sockets
	id         session.ID
	began      time.Time

	turns, blocking *actor.Pool
	group           *loop.Group
	hub             *hub.Hub
	broker          broker.Broker
	presence        presence.Manager
	places          cluster.Places // of users on all nodes; nil where nobody keeps them
	redis           []openRedis    // connections, in the order in which they were opened
	nats            []openNATS     // the same, to NATS
	presenceReady   func() error   // nil if presence is in this process
	cluster         *cluster.Cluster
	proxy           *proxy.Proxy   // nil without hooks
	calls           *actor.Bounded // runs refresh hooks
	sessions        *session.Manager
	sse             *sse.Server
	edge            *edge.Server    // nil without the broadcast route
	api             *api.Server     // for callers with a key, and for the console; nil without either
	tails           *sse.Server     // opens the streams of the console, maybe sse
	console         *console.Server // nil without one
	watch           *watch.Watch    // nil without a console
	live            *admin.Live
	liveKey         string // opens the live page elsewhere; only its link has it
	proxies         *client.Proxies
	hosts           lastText // that clients named
	limits          *client.Limits
	files           fileLimit
	waiting         *front.Waiting
	certs           certificates
	metrics         *metrics.Exporter
	routes          []*routes // of the listeners, the public one first

	// Immutable after Start.
	gate      *gate.Gate // nil: the HTTP servers accept
	servers   []*fasthttp.Server
	listeners []*front.Listener
	serving   sync.WaitGroup
	watching  sync.WaitGroup // of memory, metrics and clock; may be in a collection for a while
	failed    chan error     // a server ended on its own; never closed
	quit      chan struct{}  // closed by Stop
	empty     chan struct{}  // closed by Stop, when no stream is left
	abandoned bool           // it could not start, and is put away

	counts requestCounts // has a lock of its own
	bodies *bodyRoom     // has a lock of its own

	// Atomic.
	dictionaries dictionary.Store
	rules        atomic.Pointer[channel.Rules]
	verifier     atomic.Pointer[auth.Verifier]
	keys         atomic.Pointer[auth.APIKeys]
	applied      atomic.Pointer[config.Config] // of the last reload, or of the start
	reloader     atomic.Pointer[Reloader]      // nil where nobody reloads
	// lastInterval is nil until the first one is over.
	lastInterval atomic.Pointer[codec.NodeMetrics]
	ready        atomic.Bool // /ready says yes: started, and not stopping
	stopping     atomic.Bool
	requests     atomic.Int64 // being answered
}

// New makes a node from a configuration that was validated. It starts loops
// and pools; on error nothing is left behind.
func New(cfg *config.Config, opt Options) (*Node, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.LogDropped == nil {
		opt.LogDropped = func() uint64 { return 0 }
	}
	node := &Node{
		cfg: cfg, log: opt.Log, logDropped: opt.LogDropped, verify: opt.Verify, sockets: opt.Sockets, id: session.NewID(), began: time.Now(),
		failed: make(chan error, 2), quit: make(chan struct{}), empty: make(chan struct{}),
	}
	node.bodies = newBodyRoom(cfg, node.quit)
	node.applied.Store(cfg)
	if err := checkSupported(cfg, func(string) string { return "" }); err != nil {
		return nil, err
	}
	if err := node.readRules(opt.Dev); err != nil {
		return nil, err
	}
	sseOptions, err := node.readFront(opt.Dev)
	if err != nil {
		node.discard()
		return nil, err
	}
	if err := node.startActors(); err != nil {
		node.discard()
		return nil, err
	}
	if err := node.startEngine(); err != nil {
		node.releasePools()
		node.discard()
		return nil, err
	}
	node.sessions = session.New(node.group, node.hub, node.broker, node.presence, node.blocking, node.sessionOptions())
	if cfg.UniSSE.Enabled {
		node.sse = sse.New(node.sessions, sseOptions)
	}
	if cfg.Broadcast.Enabled {
		node.edge = node.newEdge()
	}
	if !cfg.HTTPAPI.Disabled || cfg.Admin.Enabled {
		node.api = node.newAPI(opt.Dev)
	}
	if cfg.Admin.Enabled {
		node.console = node.newConsole(sseOptions, opt.Dev)
	}
	if opt.Dev {
		node.live = node.newLive()
	}
	return node, nil
}

// readRules makes what needs nothing but the configuration: the share of
// descriptors, routes, rules of channels and keys. On error nothing is left.
func (node *Node) readRules(dev bool) (err error) {
	if node.files, err = raiseFileLimit(node.log, node.Loops(), usersOf(node.cfg, node.separate())); err != nil {
		return err
	}
	for _, l := range listeners(node.separate()) {
		t, err := newRoutes(node.cfg, dev, l)
		if err != nil {
			return err
		}
		node.routes = append(node.routes, t)
	}
	if err := node.loadRules(node.cfg); err != nil {
		return err
	}
	node.warnUnreachable()
	return nil
}

// readFront makes what stands before a stream: who waits, addresses, certificates
// and hooks. It returns what the endpoint needs of them. On error the caller
// discards.
func (node *Node) readFront(dev bool) (opt sse.Options, err error) {
	node.waiting = front.NewWaiting(node.waitingOptions())
	if opt, err = node.sseOptions(); err != nil {
		return opt, err
	}
	if node.proxies, node.limits, err = newAddresses(node.cfg); err != nil {
		return opt, err
	}
	if node.certs, err = node.newCertificates(); err != nil {
		return opt, err
	}
	if node.proxy, err = node.newProxy(); err != nil {
		return opt, err
	}
	opt.TellOrigins = dev
	opt.Address, opt.Front = node.clientAddress, node.cameBy
	opt.Hold, opt.LetGo = node.hold, func(ctx *fasthttp.RequestCtx) { front.LetGo(ctx.Conn()) }
	if node.proxy != nil {
		opt.HookHeaders = node.proxy.Headers()
		if node.cfg.Client.Proxy.Connect.Enabled {
			opt.Hook = node.proxy
		}
	}
	return opt, nil
}

// startEngine makes the metrics and starts the engine. On error the caller
// releases the pools and discards.
func (node *Node) startEngine() (err error) {
	if node.metrics, err = node.newMetrics(); err != nil {
		return fmt.Errorf("gateway: prometheus.metrics_namespace: %w", err)
	}
	if err := node.broker.Start(node.hub); err != nil {
		return fmt.Errorf("gateway: cannot start the engine: %w", err)
	}
	node.cluster = node.newCluster()
	return nil
}

// discard ends what New began before the actors.
func (node *Node) discard() {
	node.verifier.Load().Close()
	node.certs.close()
	node.closeConnections()
}

// Addr returns where the public listener is bound: host:port, or unix:/path.
func (node *Node) Addr() string { return addressOf(node.listeners[0].Addr()) }

// Failed delivers an error when a listener ended without Stop.
func (node *Node) Failed() <-chan error { return node.failed }

// nodeName is the name of the node for people (PROTOCOL 7.10).
func (node *Node) nodeName() string {
	if node.cfg.Node.Name != "" {
		return node.cfg.Node.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s_%d", host, node.cfg.HTTPServer.Port)
}
