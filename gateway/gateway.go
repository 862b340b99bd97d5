package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
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
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
	"sluice/gateway/presence"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
	"sluice/gateway/sse"
)

// Version is the version of Sluice.
const Version = "0.1.0"

// Options of a [Gateway] that are not configuration.
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

// Gateway is one running server. Make it with [New], then call Start and, in
// the end, Stop.
type Gateway struct {
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
func New(cfg *config.Config, opt Options) (*Gateway, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.LogDropped == nil {
		opt.LogDropped = func() uint64 { return 0 }
	}
	g := &Gateway{
		cfg: cfg, log: opt.Log, logDropped: opt.LogDropped, verify: opt.Verify, id: session.NewID(), began: time.Now(),
		failed: make(chan error, 2), quit: make(chan struct{}),
	}
	g.bodies = newBodyRoom(cfg, g.quit)
	if err := checkSupported(cfg); err != nil {
		return nil, err
	}
	var err error
	if g.files, err = raiseFileLimit(g.log, g.loops(), usersOf(cfg)); err != nil {
		return nil, err
	}
	for _, l := range listeners(cfg) {
		t, err := newRoutes(cfg, opt.Dev, l)
		if err != nil {
			return nil, err
		}
		g.routes = append(g.routes, t)
	}
	if err := g.loadRules(cfg); err != nil {
		return nil, err
	}
	g.warnUnreachable()
	g.waiting = front.NewWaiting(g.waitingOptions())
	sseOptions, err := g.sseOptions()
	if err == nil {
		g.proxies, g.limits, err = newAddresses(cfg)
	}
	if err == nil {
		g.certs, err = g.newCertificates()
	}
	if err != nil {
		g.discard()
		return nil, err
	}
	if g.proxy, err = g.newProxy(); err != nil {
		g.discard()
		return nil, err
	}
	sseOptions.TellOrigins = opt.Dev
	sseOptions.Address, sseOptions.Front = g.clientAddress, g.cameBy
	sseOptions.Hold, sseOptions.LetGo = g.hold, func(ctx *fasthttp.RequestCtx) { front.LetGo(ctx.Conn()) }
	sseOptions.AddressKey = func(a netip.Addr) uint64 { return uint64(front.KeyOf(a)) }
	if g.proxy != nil {
		sseOptions.HookHeaders = g.proxy.Headers()
		if cfg.Client.Proxy.Connect.Enabled {
			sseOptions.Hook = g.proxy
		}
	}
	if err := g.startActors(); err != nil {
		g.discard()
		return nil, err
	}
	if g.metrics, err = g.newMetrics(); err != nil {
		g.releasePools()
		g.discard()
		return nil, fmt.Errorf("gateway: prometheus.metrics_namespace: %w", err)
	}
	if err := g.broker.Start(g.hub); err != nil {
		g.releasePools()
		g.discard()
		return nil, fmt.Errorf("gateway: cannot start the engine: %w", err)
	}
	g.sessions = session.New(g.group, g.hub, g.broker, g.presence, g.blocking, g.sessionOptions())
	if cfg.UniSSE.Enabled {
		g.sse = sse.New(g.sessions, sseOptions)
	}
	if !cfg.HTTPAPI.Disabled {
		g.api = g.newAPI(opt.Dev)
	}
	if opt.Dev {
		g.live = g.newLive()
	}
	return g, nil
}

// discard ends what New began before the actors.
func (g *Gateway) discard() {
	g.verifier.Load().Close()
	g.certs.close()
}

// loadRules makes what a reload may replace.
func (g *Gateway) loadRules(cfg *config.Config) error {
	rules, err := channel.NewRules(channelConfig(&cfg.Channel))
	if err != nil {
		return err
	}
	opt := authOptions(&cfg.Client)
	opt.Log, opt.Previous, opt.MaxFetches = g.log, g.verifier.Load(), g.files.fetches
	verifier, err := auth.NewVerifier(opt)
	if err != nil {
		return err
	}
	g.rules.Store(rules)
	g.keys.Store(auth.NewAPIKeys(auth.APIKeyOptions{Key: cfg.HTTPAPI.Key, Insecure: cfg.HTTPAPI.Insecure}))
	if old := g.verifier.Swap(verifier); old != nil {
		old.Close()
	}
	return nil
}

// Reload takes over what can change while streams are open: what package config
// has tagged live. On an error everything stays as it was. Streams that are open
// keep what they were given. What TLS files hold is looked at, too, now and not
// only within a second; what is wrong with it is logged, and the former stays in
// use. Not from two goroutines at once, and not during Stop.
func (g *Gateway) Reload(cfg *config.Config) error {
	if err := g.loadRules(cfg); err != nil {
		return err
	}
	g.hub.SetPolicy(policy(&cfg.Channel, g.rules.Load()))
	g.limits.Set(addressLimits(&cfg.Client))
	g.sessions.Set(g.sessionLive(&cfg.Client))
	if g.sse != nil {
		g.sse.Set(sseLive(&cfg.Client))
	}
	g.certs.reload()
	return nil
}

// processors is what Go may use at the start of the process: unlike the number
// of CPUs it knows of a container's share, and we have not raised it yet.
var processors = runtime.GOMAXPROCS(0)

// loops is how many loops there are.
func (g *Gateway) loops() int {
	if n := g.cfg.Node.Loops; n > 0 {
		return n
	}
	return processors
}

// startActors makes the pools, the loops and the hub. GOMAXPROCS is raised to
// two more than the loops, so that accept, API and the garbage collector always
// find a processor while every loop is busy.
func (g *Gateway) startActors() error {
	loops := g.loops()
	lanes := g.cfg.Node.Lanes
	if lanes <= 0 {
		lanes = loops
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops+2))
	var err error
	if g.turns, err = actor.NewPool(loops + lanes); err != nil {
		return err
	}
	if g.blocking, err = actor.NewPool(hub.BlockingActors + session.BlockingActors(loops)); err == nil {
		g.calls, err = actor.NewBounded(maxCalls)
	}
	if err == nil {
		g.group, err = loop.NewGroup(loops, g.turns, g.loopOptions())
	}
	if err == nil && g.cfg.Node.IOURing == "on" && g.group.RingError() != nil {
		g.group.Stop()
		err = fmt.Errorf("gateway: node.io_uring is on, but it cannot be used here (set it to auto): %w", g.group.RingError())
	}
	if err != nil {
		g.releasePools()
		return err
	}
	if err := g.group.RingError(); err != nil && g.cfg.Node.IOURing != "off" {
		g.log.Info("io_uring is not used", "reason", err)
	}
	g.broker = brokermemory.New(g.memoryOptions())
	g.presence = presencememory.New()
	g.hub = hub.New(g.group, g.broker, g.turns, g.blocking, g.hubOptions())
	return nil
}

