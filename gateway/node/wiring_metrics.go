package node

import (
	"maps"
	"runtime"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
)

// newMetrics makes what answers scrapes and sums up for the API.
func (node *Node) newMetrics() (*metrics.Exporter, error) {
	return metrics.New(metrics.Options{Source: counters{node}, Namespace: node.cfg.Prometheus.MetricsNamespace})
}

// watchMetrics keeps what the API's info tells of the last interval, until done
// is closed.
func (node *Node) watchMetrics(done <-chan struct{}) {
	interval := node.cfg.Node.InfoMetricsAggregateInterval
	tick := time.NewTicker(interval)
	defer tick.Stop()
	sums := node.metrics.Sums()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			node.lastInterval.Store(&codec.NodeMetrics{Interval: interval.Seconds(), Items: sums.Next()})
		}
	}
}

// counters is the gateway as package metrics sees it.
type counters struct{ node *Node }

var _ metrics.Source = counters{}

// Loops implements metrics.Source.
func (c counters) Loops() int { return len(c.node.group.Loops) }

// Loop implements metrics.Source.
func (c counters) Loop(i int, done func(metrics.LoopState)) {
	c.node.group.Loops[i].Post(&readLoop{node: c.node, done: done})
}

// Users implements metrics.Source.
func (c counters) Users(i int, done func([]uint64)) {
	c.node.sessions.Users(c.node.group.Loops[i], done)
}

// readLoop takes the counters of a loop in its turn.
type readLoop struct {
	node *Node
	done func(metrics.LoopState)
}

// Run implements loop.Task.
func (r *readLoop) Run(l *loop.Loop) {
	r.done(metrics.LoopState{
		Loop: *l.Stats(), Shard: r.node.hub.Shard(l).Stats(), Sessions: r.node.sessions.LoopStats(l),
	})
}

// Node implements metrics.Source.
func (c counters) Node() metrics.Node {
	node := c.node
	_, heldMax := node.group.Held()
	n := metrics.Node{
		Version: Version, GoVersion: runtime.Version(), Cluster: node.cluster.Stats(),
		Hub: node.hub.Stats(), HeldMax: heldMax, Sessions: node.sessions.Stats(),
		Fallbacks:    map[string]uint64{"turns": node.turns.Fallbacks(), "blocking": node.blocking.Fallbacks()},
		RefusedCalls: node.calls.Refused(), LogDropped: node.logDropped(),
	}
	for _, l := range node.group.Loops {
		n.LoopBacklog = append(n.LoopBacklog, l.Backlog())
	}
	verifier := node.verifier.Load()
	n.Tokens = metrics.Tokens{Stats: verifier.Stats(), Cached: verifier.Cached()}
	if node.proxy != nil {
		n.Connect, n.Refresh = node.proxy.ConnectStats(), node.proxy.RefreshStats()
	}
	n.Requests = node.counts.read()
	c.addEngine(&n)
	c.addConnects(&n)
	c.addEdge(&n)
	c.addAPI(&n)
	return n
}

// addConnects adds what came before sessions: listeners, limits, the endpoint.
func (c counters) addConnects(n *metrics.Node) {
	node := c.node
	n.Accept = make(map[string]uint64)
	for _, ln := range node.listeners {
		st := ln.Stats()
		n.Accept["accepted"] += st.Accepted
		n.Accept["accept_retried"] += st.Retries
		n.Accept["shed_no_descriptor"] += st.Shed
		n.Accept["half_open_refused"] += st.HalfOpenRefused
		n.Accept["proxy_header_refused"] += st.ProxyRefused
		n.Accept["handshake_failed"] += st.HandshakesFailed
	}
	door := node.waiting.Stats()
	n.HalfOpen, n.Idle, n.WaitingBytes = door.Half, door.Idle, door.Held
	n.ConnectsWaiting = door.Working
	n.Accept["evicted"], n.Accept["idle_refused"], n.Accept["idle_closed"] = door.Evicted, door.Lasts, door.Older
	c.addGate(n)
	if node.sse == nil {
		return
	}
	st := node.sse.Stats()
	n.ConnectTook, n.LimitRefused = st.Took, st.Shed
	n.Refused = maps.Clone(st.Refused)
	n.TicketsWaiting, n.TicketsDropped = st.Tickets.Waiting, st.Tickets.Dropped
	limits := node.limits.Stats()
	n.Limited = map[string]uint64{"streams": limits.TooManyStreams, "rate": limits.TooManyConnects, "untracked": limits.Untracked}
	n.Addresses = limits.Addresses
}

// addGate adds what waits at the gate.
func (c counters) addGate(n *metrics.Node) {
	if c.node.gate == nil {
		return
	}
	st := c.node.gate.Stats()
	n.GateConnections = map[string]int{"fresh": st.Fresh, "head": st.Head, "idle": st.Idle, "served": st.Served - st.Queued, "queued": st.Queued}
	n.GateBytes, n.GateOpened = st.Bytes, st.Opened
	n.Accept["late"] = st.Late
	n.Fallbacks["gate"] = st.Fallbacks
}

func (c counters) addAPI(n *metrics.Node) {
	if c.node.api == nil {
		return
	}
	st := c.node.api.Stats()
	n.APIRefused, n.APIAccepted = st.Refused, st.Accepted
	n.WorkBytes, n.WorkWaiting, n.WorkRefused = st.Work, st.WorkWaiting, st.WorkRefused
	n.BodyBytes, n.BodiesWaiting = c.node.bodies.held(), c.node.bodies.queued()
	for i := range st.Methods {
		n.API = append(n.API, metrics.APIMethod(st.Methods[i]))
	}
}

// requestCounts counts HTTP requests for prometheus.instrument_http_handlers.
type requestCounts struct {
	// Guarded by mu.
	mu sync.Mutex
	n  map[metrics.Request]uint64
}

// counting counts what next answers. What nobody serves counts under one path, as do all
// channels of the broadcast route, and odd methods under one method: clients must not choose
// the labels.
func (c *requestCounts) counting(t *routes, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		r := metrics.Request{Path: "other", Method: "other", Status: ctx.Response.StatusCode()}
		switch {
		case t.ownsRaw(targetPath(ctx.Request.Header.RequestURI())):
			r.Path = t.prefix
		case r.Status != fasthttp.StatusNotFound:
			r.Path = string(ctx.Path())
		}
		switch method := string(ctx.Method()); method {
		case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPost, fasthttp.MethodPut,
			fasthttp.MethodPatch, fasthttp.MethodDelete, fasthttp.MethodOptions:
			r.Method = method
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n == nil {
			c.n = make(map[metrics.Request]uint64)
		}
		c.n[r]++
	}
}

// read returns the counts so far.
func (c *requestCounts) read() map[metrics.Request]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
