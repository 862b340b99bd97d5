// Package tcpproxy is the way to a server on which connections go wrong: they are cut, also in mid-command, refused, stalled,
// unanswered, late. For tests only; functions that take a testing.TB fail that test.
package tcpproxy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
)

// Proxy forwards TCP connections to a server, and is where they go wrong.
type Proxy struct {
	// Immutable after New.
	Addr   string // where it listens
	Port   int
	target string
	done   sync.WaitGroup

	// Guarded by mu; turned tells of changes of what pumps wait for.
	mu       sync.Mutex
	turned   *sync.Cond
	listener net.Listener // nil while it refuses
	pairs    []*pair      // in the order of their beginning
	plan     func() (d Direction, n int64)
	stalled  bool
	muted    bool
	delay    time.Duration
	total    int
	cut      int
	closed   bool
}

// Direction is that of bytes.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// pair is a connection through the proxy. All but the ends is guarded by the proxy's mu.
type pair struct {
	ends [2]net.Conn // by the direction they take bytes of: the server's, the client's
	left [2]int64    // bytes until the cut; below 0: none is due
	lost bool        // some of its bytes were dropped
	over bool
}

// New listens on a free port and forwards to target, host:port or the path of a Unix socket, until the test ends.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	port := testkit.FreePort(t)
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", port), Port: port, target: target}
	p.turned = sync.NewCond(&p.mu)
	p.Refuse(t, false)
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
	}
	p.mu.Unlock()
	p.Cut()
	p.done.Wait()
}

// Cut resets all connections and returns how many those were.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	pairs := p.pairs
	p.mu.Unlock()
	for _, c := range pairs {
		for _, end := range c.ends {
			if tcp, ok := end.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		p.end(c)
	}
	return len(pairs)
}

// CutAfter cuts each connection, those that are open and those to come, once n bytes more have passed in a direction. With
// n < 0 none is cut any more.
func (p *Proxy) CutAfter(d Direction, n int64) {
	p.cutBy(func() (Direction, int64) { return d, n })
}

// CutRandomly cuts each connection after 1 … most bytes more, in the one direction or the other: the seed says where. It is
// undone by CutAfter(ToServer, -1).
func (p *Proxy) CutRandomly(seed uint64, most int64) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	p.cutBy(func() (Direction, int64) { return Direction(rnd.IntN(2)), 1 + rnd.Int64N(most) })
}

func (p *Proxy) cutBy(plan func() (Direction, int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	for _, c := range p.pairs {
		c.plan(plan)
	}
}

// plan says when the connection is cut. Caller holds mu of the proxy.
func (c *pair) plan(plan func() (Direction, int64)) {
	c.left = [2]int64{-1, -1}
	if plan != nil {
		d, n := plan()
		c.left[d] = n
	}
}

// Refuse stops listening, or begins again at the same port. Open connections stay.
func (p *Proxy) Refuse(t testing.TB, refuse bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if refuse == (p.listener == nil) || p.closed {
		return
	}
	if refuse {
		_ = p.listener.Close()
		p.listener = nil
		return
	}
	listener, err := net.Listen("tcp", p.Addr)
	if err != nil {
		t.Fatalf("redisrig: proxy: %v", err)
	}
	p.listener = listener
	p.done.Go(func() { p.accept(listener) })
}

// Stall holds back all bytes, in both directions, until it is called with false. New connections are taken.
func (p *Proxy) Stall(stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = stall
	p.turned.Broadcast()
}

// Mute drops what servers answer. Called with false it cuts the connections that lost something.
func (p *Proxy) Mute(mute bool) {
	p.mu.Lock()
	p.muted = mute
	var lost []*pair
	for _, c := range p.pairs {
		if c.lost && !mute {
			lost = append(lost, c)
		}
	}
	p.mu.Unlock()
	for _, c := range lost {
		p.end(c)
	}
}

// Delay lets bytes pass d after they came.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Counts returns how many connections are open, how many there were in all, and how many were cut by plan.
func (p *Proxy) Counts() (open, total, cut int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs), p.total, p.cut
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		p.done.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	network := "tcp"
	if strings.HasPrefix(p.target, "/") {
		network = "unix"
	}
	server, err := net.DialTimeout(network, p.target, child.Patience)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &pair{ends: [2]net.Conn{ToServer: server, ToClient: client}}
	p.mu.Lock()
	c.plan(p.plan)
	closed := p.closed
	if !closed {
		p.pairs = append(p.pairs, c)
		p.total++
	}
	p.mu.Unlock()
	if closed {
		_, _ = client.Close(), server.Close()
		return
	}
	p.done.Go(func() { p.pump(c, ToServer) })
	p.pump(c, ToClient)
}

// pump forwards bytes of a direction until the connection ends.
func (p *Proxy) pump(c *pair, d Direction) {
	defer p.end(c)
	buf := make([]byte, 32<<10)
	for {
		n, err := c.ends[1-d].Read(buf)
		if n == 0 && err != nil {
			return
		}
		due, cut := p.pass(c, d, n)
		if due > 0 {
			if _, err := c.ends[d].Write(buf[:due]); err != nil {
				return
			}
		}
		if cut || err != nil {
			return
		}
	}
}

// pass waits until n bytes may go on and says how many of them do, and whether that is the end.
func (p *Proxy) pass(c *pair, d Direction, n int) (due int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delay := p.delay; delay > 0 {
		p.mu.Unlock()
		time.Sleep(delay)
		p.mu.Lock()
	}
	for p.stalled && !c.over {
		p.turned.Wait()
	}
	if p.muted && d == ToClient {
		c.lost = true
		return 0, c.over
	}
	if left := c.left[d]; left >= 0 {
		if int64(n) >= left {
			p.cut++
			return int(left), true
		}
		c.left[d] = left - int64(n)
	}
	return n, c.over
}

// end closes both ends of a connection.
func (p *Proxy) end(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.over {
		return
	}
	c.over = true
	for i, other := range p.pairs {
		if other == c {
			p.pairs = append(append([]*pair{}, p.pairs[:i]...), p.pairs[i+1:]...)
			break
		}
	}
	p.turned.Broadcast()
	_, _ = c.ends[0].Close(), c.ends[1].Close()
}
