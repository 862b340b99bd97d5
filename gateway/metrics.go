package gateway

import (
	"maps"
	"runtime"
	"time"

	"sluice/codec"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/loop"
	"sluice/gateway/metrics"
)

// newMetrics makes what answers scrapes and sums up for the API.
func (g *Gateway) newMetrics() (*metrics.Exporter, error) {
	return metrics.New(metrics.Options{Source: counters{g}, Namespace: g.cfg.Prometheus.MetricsNamespace})
}

// watchMetrics keeps what the API's info tells of the last interval, until done
// is closed.
func (g *Gateway) watchMetrics(done <-chan struct{}) {
	interval := g.cfg.Node.InfoMetricsAggregateInterval
	tick := time.NewTicker(interval)
	defer tick.Stop()
	sums := g.metrics.Sums()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			g.lastInterval.Store(&codec.NodeMetrics{Interval: interval.Seconds(), Items: sums.Next()})
		}
	}
}

// counters is the gateway as package metrics sees it.
type counters struct{ g *Gateway }

var _ metrics.Source = counters{}

// Loops implements metrics.Source.
func (c counters) Loops() int { return len(c.g.group.Loops) }

// Loop implements metrics.Source.
func (c counters) Loop(i int, done func(metrics.LoopState)) {
	c.g.group.Loops[i].Post(&readLoop{g: c.g, done: done})
}

// Users implements metrics.Source.
func (c counters) Users(i int, done func([]uint64)) {
	c.g.sessions.Users(c.g.group.Loops[i], done)
}

// readLoop takes the counters of a loop in its turn.
type readLoop struct {
	g    *Gateway
	done func(metrics.LoopState)
}

// Run implements loop.Task.
func (r *readLoop) Run(l *loop.Loop) {
	r.done(metrics.LoopState{
		Loop: *l.Stats(), Shard: r.g.hub.Shard(l).Stats(), Sessions: r.g.sessions.LoopStats(l),
	})
}

// Node implements metrics.Source.
func (c counters) Node() metrics.Node {
	g := c.g
	_, heldMax := g.group.Held()
	n := metrics.Node{
		Version: Version, GoVersion: runtime.Version(), Nodes: 1,
		Hub: g.hub.Stats(), HeldMax: heldMax, Sessions: g.sessions.Stats(),
		Fallbacks:    map[string]uint64{"turns": g.turns.Fallbacks(), "blocking": g.blocking.Fallbacks()},
		RefusedCalls: g.calls.Refused(), LogDropped: g.logDropped(),
	}
	for _, l := range g.group.Loops {
		n.LoopBacklog = append(n.LoopBacklog, l.Backlog())
	}
	verifier := g.verifier.Load()
	n.Tokens = metrics.Tokens{Stats: verifier.Stats(), Cached: verifier.Cached()}
	if g.proxy != nil {
		n.Connect, n.Refresh = g.proxy.ConnectStats(), g.proxy.RefreshStats()
	}
	if engine, ok := g.broker.(*brokermemory.Engine); ok {
		st := engine.Stats()
		n.Suppressed = map[string]uint64{"idempotency": st.Repeated, "version": st.Outdated}
		n.Positions = map[string]int{"published": st.Positions - st.Empty, "empty": st.Empty}
		n.Results = st.Results
		n.Forgotten = map[string]uint64{"empty_position": st.EmptyDropped, "idempotency_result": st.ResultsDropped}
	}
	n.Requests = g.counts.read()
	c.addConnects(&n)
	c.addAPI(&n)
	return n
}

// addConnects adds what came before sessions: listeners, limits, the endpoint.
func (c counters) addConnects(n *metrics.Node) {
	g := c.g
	n.Accept = make(map[string]uint64)
	for _, ln := range g.listeners {
		st := ln.Stats()
		n.Accept["accepted"] += st.Accepted
		n.Accept["accept_retried"] += st.Retries
		n.Accept["shed_no_descriptor"] += st.Shed
		n.Accept["half_open_refused"] += st.HalfOpenRefused
		n.Accept["proxy_header_refused"] += st.ProxyRefused
		n.Accept["handshake_failed"] += st.HandshakesFailed
	}
	door := g.waiting.Stats()
	n.HalfOpen, n.Idle, n.WaitingBytes = door.Half, door.Idle, door.Held
	n.ConnectsWaiting = door.Working
	n.Accept["evicted"], n.Accept["idle_refused"] = door.Evicted, door.Lasts
	if g.sse == nil {
		return
	}
	st := g.sse.Stats()
	n.ConnectTook, n.LimitRefused = st.Took, st.Shed
	n.Refused = maps.Clone(st.Refused)
	n.TicketsWaiting, n.TicketsDropped = st.Tickets.Waiting, st.Tickets.Dropped
	limits := g.limits.Stats()
	n.Limited = map[string]uint64{"streams": limits.TooManyStreams, "rate": limits.TooManyConnects, "untracked": limits.Untracked}
	n.Addresses = limits.Addresses
}

func (c counters) addAPI(n *metrics.Node) {
	if c.g.api == nil {
		return
	}
	st := c.g.api.Stats()
	n.APIRefused = st.Refused
	n.WorkBytes, n.WorkWaiting, n.WorkRefused = st.Work, st.WorkWaiting, st.WorkRefused
	n.BodyBytes, n.BodiesWaiting = c.g.bodies.held(), c.g.bodies.queued()
	for i := range st.Methods {
		n.API = append(n.API, metrics.APIMethod(st.Methods[i]))
	}
}
