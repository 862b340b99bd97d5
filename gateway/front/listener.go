package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/gateway/front/local"
	"sluice/gateway/gate"
	"sluice/gateway/loop"
)

// Options of a [Listener]. The zero value is a plain listener without limits.
type Options struct {
	Log *slog.Logger // nil: no log
	// TLS makes every connection a TLSConn; [Certs.Config] makes a fitting
	// one. nil: no TLS.
	TLS *tls.Config
	// Trusted reports whether a peer is a proxy whose word counts; the zero Addr is
	// that of peers on Unix sockets. It is called for every connection. nil: nobody is.
	Trusted func(netip.Addr) bool
	// ProxyProtocol makes trusted peers begin their connections with a PROXY
	// header; one that does not is closed. From others it is bad HTTP.
	ProxyProtocol bool
	// Plain reports whether a request with a head takes little and waits for nobody, as far
	// as one can see by that: it may stand in a queue then ([gate.Client.Plain]). Any
	// goroutine. nil: none.
	Plain func(head []byte) bool
	// ReusePort lets other processes listen on the same port; see
	// [loop.ReusePort]. For Listen only.
	ReusePort bool
	// Socket is what the kernel is told about each connection. For Listen only.
	Socket loop.SocketOptions
	// Unix is about the file of a Unix socket. For Listen only.
	Unix local.Options
	// HeaderTimeout is how long a peer may take for its PROXY header. 0: as
	// long as the read deadline allows.
	HeaderTimeout time.Duration
	// RequestTimeout is how long a request may take from its first byte to
	// its last, whatever read deadlines are set meanwhile. 0: no limit.
	RequestTimeout time.Duration
	// Private is a listener for operations: of Files.Private places nobody else takes
	// any.
	Private bool
	// Waiting bounds what waits for its client. Trusted peers do not count for
	// their address, only whom their PROXY headers name. nil: no bounds.
	Waiting *Waiting
}

// Stats of a [Listener] count from the start.
type Stats struct {
	Accepted         uint64 // connections handed to the HTTP server
	Retries          uint64 // failures of accept that were waited out
	Shed             uint64 // connections closed for want of a descriptor
	HalfOpenRefused  uint64 // connections closed since their address had no room for one more request
	ProxyRefused     uint64 // trusted peers whose PROXY header was bad, late or missing
	HandshakesFailed uint64 // TLS handshakes that came to no end, or to a bad one
}

// Listener is a TCP or Unix listener whose Accept does not fail when the process or the
// system runs out of something: the HTTP server would stop for good on such an
// error. It waits and tries again instead. One descriptor is kept in reserve,
// so that a connection that cannot be served is closed rather than left waiting
// in the backlog.
type Listener struct {
	net.Listener

	// Immutable after Wrap.
	opt        Options
	waiting    *Waiting
	answerTime time.Duration // answerTime; less in tests

	// Owned by Accept, if there is no gate.
	reserve *os.File

	// Immutable after ServeOn.
	gated *gate.Listener // nil without a gate
	serve func(net.Conn) error
	ended func(error)

	// Closed once by Close.
	closed chan struct{}
	once   sync.Once

	// Atomic.
	accepted, retries, shed           atomic.Uint64
	halfRefused, proxyRefused, failed atomic.Uint64
	lingering                         atomic.Int64 // connections whose client is to be heard out
	short                             shortage
	out                               shortage // of descriptors, whatever the books say

	// Guarded by failing.
	failing      sync.Mutex
	backoff      time.Duration // of a gate's accept, the last one
	acceptedThen uint64        // accepted before that
}

// Listen opens a listener on host:port, for IPv4 and IPv6 where host is empty, or on
// unix:/path, see [local.Check]. Keep-alive is off: pings find dead peers.
func Listen(addr string, opt Options) (*Listener, error) {
	if path, ok := local.Path(addr); ok {
		ln, err := local.Listen(path, opt.Unix)
		if err != nil {
			return nil, fmt.Errorf("front: cannot listen on %q: %w", addr, err)
		}
		return Wrap(ln, opt), nil
	}
	lc := net.ListenConfig{KeepAlive: -1, Control: opt.control}
	lc.SetMultipathTCP(false) // its connections inherit no options
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("front: cannot listen on %q: %w", addr, err)
	}
	return Wrap(ln, opt), nil
}

// control readies the socket of a listener.
func (o *Options) control(network, address string, c syscall.RawConn) error {
	if o.ReusePort {
		if err := loop.ReusePort(network, address, c); err != nil {
			return err
		}
	}
	return o.Socket.Control(network, address, c)
}

// Wrap makes a Listener of one that is open. It belongs to the Listener now.
func Wrap(ln net.Listener, opt Options) *Listener {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Trusted == nil {
		opt.Trusted = func(netip.Addr) bool { return false }
	}
	if opt.Waiting == nil {
		opt.Waiting = NewWaiting(WaitingOptions{})
	}
	l := &Listener{Listener: ln, opt: opt, waiting: opt.Waiting, answerTime: answerTime, closed: make(chan struct{})}
	l.hold()
	return l
}

// Stats returns the counters. Any goroutine.
func (l *Listener) Stats() Stats {
	return Stats{
		Accepted: l.accepted.Load(), Retries: l.retries.Load(), Shed: l.shed.Load(),
		HalfOpenRefused: l.halfRefused.Load(), ProxyRefused: l.proxyRefused.Load(),
		HandshakesFailed: l.failed.Load(),
	}
}

