package nats

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// NATS is the two connections of a node. Any goroutine.
type NATS struct {
	// Immutable after Open.
	opt   Options
	calls *Calls
	feed  *Feed
	over  sync.Once
}

// Open connects to NATS. It waits until it was reached or not, dial_timeout at most for each
// connection; what was not reached is tried again for good. It fails for options that
// Check refuses and for files that cannot be read, never because a server is down. Call Close at the
// end.
func Open(o Options) (*NATS, error) {
	if err := o.Check().Err("nats"); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	n := &NATS{opt: o}
	var err error
	if n.calls, err = newCalls(&n.opt); err != nil {
		return nil, err
	}
	if n.feed, err = newFeed(&n.opt); err != nil {
		n.calls.close()
		return nil, err
	}
	return n, nil
}

// Calls returns the connection for what is asked.
func (n *NATS) Calls() *Calls { return n.calls }

// Feed returns the connection for what is delivered.
func (n *NATS) Feed() *Feed { return n.feed }

// Prefix returns that of subjects.
func (n *NATS) Prefix() string { return n.opt.Prefix }

// Domain returns that of JetStream, "" for that of the servers.
func (n *NATS) Domain() string { return n.opt.Domain }

// Server is what a server says of itself.
type Server struct {
	Name, Version string
	MaxPayload    int64
}

// Server returns the server that calls go to, the last one if there is none now; false if
// there never was one.
func (n *NATS) Server() (s Server, ok bool) {
	at := n.calls.conn.server.Load()
	if at == nil {
		return Server{}, false
	}
	return *at, true
}

// Close ends both connections and waits for what runs on them. It may be called again.
func (n *NATS) Close() {
	n.over.Do(func() {
		n.feed.close()
		n.calls.close()
	})
}

// conn is one connection, with what is known of it. The library gives one up for good on errors that it does not
// know: then there is another one.
type conn struct {
	// Immutable after dial.
	url  string
	opts []natsgo.Option
	w    watcher

	// Guarded by mu.
	mu      sync.Mutex
	closing bool
	redials sync.WaitGroup // joined under mu

	// Atomic.
	of      atomic.Pointer[session]
	server  atomic.Pointer[Server]
	lastErr atomic.Pointer[error] // of the last try to connect, or of the loss; nil once there is a connection
	losses  atomic.Uint64
	dials   atomic.Uint64
}

// session is a connection of the library's.
type session struct {
	nc     *natsgo.Conn
	closed chan struct{}
}

// nc is the connection as the library has it, with which it may be over.
func (c *conn) nc() *natsgo.Conn { return c.of.Load().nc }

// watcher is told of a connection, by one goroutine at a time.
type watcher interface {
	// up says that there is a connection, down that there is none any more, for err if
	// known.
	up()
	down(err error)
	// complained says what the server or the library refused: a subscription (sub not nil) or
	// a subject that is in the text of err.
	complained(sub *natsgo.Subscription, err error)
	// renew subscribes to all on another connection.
	renew(nc *natsgo.Conn)
}

const (
	// pingEvery and pingsMost say when a connection that is silent is given up.
	pingEvery = 2 * time.Second
	pingsMost = 3
	// againMin and againJitter are between tries of one server.
	againMin    = 100 * time.Millisecond
	againJitter = 100 * time.Millisecond
)

