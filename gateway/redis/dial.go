package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// keepAlive is how often the kernel probes an idle connection.
const keepAlive = 15 * time.Second

// dialer makes the connections of a shard, those of commands and of readers. Each dial
// resolves names, asks Sentinels and greets the server. Any goroutine.
type dialer struct {
	// Immutable.
	t target
	// seen is told what each server said of itself.
	seen    func(addr string, server Server)
	cluster topology

	// Guarded by mu.
	mu   sync.Mutex
	open map[*trackedConn]struct{} // connections of commands
	made uint64                    // how many there were
	over bool                      // there are no more
}

// trackedConn is a connection of commands, which can be closed by others than its owner.
type trackedConn struct {
	net.Conn
	d    *dialer
	addr string
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// drop closes the connections of commands, but for those to the server except: their
// owner dials again, and so asks again where to.
func (d *dialer) drop(except string) (closed int) {
	return d.dropIf(func(c *trackedConn) bool { return except == "" || c.addr != except })
}

// dropIf closes those connections of commands that are to be closed.
func (d *dialer) dropIf(closes func(c *trackedConn) bool) (closed int) {
	d.mu.Lock()
	var gone []*trackedConn
	for c := range d.open {
		if closes(c) {
			gone = append(gone, c)
		}
	}
	d.mu.Unlock()
	for _, c := range gone {
		_ = c.Close()
	}
	return len(gone)
}

// connections returns how many connections of commands there were, and how many there
// are.
func (d *dialer) connections() (made uint64, open int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.made, len(d.open)
}

// forCommands dials for rueidis: addr is the node of a Cluster that it wants; for the
// other topologies we know better.
func (d *dialer) forCommands(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.t.connect)
	defer cancel()
	var w *wire
	var err error
	if d.t.kind == clusterTarget {
		w, err = d.server(ctx, addr)
	} else {
		w, err = d.primary(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: w.Conn, d: d, addr: w.addr}
	if !d.track(c) {
		_ = w.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// track takes a new connection; false if there are to be no more.
func (d *dialer) track(c *trackedConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return false
	}
	if d.open == nil {
		d.open = make(map[*trackedConn]struct{})
	}
	d.open[c] = struct{}{}
	d.made++
	return true
}

// close closes all connections of commands, and those that are under way once they are there: rueidis keeps one that
// it has dialed while it was closed.
func (d *dialer) close() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.drop("")
}

// primary dials the server that takes writes: the one at the address, or the master
// that Sentinel names.
func (d *dialer) primary(ctx context.Context) (*wire, error) {
	addr := d.t.addrs[0]
	if d.t.kind == sentinelTarget {
		var err error
		if addr, err = d.askSentinels(ctx); err != nil {
			return nil, err
		}
	}
	w, err := d.server(ctx, addr)
	if err == nil && w.server.Replica {
		_ = w.Close()
		return nil, &dialError{ReasonReadonly, addr, errors.New("the server is a replica, which takes no writes")}
	}
	return w, err
}

// server dials one server and greets it.
func (d *dialer) server(ctx context.Context, addr string) (*wire, error) {
	w, err := d.connect(ctx, addr, d.t.tls)
	if err != nil {
		return nil, err
	}
	done := w.within(ctx)
	err = w.greet(d.t.login, d.t.resp2, d.t.db)
	if late := done(); late != nil && err == nil {
		err = late
	}
	if err == nil {
		err = d.fits(w)
	}
	if err != nil {
		_ = w.Close()
		var known *dialError
		if errors.As(err, &known) {
			return nil, err
		}
		return nil, &dialError{greetReason(err), addr, err}
	}
	if d.seen != nil {
		d.seen(addr, w.server)
	}
	return w, nil
}

// fits checks that the server is what the options say, and can what we need.
func (d *dialer) fits(w *wire) error {
	if d.t.kind != clusterTarget && w.server.Cluster {
		return &dialError{ReasonTopology, w.addr, errors.New("the server is a node of a Redis Cluster: expected cluster_address, or redis+cluster:// in address")}
	}
	if d.t.kind == clusterTarget && !w.server.Cluster && w.server.Version != "" {
		return &dialError{ReasonTopology, w.addr, errors.New("the server is not part of a Redis Cluster: expected redis:// in address")}
	}
	if v := w.server; v.Major > 0 && d.t.kind == clusterTarget && d.t.sharded && !v.AtLeast(7, 0) {
		return &dialError{ReasonVersion, w.addr, fmt.Errorf("Redis %s: sharded_pubsub needs 7.0 or later", v.Version)}
	}
	if v := w.server; v.Major > 0 && v.Major < oldestMajor {
		return &dialError{ReasonVersion, w.addr, fmt.Errorf("Redis %s: expected %d.0 or later", v.Version, oldestMajor)}
	}
	return nil
}

// greetReason returns the reason of an error of greet.
func greetReason(err error) string {
	var reply replyError
	if !errors.As(err, &reply) {
		return ReasonDial
	}
	reason, _ := ofReply(string(reply))
	if reason == ReasonReply && strings.Contains(string(reply), "AUTH") {
		reason = ReasonAuth
	}
	return reason
}

// connect dials and, with secure set, does the handshake of TLS.
func (d *dialer) connect(ctx context.Context, addr string, secure *tls.Config) (*wire, error) {
	nd := net.Dialer{KeepAlive: keepAlive}
	conn, err := nd.DialContext(ctx, d.t.network, addr)
	if err != nil {
		return nil, &dialError{ReasonDial, "", err}
	}
	if secure == nil {
		return newWire(conn, addr), nil
	}
	if secure.ServerName == "" && !secure.InsecureSkipVerify {
		secure = secure.Clone()
		secure.ServerName, _, _ = net.SplitHostPort(addr)
	}
	over := tls.Client(conn, secure)
	if err := over.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &dialError{tlsReason(err), addr, err}
	}
	return newWire(over, addr), nil
}

// ReasonTLS is the reason of a handshake that failed.
const ReasonTLS = "tls"

func tlsReason(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) {
		return ReasonTLS
	}
	return ReasonDial
}

// forReader dials a server for messages. In a Cluster every node has all of them.
func (d *dialer) forReader(ctx context.Context) (*wire, error) {
	if d.t.kind == clusterTarget {
		return d.anyMaster(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, d.t.connect)
	defer cancel()
	w, err := d.primary(ctx)
	if err == nil { // what was missed is read where the messages come from
		here := w.RemoteAddr().String()
		d.dropIf(func(c *trackedConn) bool { return c.RemoteAddr().String() != here })
	}
	return w, err
}
