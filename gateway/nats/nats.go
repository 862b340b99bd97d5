package nats

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
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

// conn is one connection, with what is known of it.
type conn struct {
	// Immutable after dial.
	nc   *natsgo.Conn
	name string

	// Atomic.
	server  atomic.Pointer[Server]
	lastErr atomic.Pointer[error] // of the last try to connect, or of the loss; nil once there is a connection
	losses  atomic.Uint64
	dials   atomic.Uint64
	closing atomic.Bool // by us
	closed  chan struct{}
}

// watcher is told of a connection, by one goroutine at a time.
type watcher interface {
	// up says that there is a connection, down that there is none any more, for err if
	// known.
	up()
	down(err error)
	// complained says what the server or the library refused: a subscription (sub not nil) or
	// a subject that is in the text of err.
	complained(sub *natsgo.Subscription, err error)
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
	c := &conn{name: use, closed: make(chan struct{})}
	ready := make(chan struct{}) // callbacks wait until c.nc is there
	met := func() {
		<-ready
		c.dials.Add(1)
		c.met()
		w.up()
	}
	opts := []natsgo.Option{
		natsgo.Name(cmp.Or("sluice-"+o.Node, "sluice") + "-" + use), natsgo.Timeout(o.DialTimeout), natsgo.FlusherTimeout(o.WriteTimeout),
		natsgo.MaxReconnects(-1), natsgo.ReconnectWait(againMin), natsgo.ReconnectJitter(againJitter, againJitter), natsgo.ReconnectBufSize(-1),
		natsgo.RetryOnFailedConnect(true), natsgo.IgnoreAuthErrorAbort(), natsgo.PingInterval(pingEvery), natsgo.MaxPingsOutstanding(pingsMost),
		natsgo.ConnectHandler(func(*natsgo.Conn) { met() }),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { met() }),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) { c.lastErr.Store(&err) }),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			<-ready
			if err == nil {
				err = errors.New("the connection was lost")
			}
			c.lastErr.Store(&err)
			if !c.closing.Load() {
				c.losses.Add(1)
			}
			w.down(err)
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, sub *natsgo.Subscription, err error) { <-ready; w.complained(sub, err) }),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(c.closed) }),
	}
	if o.TLS != nil {
		opts = append(opts, natsgo.Secure(o.TLS))
	}
	switch {
	case o.CredentialsFile != "":
		opts = append(opts, natsgo.UserCredentials(o.CredentialsFile))
	case o.NKeySeedFile != "":
		nkey, err := natsgo.NkeyOptionFromSeed(o.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("nats: nkey_seed_file: %w", err)
		}
		opts = append(opts, nkey)
	}
	nc, err := natsgo.Connect(spaceless(o.URL), opts...)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) { // it shows all of the URL, the password too
			err = fmt.Errorf("url: %w", of.Err)
		}
		return nil, fmt.Errorf("nats: %w", err)
	}
	c.nc = nc
	if !nc.IsConnected() {
		if err := nc.LastError(); err != nil {
			c.lastErr.CompareAndSwap(nil, &err)
		}
	} else {
		c.met() // the handler, which counts it, may come later
	}
	close(ready)
	return c, nil
}

// spaceless lets URLs be separated by a comma and a space.
func spaceless(urls string) string { return strings.ReplaceAll(urls, " ", "") }

// met notes what is known of a connection.
func (c *conn) met() {
	c.lastErr.Store(nil)
	c.server.Store(&Server{Name: c.nc.ConnectedServerName(), Version: c.nc.ConnectedServerVersion(), MaxPayload: c.nc.MaxPayload()})
}

// state returns why there is no connection, nil if there is one.
func (c *conn) state() *Error {
	if c.nc.IsConnected() {
		return nil
	}
	err := errors.New("there is no connection")
	if last := c.lastErr.Load(); last != nil {
		err = *last
	}
	return unavailable(ofDial(err), err)
}

func (c *conn) close() {
	c.closing.Store(true)
	c.nc.Close()
	<-c.closed
}
