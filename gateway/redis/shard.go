package redis

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// mostWaiting is how many callers a shard has at once; further ones are refused.
	mostWaiting = 16 << 10
	// mostUnderWay is how many commands, or pipelines, to one server are with rueidis
	// at once. Why: its queue has 1,024 places, and who finds none waits without a
	// deadline.
	mostUnderWay = 1000

	connBuffer = 128 << 10

	// pingAfter is how long a connection is silent before rueidis looks whether it
	// lives.
	pingAfter = time.Second
)

// Shard is one of the servers, Sentinel masters or Clusters over which channels are
// spread. Any goroutine.
type Shard struct {
	// Immutable after newShard.
	name    string
	t       target
	keys    Keys
	sharded bool
	marker  string // channel of our markers
	// probeEvery is the pace of readers' markers.
	probeEvery time.Duration
	dial       *dialer
	gate       *gate
	log        *slog.Logger
	tried      chan struct{} // closed after the first attempt to connect
	closed     chan struct{}
	done       sync.WaitGroup
	place      chan struct{} // of commands under way; not of a Cluster

	// Atomic.
	client   atomic.Pointer[rueidis.Client]
	server   atomic.Pointer[Server]
	waiting  atomic.Int64
	underWay atomic.Int64
	placesOf sync.Map // the same of a Cluster: chan struct{} by the address of a server
	advised  sync.Map // when the log last said what to do: time.Time by what about
	counts   counts

	batches batches

	// Guarded by mu.
	mu      sync.Mutex
	readers map[*Reader]struct{}
	over    bool
}

// newShard makes a shard and starts to connect it.
func newShard(index int, t target, o *Options) *Shard {
	s := &Shard{
		name: strconv.Itoa(index) + " " + t.name, t: t,
		keys:    newKeys(o.Prefix, t.kind == clusterTarget, o.LegacyClusterChannels),
		sharded: t.kind == clusterTarget && t.sharded,
		closed:  make(chan struct{}),
		tried:   make(chan struct{}), readers: make(map[*Reader]struct{}),
		place: make(chan struct{}, mostUnderWay),
	}
	s.gate = newGate(s.closed)
	s.batches.s = s
	s.log = o.Log.With("shard", s.name)
	s.marker = s.keys.Own("marker." + o.Node)
	s.probeEvery = o.ProbeInterval
	s.dial = &dialer{t: t, seen: func(addr string, server Server) {
		s.server.Store(&server)
		s.log.Debug("redis: connected", "address", addr, "version", server.Version, "resp", server.Proto)
	}}
	s.done.Go(s.watch)
	return s
}

// Name returns index and address of the shard, without secrets.
func (s *Shard) Name() string { return s.name }

// Keys returns how keys and channels are named on the shard.
func (s *Shard) Keys() Keys { return s.keys }

// Cluster reports whether the shard is a Redis Cluster.
func (s *Shard) Cluster() bool { return s.t.kind == clusterTarget }

// Fixed reports whether the shard is the server that its address names: neither Sentinels
// nor a Cluster say which one it is.
func (s *Shard) Fixed() bool { return s.t.kind == serverTarget }

// Sharded reports whether readers use SSUBSCRIBE, so that publishers need SPUBLISH.
func (s *Shard) Sharded() bool { return s.sharded }

// Server returns what the latest server that was connected to said of itself, false
// before there was one.
func (s *Shard) Server() (Server, bool) {
	if v := s.server.Load(); v != nil {
		return *v, true
	}
	return Server{}, false
}

// Ready returns why commands are not executed now, nil if they are.
func (s *Shard) Ready() error {
	_, err := s.gate.state()
	if err == nil {
		return nil
	}
	return s.notReached(err)
}

// Do runs one command. While the server is certainly not reached it waits and tries
// again, until ctx ends, or the io_timeout: ErrUnavailable. When the answer does not
// come in time, or the connection breaks: ErrUnknown, unless the command may be run
// again.
func (s *Shard) Do(ctx context.Context, c Cmd) Reply {
	cs, out := [1]Cmd{c}, [1]Reply{}
	s.run(&attempts{s: s, ctx: ctx, cs: cs[:], out: out[:]}, s.t.io)
	return out[0]
}

