package node

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/config"
	"sluice/gateway/front"
	"sluice/gateway/front/client"
	"sluice/gateway/front/local"
	"sluice/gateway/gate"
	"sluice/gateway/loop"
	"sluice/gateway/origin"
)

// frontOptions are what all listeners have in common.
func (node *Node) frontOptions() front.Options {
	c := &node.cfg.HTTPServer
	return front.Options{
		Log: node.log, HeaderTimeout: c.HeaderTimeout, RequestTimeout: c.ReadTimeout, Waiting: node.waiting,
		Plain:   newPlainPaths(node.cfg).plain,
		Trusted: node.proxies.Trusts, ProxyProtocol: c.ProxyProtocol, ReusePort: c.ReusePort != "off",
		Socket: loop.SocketOptions{
			UserTimeout: node.cfg.Client.QueueMaxAge + userTimeoutSlack, UnsentMax: node.cfg.UniSSE.KernelUnsentMax,
		},
		Unix: local.Options{Mode: socketMode(c.UnixSocketMode), Group: c.UnixSocketGroup},
	}
}

// socketMode is that of the files of Unix sockets; what is wrong with it package config says.
func socketMode(text string) fs.FileMode {
	mode, err := local.ParseMode(text)
	if err != nil {
		return 0o600
	}
	return mode
}

// plainPaths are those of requests that take little as a rule and wait for nobody, in the
// process; true: of connects.
type plainPaths map[string]bool

func newPlainPaths(c *config.Config) plainPaths {
	return plainPaths{Root(c.UniSSE.HandlerPrefix): true, c.HTTPAPI.HandlerPrefix + "/publish": false, Root(c.Health.HandlerPrefix): false}
}

var lastEventIDs = [...][]byte{[]byte("Last-Event-ID"), []byte("last-event-id")}

// plain reports whether a request is one of those by its head: but for connects that ask for
// what was missed, which may take long. What it does not see it is told later
// (broker.Waiter): it need not be exact.
func (p plainPaths) plain(head []byte) bool {
	_, target, _ := bytes.Cut(head, []byte(" "))
	target, _, _ = bytes.Cut(target, []byte(" "))
	path, query, _ := bytes.Cut(target, []byte("?"))
	connect, ok := p[string(path)]
	if !ok || !connect {
		return ok
	}
	for _, id := range lastEventIDs {
		if bytes.Contains(head, id) {
			return false
		}
	}
	return !bytes.Contains(query, []byte("recover"))
}

// gateOptions are those of the gate of all listeners. It waits for as much of a request as
// the HTTP server takes, or for the hello of TLS behind a PROXY header.
func (node *Node) gateOptions() gate.Options {
	c := &node.cfg.HTTPServer
	return gate.Options{
		Doors: doors(node.Loops()), Workers: mostServed, WorkerIdle: idleWorker, Log: node.log,
		HeadTime: node.headTime(), IdleTime: c.IdleTimeout, HeadMax: max(c.MaxHeadSize+headSlack, helloMax),
		Runners: node.runners(),
	}
}

// runners is how many workers the gate has for short requests. With an engine outside of
// the process nearly every request waits for it, and has a worker of its own.
func (node *Node) runners() int {
	if !node.broker.Abilities().Local || node.presenceReady != nil {
		return 0
	}
	return max(processors, node.Loops())
}

// doors is how many the gate has: one per loop, but no more than are ever busy.
func doors(loops int) int { return min(loops, mostDoors) }

// headTime is how long a head may take, and a handshake.
func (node *Node) headTime() time.Duration {
	return min(node.cfg.HTTPServer.HeaderTimeout, node.cfg.HTTPServer.ReadTimeout)
}

const (
	// mostDoors accept and look through more connections than as many loops could open
	// streams on; each has descriptors.
	mostDoors = 16
	// mostServed is how many connections are served at once: all there may be.
	mostServed = 1 << 20
	// helloMax is what is waited for where TLS begins: a record behind a PROXY header.
	helloMax = 24 << 10
	// idleYoung is longer than a busy client takes to send its next request, over any way.
	idleYoung = time.Second
)

