package gate

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"
)

// Gate accepts connections and serves them. Make it with [New]; its methods may be called
// from any goroutine, but not by what a door calls.
type Gate struct {
	// Immutable after New.
	opt   Options
	doors []*door
	pool  *ants.PoolWithFunc
	queue queue

	// Guarded by mu.
	mu              sync.Mutex
	started, closed bool

	// Atomic.
	listeners atomic.Pointer[[]*Listener] // by their number, nil where one was closed; replaced under mu
	draining  sync.WaitGroup              // doors where something may wait that is to be drained
	served    atomic.Int64                // connections that workers have
	accepted  atomic.Uint64
	handed    atomic.Uint64
	late      atomic.Uint64
	cuts      atomic.Uint64
	failed    atomic.Uint64
	fallbacks atomic.Uint64
	panics    atomic.Uint64
}

// New makes a gate, with its doors; [Gate.Close] ends it.
func New(opt Options) (*Gate, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.HeadMax <= 0 || opt.HeadMax > MostHead {
		opt.HeadMax = MostHead
	}
	if opt.Doors < 1 || opt.Workers < 1 {
		return nil, fmt.Errorf("gate: at least one door and one worker are needed, got %d and %d", opt.Doors, opt.Workers)
	}
	g := &Gate{opt: opt}
	g.queue.gate, g.queue.most, g.queue.stuck, g.queue.still = g, opt.Runners, stuckTime, stillTime
	// So many threads may wait for a processor at once.
	g.queue.many = runtime.GOMAXPROCS(0)
	g.listeners.Store(new([]*Listener))
	for range opt.Doors {
		d, err := newDoor(g)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.doors = append(g.doors, d)
		g.draining.Add(1)
	}
	var err error
	g.pool, err = ants.NewPoolWithFunc(opt.Workers, g.run, ants.WithNonblocking(true), ants.WithExpiryDuration(opt.WorkerIdle))
	if err != nil {
		g.Close()
		return nil, fmt.Errorf("gate: cannot make a pool of %d workers: %w", opt.Workers, err)
	}
	return g, nil
}

// Start lets the doors run.
func (g *Gate) Start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started || g.closed {
		return
	}
	g.started = true
	for _, d := range g.doors {
		go d.run()
	}
}

// Drain closes what waits for a request, and what would wait for one from now on; what
// has begun to send one may end it, in time, and is served. It returns when nothing waits
// any more that is to be closed. Listeners are to be closed before: what they accept is
// closed unless its request is there at once.
func (g *Gate) Drain() {
	g.mu.Lock()
	started := g.started && !g.closed
	g.mu.Unlock()
	for _, d := range g.doors {
		d.mu.Lock()
		d.draining = true
		d.mu.Unlock()
		d.wake()
	}
	if started {
		g.draining.Wait()
	}
}

// Close ends the gate: listeners are closed, and what waits; what is served is cut, if it
// has waited before, and cannot wait any more. It returns when the doors have ended.
// Workers end when their clients leave Serve.
func (g *Gate) Close() {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.closed = true
	started := g.started
	g.mu.Unlock()
	for _, l := range *g.listeners.Load() {
		if l != nil {
			_ = l.Close()
		}
	}
	for _, d := range g.doors {
		d.mu.Lock()
		d.closed = true
		d.users++ // for waking it
		d.mu.Unlock()
		d.ring()
		d.unuse()
		if started {
			<-d.done
		} else {
			d.end()
		}
	}
	if g.pool != nil {
		g.pool.Release()
	}
}

// Turns waits until every door has gone once around from now on: it waits for events again,
// or has looked at all it had. The error is the cause of ctx, and says which has not.
func (g *Gate) Turns(ctx context.Context) error {
	g.mu.Lock()
	runs := g.started && !g.closed
	g.mu.Unlock()
	if !runs {
		return nil
	}
	for i, d := range g.doors {
		was := d.rounds.Load()
		d.wake()
		for d.rounds.Load() == was {
			select {
			case <-d.done:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("gate: door %d does not go around: %w", i, context.Cause(ctx))
			case <-time.After(turnsPoll):
			}
		}
	}
	return nil
}

// turnsPoll is how often Turns looks.
const turnsPoll = time.Millisecond

// Stats returns the counters. Any goroutine.
func (g *Gate) Stats() Stats {
	st := Stats{
		Served: int(g.served.Load()), Accepted: g.accepted.Load(), Handed: g.handed.Load(), Late: g.late.Load(),
		Cut: g.cuts.Load(), Failed: g.failed.Load(), Fallbacks: g.fallbacks.Load(), Panics: g.panics.Load(),
		Queued: g.queue.len(), Opened: g.queue.opened.Load(),
	}
	for _, d := range g.doors {
		st.Bytes += d.bytes.Load()
		d.mu.Lock()
		st.Fresh += d.lists[fresh].n
		st.Head += d.lists[head].n
		st.Idle += d.lists[idle].n
		d.mu.Unlock()
	}
	return st
}

// submit lets a worker serve a connection that counts as served, at once or when the door
// has looked at all it was told of. The door.
func (g *Gate) submit(c *Conn) {
	g.handed.Add(1)
	if g.opt.Runners == 0 || c.buf == nil || !c.client.Plain(c.buf.rest()) {
		g.start(c)
		return
	}
	c.door.todo = append(c.door.todo, c)
}

// start lets a worker run what there is to do, or a goroutine of its own if the pool
// refuses: it must not be lost, and the door must not wait.
func (g *Gate) start(what any) {
	if err := g.pool.Invoke(what); err != nil {
		g.fallbacks.Add(1)
		go g.run(what)
	}
}

// run is what a worker does.
func (g *Gate) run(what any) {
	switch v := what.(type) {
	case *Conn:
		g.work(v)
	case *queue:
		v.work()
	}
}

// work is what a worker does with a connection.
func (g *Gate) work(c *Conn) {
	defer g.served.Add(-1)
	defer c.survive()
	for again := true; again; again = c.rest() {
		c.client.Serve()
	}
}

// rest lets a connection wait that the client has left so. It reports true if the next
// request is there by now: the worker serves it.
func (c *Conn) rest() bool {
	c.mu.Lock()
	w := c.worker
	c.worker, c.waiting = nil, false // whoever uses it from here on is somebody else
	if c.state != stateServing || !c.parks {
		c.mu.Unlock()
		return false
	}
	c.state, c.parks, c.remote, c.readBy, c.writeBy = stateHeld, false, nil, 0, 0
	c.mu.Unlock()
	may := false
	if c.buf == nil {
		may = c.client.Waits()
	} else {
		may = c.client.Begins()
	}
	if !may {
		c.drop()
		return false
	}
	if !c.settle(false) {
		return false
	}
	c.servedBy(w)
	return true
}

// survive is deferred where clients are called: a panic costs the connection, and nothing
// else.
func (c *Conn) survive() {
	v := recover()
	if v == nil {
		return
	}
	g := c.door.gate
	g.panics.Add(1)
	g.opt.Log.Error("a connection was closed since its client panicked", "panic", v, "stack", string(debug.Stack()))
	c.mu.Lock()
	c.worker, c.waiting = nil, false // it ends with this
	if c.state == stateTaken || c.state == stateClosed {
		c.mu.Unlock()
		return
	}
	c.close()
	defer func() { _ = recover() }() // once is enough
	c.client.Ended()
}