// DoBatched is Do for small commands with small replies that come from many callers: those
// of a moment go together and wait for each other, which takes a fraction of the CPU. wait
// bounds it besides ctx and the io_timeout, and costs less than a ctx of its own. What
// waits still when the time is over is not sent any more: ErrUnavailable. In a Cluster it
// is Do: masters must not wait for each other.
func (s *Shard) DoBatched(ctx context.Context, wait time.Duration, c Cmd) Reply {
	l := lones.Get().(*lone)
	l.cs[0] = c
	l.a = attempts{s: s, ctx: ctx, cs: l.cs[:], out: l.out[:], batched: !s.Cluster(), spare: &l.job}
	s.run(&l.a, min(wait, s.t.io))
	reply := l.out[0]
	if reply.err == nil && l.a.sends == 1 {
		l.put()
	}
	return reply
}

// DoMulti sends commands at once. Those of one key are executed in their order. Each
// has a reply, or an error, of its own, also one that cannot be a command; those that
// certainly were not executed are tried again as Do does.
func (s *Shard) DoMulti(ctx context.Context, cs ...Cmd) []Reply {
	out := make([]Reply, len(cs))
	if len(cs) > 0 {
		s.run(&attempts{s: s, ctx: ctx, cs: append([]Cmd(nil), cs...), out: out}, s.t.io)
	}
	return out
}

// run runs the commands of a until each has its reply, or wait is over. It may change them.
func (s *Shard) run(a *attempts, wait time.Duration) {
	if !a.checked() {
		return
	}
	s.counts.commands.Add(uint64(len(a.cs)))
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > mostWaiting {
		a.rest(s.unavailable(ReasonBusy, errors.New("too many callers wait for Redis")))
		return
	}
	started := time.Now()
	timer := timers.Get().(*time.Timer)
	timer.Reset(wait)
	defer func() {
		timer.Stop()
		timers.Put(timer)
		s.counts.latency.Add(time.Since(started))
	}()
	a.late = timer.C
	a.run()
}

// checked gives those that cannot be commands their error, and reports whether others are
// left.
func (a *attempts) checked() bool {
	wrong := 0
	for i := range a.cs {
		if err := a.cs[i].check(a.s.Cluster()); err != nil {
			a.out[i] = Reply{err: &Error{Kind: ErrRefused, Reason: ReasonReply, Shard: a.s.name, Err: err}}
			wrong++
		}
	}
	if wrong == 0 {
		return true
	}
	a.left = make([]int, 0, len(a.cs)-wrong)
	for i := range a.out {
		if a.out[i].err == nil {
			a.left = append(a.left, i)
		}
	}
	return len(a.left) > 0
}

var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// notReached makes an Error of why a shard is not reached.
func (s *Shard) notReached(err error) *Error {
	if errors.Is(err, errClosed) {
		return s.unavailable(ReasonClosed, err)
	}
	var known *Error
	if errors.As(err, &known) {
		return s.unavailable(known.Reason, known.Err)
	}
	return s.unavailable(ReasonDial, err)
}

// use returns the client of rueidis, nil before there is one.
func (s *Shard) use() rueidis.Client {
	if c := s.client.Load(); c != nil {
		return *c
	}
	return nil
}

// open makes the client of rueidis. For a Cluster it dials.
func (s *Shard) open() (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress:   s.t.addrs,
		DialCtxFn:     s.dialFor,
		Username:      s.t.user,
		Password:      s.t.password,
		ClientName:    s.t.client,
		ClientSetInfo: rueidis.DisableClientSetInfo,
		SelectDB:      s.t.db,
		AlwaysRESP2:   s.t.resp2,
		DisableRetry:  true, // which errors may be tried again is decided in attempts
		DisableCache:  true,
		// One connection to each server: the more share it, the fewer system calls.
		PipelineMultiplex: -1,
		BlockingPipeline:  -1,
		ConnWriteTimeout:  s.t.io,
		// Of each connection to each node.
		ReadBufferEachConn: connBuffer, WriteBufferEachConn: connBuffer,
		ForceSingleClient: s.t.kind != clusterTarget,
	}
	o.Dialer.Timeout, o.Dialer.KeepAlive = s.t.connect, pingAfter
	o.ClusterOption.ShardsRefreshInterval = refreshEvery
	o.ClusterOption.MaxMovedRedirections = 8
	if s.t.kind != clusterTarget {
		o.InitAddress = s.t.addrs[:1] // a name; our dialer knows where
	}
	return rueidis.NewClient(o)
}

// close ends the shard: its readers, then its connections. Callers get an error.
func (s *Shard) close() {
	s.mu.Lock()
	readers := make([]*Reader, 0, len(s.readers))
	for r := range s.readers {
		readers = append(readers, r)
	}
	already := s.over
	s.over = true
	s.mu.Unlock()
	for _, r := range readers {
		r.Close()
	}
	if already {
		return
	}
	close(s.closed)
	s.done.Wait()
	if client := s.use(); client != nil {
		client.Close()
	}
	s.dial.close()
}