// maxCalls is how many refresh hooks may be waited for at once.
const maxCalls = 256

func (g *Gateway) releasePools() {
	g.turns.Release()
	if g.blocking != nil {
		g.blocking.Release()
	}
	if g.calls != nil {
		g.calls.Release()
	}
}

func (g *Gateway) onPanic(v any, stack []byte) {
	g.log.Error("panic in a turn", "panic", v, "stack", string(stack))
}

// Start opens the listeners and serves. It returns once they accept.
func (g *Gateway) Start() error {
	external := g.cfg.HTTPServer.External()
	internal, separate := g.cfg.HTTPServer.Internal()
	if err := g.serve(external, g.routes[0], g.certs.external); err != nil {
		return err
	}
	if separate {
		if err := g.serve(internal, g.routes[1], g.certs.internal); err != nil {
			return err
		}
	}
	if g.files.soft > 0 {
		warnFewFiles(g.log, g.files.soft, g.files.streams, g.cfg.UniSSE.MaxStreams)
	}
	g.warnExposed(g.listeners[0].Addr(), false, separate, net.InterfaceAddrs)
	if separate {
		g.warnExposed(g.listeners[1].Addr(), true, separate, net.InterfaceAddrs)
	}
	g.watching.Go(func() { g.watchMemory(g.quit) })
	g.watching.Go(func() { g.watchMetrics(g.quit) })
	g.watching.Go(func() { g.watchClock(g.quit) })
	g.watching.Go(func() { g.sessions.Reclaim(g.quit) })
	g.ready.Store(true)
	dropPages()
	return nil
}

func (g *Gateway) serve(addr string, t *routes, certs *front.Certs) error {
	opt := g.frontOptions()
	opt.TLS = tlsConfig(certs)
	opt.Private = len(g.listeners) > 0
	ln, err := front.Listen(addr, opt)
	if err != nil {
		option := "http_server."
		if len(g.listeners) > 0 {
			option = "http_server.internal_"
		}
		return fmt.Errorf("gateway: %w", adviseListen(err, addr, option))
	}
	srv := g.newServer(g.counted(g.handler(t)), t)
	g.listeners = append(g.listeners, ln)
	g.servers = append(g.servers, srv)
	g.serving.Go(func() {
		if err := srv.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) && !g.stopping.Load() {
			g.failed <- fmt.Errorf("gateway: serving on %s ended: %w", addr, err)
		}
	})
	return nil
}

// Addr returns where the public listener is bound.
func (g *Gateway) Addr() string { return g.listeners[0].Addr().String() }

// Failed delivers an error when a listener ended without Stop.
func (g *Gateway) Failed() <-chan error { return g.failed }

// Verify panics if the tables of the parts disagree; for tests.
func (g *Gateway) Verify() { g.sessions.Verify() }

// nodeName is the name of the node for people (PROTOCOL 7.10).
func (g *Gateway) nodeName() string {
	if g.cfg.Node.Name != "" {
		return g.cfg.Node.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s_%d", host, g.cfg.HTTPServer.Port)
}