// Lingering returns how many clients are to be heard out before their connections are
// closed. The HTTP server does not wait for that when it shuts down. Any goroutine.
func (l *Listener) Lingering() int { return int(l.lingering.Load()) }

// hold opens the reserve descriptor.
func (l *Listener) hold() {
	if l.reserve == nil {
		l.reserve, _ = os.Open(os.DevNull)
	}
}

// letGo closes the reserve descriptor: nothing more is accepted.
func (l *Listener) letGo() {
	if l.reserve != nil {
		_ = l.reserve.Close()
		l.reserve = nil
	}
}

// Backoff of accept.
const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
	// outBackoff is the longest without a descriptor: streams end all the time.
	outBackoff = 50 * time.Millisecond
	// shedAtOnce bounds how many connections of the backlog are closed in a row.
	shedAtOnce = 64
)

// Accept implements net.Listener. The connection is a *[Conn] or a *[TLSConn],
// of which nothing was read yet: that is up to the goroutine that serves it.
func (l *Listener) Accept() (net.Conn, error) {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		raw, err := l.Listener.Accept()
		if err == nil {
			wait = firstBackoff
			l.hold()
			l.out.ends()
			c, below := l.dress(raw)
			if l.room() {
				l.accepted.Add(1)
				return c, nil
			}
			l.tellShed()
			l.waiting.leave(below)
			_ = below.Close()
			continue
		}
		if !passing(err) {
			l.letGo()
			return nil, err
		}
		l.tellRetry(err)
		rest := wait
		if outOfDescriptors(err) {
			wait = min(wait, outBackoff)
			rest = l.withoutDescriptor(wait, l.shedOne)
		}
		select {
		case <-l.closed:
			l.letGo()
			return nil, net.ErrClosed
		case <-time.After(rest):
		}
	}
}

// tellRetry counts a failure of accept that is waited out.
func (l *Listener) tellRetry(err error) {
	if n := l.retries.Add(1); n&(n-1) == 0 { // at powers of two: not per failure
		l.opt.Log.Warn("accept failed, trying again", "error", err, "failures", n, "remedy", remedyOf(err))
	}
}

// dress puts our layers on an accepted connection; below is the lowest of them.
func (l *Listener) dress(raw net.Conn) (top net.Conn, below *Conn) {
	c := &Conn{Conn: raw, ln: l, secure: l.opt.TLS != nil}
	c.trusted = l.opt.Trusted(addrOf(raw.RemoteAddr()))
	c.header = c.trusted && l.opt.ProxyProtocol
	if l.opt.TLS == nil {
		l.waiting.enter(c, lightBytes)
		return c, c
	}
	l.waiting.enter(c, lightTLS)
	return newTLS(c), c
}

// withoutDescriptor is for when there is none left for a newcomer, whatever the books say: it
// makes room or, where newcomers have waited enough, sheds some. It returns how long to rest.
func (l *Listener) withoutDescriptor(wait time.Duration, shed func() bool) (rest time.Duration) {
	if l.waiting.evict() || !l.out.lasts(l.waiting.gone.Load()) {
		return fullPoll
	}
	for n := 0; n < shedAtOnce && shed(); n++ {
	}
	return min(wait, outBackoff)
}

// shedOne closes one connection of the backlog, and reports whether there may be more.
func (l *Listener) shedOne() bool {
	if l.reserve == nil {
		return false
	}
	_ = l.reserve.Close()
	l.reserve = nil
	defer l.hold()
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if ok {
		// Another process may have taken the connection meanwhile.
		_ = d.SetDeadline(time.Now().Add(firstBackoff))
		defer func() { _ = d.SetDeadline(time.Time{}) }()
	}
	c, err := l.Listener.Accept()
	if err != nil {
		return false
	}
	l.tellShed()
	_ = c.Close()
	return ok
}

// tellShed counts a connection that is closed without an answer, for want of
// descriptors. The log lets one such record pass in a second.
func (l *Listener) tellShed() {
	l.shed.Add(1)
	l.opt.Log.Warn("connections are closed without an answer", "reason", "descriptors",
		"detail", "as many files are open as may be, and all of them are needed", "remedy", remedyOf(syscall.EMFILE))
}

// passing reports whether accept may work again later. Everything may but what
// says that this is no listening socket (any more): accept(2) passes on errors
// of the network, of firewalls and of limits that others use up.
func passing(err error) bool {
	for _, final := range []error{net.ErrClosed, io.EOF, syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EOPNOTSUPP} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// remedyOf says what an operator can do about an accept that fails.
func remedyOf(err error) string {
	if outOfDescriptors(err) {
		return "raise the hard limit of open files (LimitNOFILE=, --ulimit nofile=, ulimit -Hn), or fs.file-max where the whole machine is out of them"
	}
	return "look at the kernel's log: memory, buffers of the network, connection tracking"
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Close implements net.Listener. Connections that were accepted stay open.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		if l.gated != nil {
			_ = l.gated.Close()
		}
	})
	return l.Listener.Close()
}

// ending reports whether Close was called: connections are open for the request at hand
// only.
func (l *Listener) ending() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}