// dial opens a connection that goes on trying.
func dial(o *Options, use string, w watcher) (*conn, error) {
	c := &conn{url: spaceless(o.URL), w: w}
	c.opts = []natsgo.Option{
		natsgo.Name(cmp.Or("sluice-"+o.Node, "sluice") + "-" + use), natsgo.Timeout(o.DialTimeout), natsgo.FlusherTimeout(o.WriteTimeout),
		natsgo.MaxReconnects(-1), natsgo.ReconnectWait(againMin), natsgo.ReconnectJitter(againJitter, againJitter), natsgo.ReconnectBufSize(-1),
		natsgo.RetryOnFailedConnect(true), natsgo.IgnoreAuthErrorAbort(), natsgo.PingInterval(pingEvery), natsgo.MaxPingsOutstanding(pingsMost),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) { c.lastErr.Store(&err) }),
	}
	if o.TLS != nil {
		c.opts = append(c.opts, natsgo.Secure(o.TLS))
	}
	switch {
	case o.CredentialsFile != "":
		c.opts = append(c.opts, natsgo.UserCredentials(o.CredentialsFile))
	case o.NKeySeedFile != "":
		nkey, err := natsgo.NkeyOptionFromSeed(o.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("nats: nkey_seed_file: %w", err)
		}
		c.opts = append(c.opts, nkey)
	}
	if err := c.open(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// open has the library make a connection. renew, if there was one before, subscribes on it again before anybody hears of
// it.
func (c *conn) open(renew func(nc *natsgo.Conn)) error {
	ready := make(chan struct{}) // callbacks wait until the connection is known
	met := func(*natsgo.Conn) {
		<-ready
		c.dials.Add(1)
		c.met()
		c.w.up()
	}
	s := &session{closed: make(chan struct{})}
	opts := append(slices.Clip(c.opts),
		natsgo.ConnectHandler(met),
		natsgo.ReconnectHandler(met),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			<-ready
			if err == nil {
				err = errors.New("the connection was lost")
			}
			c.lastErr.Store(&err)
			if !c.isClosing() {
				c.losses.Add(1)
			}
			c.w.down(err)
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, sub *natsgo.Subscription, err error) { <-ready; c.w.complained(sub, err) }),
		natsgo.ClosedHandler(func(nc *natsgo.Conn) { <-ready; close(s.closed); c.over(nc.LastError()) }),
	)
	nc, err := natsgo.Connect(c.url, opts...)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) { // it shows all of the URL, the password too
			err = fmt.Errorf("url: %w", of.Err)
		}
		return fmt.Errorf("nats: %w", err)
	}
	s.nc = nc
	if renew != nil {
		renew(nc) // before others subscribe on it, which would do so twice
	}
	c.of.Store(s)
	if !nc.IsConnected() {
		if err := nc.LastError(); err != nil {
			c.lastErr.CompareAndSwap(nil, &err)
		}
	} else {
		c.met() // the handler, which counts it, may come later
	}
	close(ready)
	return nil
}

// over is told that the library has given a connection up: unless that was our wish, there is to be another one.
func (c *conn) over(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.redials.Go(func() { c.again(err) })
	}
}

// again makes another connection, at the pace of reconnects.
func (c *conn) again(err error) {
	c.w.complained(nil, fmt.Errorf("the connection was given up, and is made anew: %w", cmp.Or(err, natsgo.ErrConnectionClosed)))
	for !c.isClosing() {
		time.Sleep(againMin + rand.N(againJitter)) // as long as Close waits, too
		if failed := c.open(c.w.renew); failed == nil {
			return
		}
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// spaceless lets URLs be separated by a comma and a space.
func spaceless(urls string) string { return strings.ReplaceAll(urls, " ", "") }

// met notes what is known of a connection.
func (c *conn) met() {
	c.lastErr.Store(nil)
	nc := c.nc()
	c.server.Store(&Server{Name: nc.ConnectedServerName(), Version: nc.ConnectedServerVersion(), MaxPayload: nc.MaxPayload()})
}

// state returns why there is no connection, nil if there is one.
func (c *conn) state() *Error {
	if c.nc().IsConnected() {
		return nil
	}
	err := errors.New("there is no connection")
	if last := c.lastErr.Load(); last != nil {
		err = *last
	}
	if last := c.nc().LastError(); last != nil { // what a server says while it is dialed is here alone
		err = last
	}
	return unavailable(ofDial(err), err)
}

func (c *conn) close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.redials.Wait()
	last := c.of.Load()
	last.nc.Close()
	<-last.closed
}

// subjectMost bounds the subjects that are sent: a server ends connections whose lines are longer than its
// max_control_line, 4096 unless set.
const subjectMost = 3800

// checkSubject refuses what a server would end the connection for.
func checkSubject(subject string) error {
	if len(subject) > subjectMost {
		return longSubject(len(subject))
	}
	return nil
}

// longSubject is how long a subject is that is too long.
type longSubject int

// Error implements error.
func (n longSubject) Error() string {
	return fmt.Sprintf("%d bytes, at most %d: the name is too long for NATS", int(n), subjectMost)
}

// publish sends a message.
func (c *conn) publish(m *natsgo.Msg) error {
	if err := checkSubject(m.Subject); err != nil {
		return err
	}
	return c.gap(c.nc().PublishMsg(m))
}

// gap is what an error means between two connections.
func (c *conn) gap(err error) error {
	if errors.Is(err, natsgo.ErrConnectionClosed) && !c.isClosing() {
		return natsgo.ErrDisconnected
	}
	return err
}
