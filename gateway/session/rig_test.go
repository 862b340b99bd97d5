package session

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	presencememory "sluice/gateway/presence/memory"
)

// testPatience is for what takes no time unless the machine stands still.
const testPatience = time.Minute

// rig is a manager with everything below it, on one loop, whose streams are
// socket pairs.
type rig struct {
	*Manager
	agent *Agent
	wall  *steppedClock
}

// steppedClock is a wall clock that a test sets.
type steppedClock struct{ by atomic.Int64 }

func (c *steppedClock) now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

// set puts the clock so far ahead of the right time.
func (c *steppedClock) set(by time.Duration) { c.by.Store(int64(by)) }

// newRig starts one; change may be nil. p is the presence, nil for that in
// memory.
func newRig(t *testing.T, p presence.Manager, change func(*Options)) *rig {
	t.Helper()
	return newRigOn(t, brokermemory.New(brokermemory.Options{}), p, change)
}

// newRigOn is newRig over an engine that was not started, and is closed at the end.
func newRigOn(t *testing.T, engine broker.Broker, p presence.Manager, change func(*Options)) *rig {
	t.Helper()
	r := &rig{wall: &steppedClock{}}
	rules, err := channel.NewRules(channel.Config{Separators: channel.DefaultSeparators()})
	require.NoError(t, err)
	opt := Options{
		Rules: func() *channel.Rules { return rules }, now: r.wall.now,
		StaleCloseDelay: testPatience, CallTimeout: testPatience,
	}
	if change != nil {
		change(&opt)
	}
	if p == nil {
		p = presencememory.New()
	}
	turns, err := actor.NewPool(2)
	require.NoError(t, err)
	blocking, err := actor.NewPool(hub.BlockingActors + BlockingActors(1))
	require.NoError(t, err)
	group, err := loop.NewGroup(1, turns, loop.Options{Verify: true})
	require.NoError(t, err)
	h := hub.New(group, engine, turns, blocking, hub.Options{UnsubscribeAfter: time.Millisecond})
	require.NoError(t, engine.Start(h))
	r.Manager = New(group, h, engine, p, blocking, opt)
	r.agent = r.agents[0]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if stuck, ok := p.(*stuckPresence); ok {
			stuck.letGo()
		}
		r.Verify()
		r.Shutdown(ctx, 0)
		require.NoError(t, r.Idle(ctx))
		require.NoError(t, group.Drained(testPatience))
		group.Stop()
		r.Quiet()
		h.Quiet()
		require.NoError(t, engine.Close(ctx))
		turns.Release()
		blocking.Release()
	})
	return r
}

// do runs f in the turn of the loop, and waits.
func (r *rig) do(f func(a *Agent)) { r.group.Do(func(*loop.Loop) { f(r.agent) }) }

// request implements Request.
type request struct{}

func (request) Refusal(err error) []byte       { return []byte("refused: " + err.Error()) }
func (request) RefusalAttrs(error) []slog.Attr { return []slog.Attr{slog.Int("code", 42)} }
func (request) ID() string                     { return "" }
func (request) Peer() netip.Addr               { return netip.Addr{} }
func (request) Free()                          {}

// client is the far end of a stream.
type client struct {
	net.Conn
	opened chan error // what Open returned
}

// open opens a stream with grants.
func (r *rig) open(t *testing.T, id *auth.Identity, grants ...Grant) *client {
	t.Helper()
	p, err := r.Plan(&PlanRequest{Identity: id})
	require.NoError(t, err)
	p.Grants = grants
	return r.openPlan(t, p)
}

// openPlan opens a stream of a plan.
func (r *rig) openPlan(t *testing.T, p *Plan) *client {
	t.Helper()
	sock, far := pairOf(t)
	c := &client{Conn: far, opened: make(chan error, 1)}
	r.Enter()
	go func() {
		defer r.Leave()
		c.opened <- r.Open(p, &Conn{Socket: sock, Framing: codec.FramingClose, Request: request{}})
	}()
	return c
}

// pairOf makes a socket for a stream, and the client's end of it.
func pairOf(t *testing.T) (loop.Socket, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		require.NoError(t, unix.SetNonblock(fd, true))
	}
	file := os.NewFile(uintptr(fds[1]), "client")
	far, err := net.FileConn(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	t.Cleanup(func() { _ = far.Close() })
	return loop.PlainSocket(fds[0]), far
}

// expect reads until what it has read has text in it.
func (c *client) expect(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(testPatience)))
	var got []byte
	for buf := make([]byte, 4096); !strings.Contains(string(got), text); {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			require.Contains(t, string(got), text)
			return
		}
		require.NoError(t, err, "after %q", got)
	}
}

// grant is one of a channel with rules.
func grant(ch string, rules channel.Options) Grant { return newGrant(ch, &rules, auth.Override{}) }

// stuckPresence is a presence whose calls wait until they are let go.
type stuckPresence struct {
	presence.Manager
	gate chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	calls   []string
	batches int
}

// newStuckPresence returns one that the rig lets go at its end.
func newStuckPresence() *stuckPresence {
	return &stuckPresence{Manager: presencememory.New(), gate: make(chan struct{})}
}

func (p *stuckPresence) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

func (p *stuckPresence) wait(ctx context.Context, call string) error {
	p.mu.Lock()
	p.calls = append(p.calls, call)
	p.mu.Unlock()
	select {
	case <-p.gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *stuckPresence) Apply(ctx context.Context, changes []presence.Change) error {
	p.mu.Lock()
	p.batches++
	p.mu.Unlock()
	for i := range changes {
		call := "add"
		if changes[i].Left {
			call = "remove"
		}
		if err := p.wait(ctx, call); err != nil {
			return err
		}
	}
	return p.Manager.Apply(ctx, changes)
}