// waitingOptions bound what connections hold that are no streams.
func (node *Node) waitingOptions() front.WaitingOptions {
	c := &node.cfg.HTTPServer
	return front.WaitingOptions{
		PerAddress: c.HalfOpenLimit, IdlePerAddress: c.IdleLimit, Young: idleYoung, Bytes: int64(c.WaitingMaxBytes), Head: c.MaxHeadSize + headSlack,
		Files: node.files.Files, Others: func() int { return loop.Sockets() + max(auth.Sockets()-node.files.out, 0) },
	}
}

// hold asks whether the handler of a request may wait for others.
func (node *Node) hold(ctx *fasthttp.RequestCtx) front.Room {
	h := &ctx.Request.Header
	return front.Hold(ctx.Conn(), node.clientAddress(ctx), len(h.RequestURI())+len(h.RawHeaders()), len(ctx.Request.Body()))
}

// newAddresses makes what tells clients' addresses, and their limits.
func newAddresses(cfg *config.Config) (*client.Proxies, *client.Limits, error) {
	proxies, err := client.NewProxies(cfg.HTTPServer.TrustedProxies, cfg.HTTPServer.ForwardedHeader)
	if err != nil {
		return nil, nil, fmt.Errorf("gateway: http_server.trusted_proxies: %w", err)
	}
	return proxies, client.NewLimits(addressLimits(&cfg.Client)), nil
}

func addressLimits(c *config.Client) client.LimitOptions {
	return client.LimitOptions{Streams: c.AddressConnectionLimit, Rate: c.AddressConnectionRateLimit}
}

// clientAddress returns the address of the client behind a request.
func (node *Node) clientAddress(ctx *fasthttp.RequestCtx) netip.Addr {
	peer := netip.Addr{} // of a Unix socket: no limits, unless a trusted proxy there says whose the request is
	if tcp, ok := ctx.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr()
	}
	return node.proxies.Client(peer, &ctx.Request.Header)
}

// cameBy says how a request came here. What X-Forwarded-Host and the like say
// is read of trusted proxies only. With the PROXY protocol the peer passes on
// what others wrote: whom the header names is trusted or not, and where it names
// nobody, nobody is. Proxies that do not look into requests say nothing there.
func (node *Node) cameBy(ctx *fasthttp.RequestCtx) origin.Front {
	f := origin.Front{TLS: ctx.IsTLS()}
	if f.TLS {
		f.Scheme = "https"
	}
	c := ctx.Conn()
	if f.Trusted = node.proxies.Look() && node.proxies.Trusts(front.Peer(c)); f.Trusted && node.cfg.HTTPServer.ProxyProtocol {
		f.Trusted = front.Named(c)
	}
	if f.Trusted {
		host, scheme := node.proxies.Target(&ctx.Request.Header)
		f.Host, f.Scheme = host, scheme // the scheme of our own connection is the proxy's
	}
	if f.Host == "" {
		f.Host = node.hosts.text(ctx.Request.Header.Host())
	}
	return f
}

// lastText is the text that was asked for last: most clients name the same host.
type lastText struct {
	// Atomic.
	last atomic.Pointer[string]
}

// lastTextMax is up to how many bytes a text is kept.
const lastTextMax = 256

// text returns b as a string. Any goroutine.
func (l *lastText) text(b []byte) string {
	if last := l.last.Load(); last != nil && *last == string(b) {
		return *last
	}
	s := string(b)
	if len(s) <= lastTextMax {
		l.last.Store(&s)
	}
	return s
}

// mayHaveCome returns what cameBy may say of a request by its head: from the client,
// or from a trusted proxy if what it says stands there.
func (node *Node) mayHaveCome(h *fasthttp.RequestHeader) (fronts [2]origin.Front) {
	c := &node.cfg.HTTPServer
	own := origin.Front{Host: string(h.Host()), TLS: c.TLS.Enabled || c.InternalTLS.Enabled}
	fronts[0] = own
	if host, scheme := node.proxies.Target(h); node.proxies.Look() && (host != "" || scheme != "") {
		fronts[1] = origin.Front{Host: cmp.Or(host, own.Host), Scheme: scheme, Trusted: true, TLS: own.TLS}
	}
	return fronts
}
