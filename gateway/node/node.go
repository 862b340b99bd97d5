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
	"net"
	"net/netip"
	"os"
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
	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/presence"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// Version is the version of Sluice.
const Version = "0.1.0"

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
}

// Node is one running server. Make it with [New], then call Start and, in
// the end, Stop.
type Node struct {
	// Immutable after New.
	cfg        *config.Config
	log        *slog.Logger
	logDropped func() uint64
	verify     bool
	id         session.ID
	began      time.Time

	turns, blocking *actor.Pool
	group           *loop.Group
	hub             *hub.Hub
	broker          broker.Broker
	presence        presence.Manager
	proxy           *proxy.Proxy   // nil without hooks
	calls           *actor.Bounded // runs refresh hooks
	sessions        *session.Manager
	sse             *sse.Server
	api             *api.Server
	live            *admin.Live
	liveKey         string // opens the live page elsewhere; only its link has it
	proxies         *front.Proxies
	limits          *front.Limits
	files           fileLimit
	waiting         *front.Waiting
	certs           certificates
	metrics         *metrics.Exporter
	routes          []*routes // of the listeners, the public one first

	// Immutable after Start.
	servers   []*fasthttp.Server
	listeners []*front.Listener
	serving   sync.WaitGroup
	watching  sync.WaitGroup // of memory, metrics and clock; may be in a collection for a while
	failed    chan error     // a server ended on its own; never closed
	quit      chan struct{}  // closed by Stop

	counts requestCounts // has a lock of its own
	bodies *bodyRoom     // has a lock of its own

	// Atomic.
	rules    atomic.Pointer[channel.Rules]
	verifier atomic.Pointer[auth.Verifier]
	keys     atomic.Pointer[auth.APIKeys]
	// lastInterval is nil until the first one is over.
	lastInterval atomic.Pointer[codec.NodeMetrics]
	ready        atomic.Bool // /ready says yes: started, and not stopping
	stopping     atomic.Bool
	requests     atomic.Int64 // being answered
}

// New makes a gateway from a configuration that was validated. It starts loops
// and pools; on error nothing is left behind.
func New(cfg *config.Config, opt Options) (*Node, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.LogDropped == nil {
		opt.LogDropped = func() uint64 { return 0 }
	}
	node := &Node{
		cfg: cfg, log: opt.Log, logDropped: opt.LogDropped, verify: opt.Verify, id: session.NewID(), began: time.Now(),
		failed: make(chan error, 2), quit: make(chan struct{}),
	}
	node.bodies = newBodyRoom(cfg, node.quit)
	if err := checkSupported(cfg); err != nil {
		return nil, err
	}
	var err error
	if node.files, err = raiseFileLimit(node.log, node.Loops(), usersOf(cfg)); err != nil {
		return nil, err
	}
	for _, l := range listeners(cfg) {
		t, err := newRoutes(cfg, opt.Dev, l)
		if err != nil {
			return nil, err
		}
		node.routes = append(node.routes, t)
	}
	if err := node.loadRules(cfg); err != nil {
		return nil, err
	}
	node.warnUnreachable()
	node.waiting = front.NewWaiting(node.waitingOptions())
	sseOptions, err := node.sseOptions()
	if err == nil {
		node.proxies, node.limits, err = newAddresses(cfg)
	}
	if err == nil {
		node.certs, err = node.newCertificates()
	}
	if err != nil {
		node.discard()
		return nil, err
	}
	if node.proxy, err = node.newProxy(); err != nil {
		node.discard()
		return nil, err
	}
	sseOptions.TellOrigins = opt.Dev
	sseOptions.Address, sseOptions.Front = node.clientAddress, node.cameBy
	sseOptions.Hold, sseOptions.LetGo = node.hold, func(ctx *fasthttp.RequestCtx) { front.LetGo(ctx.Conn()) }
	sseOptions.AddressKey = func(a netip.Addr) uint64 { return uint64(front.KeyOf(a)) }
	if node.proxy != nil {
		sseOptions.HookHeaders = node.proxy.Headers()
		if cfg.Client.Proxy.Connect.Enabled {
			sseOptions.Hook = node.proxy
		}
	}
	if err := node.startActors(); err != nil {
		node.discard()
		return nil, err
	}
	if node.metrics, err = node.newMetrics(); err != nil {
		node.releasePools()
		node.discard()
		return nil, fmt.Errorf("gateway: prometheus.metrics_namespace: %w", err)
	}
	if err := node.broker.Start(node.hub); err != nil {
		node.releasePools()
		node.discard()
		return nil, fmt.Errorf("gateway: cannot start the engine: %w", err)
	}
	node.sessions = session.New(node.group, node.hub, node.broker, node.presence, node.blocking, node.sessionOptions())
	if cfg.UniSSE.Enabled {
		node.sse = sse.New(node.sessions, sseOptions)
	}
	if !cfg.HTTPAPI.Disabled {
		node.api = node.newAPI(opt.Dev)
	}
	if opt.Dev {
		node.live = node.newLive()
	}
	return node, nil
}

// discard ends what New began before the actors.
func (node *Node) discard() {
	node.verifier.Load().Close()
	node.certs.close()
}

// Addr returns where the public listener is bound.
func (node *Node) Addr() string { return node.listeners[0].Addr().String() }

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

// Failed delivers an error when a listener ended without Stop.
func (node *Node) Failed() <-chan error { return node.failed }

// Parts are what a node is made of.
type Parts struct {
	Sessions  *session.Manager
	Hub       *hub.Hub
	Group     *loop.Group
	SSE       *sse.Server // nil without the endpoint
	API       *api.Server // nil without the server API
	Limits    *front.Limits
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
		Bodies: node.bodies, HookCalls: node.files.calls, Counters: counters{node},
	}
}

// Verify panics if the tables of the parts disagree; for tests.
func (node *Node) Verify() { node.sessions.Verify() }

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
