// Package remotetest is an engine for the tests of those who use one: the memory engine, at
// the far end of connections that a test makes late, breaks and keeps silent. It waits for
// nothing by itself, so what it does is what the test says, also in virtual time.
//
//	server := remotetest.New(t)
//	a, b := server.Node(), server.Node() // a fleet: each is a broker.Broker
//	a.SetFaults(func(c remotetest.Call) remotetest.Fault { … })
//	mend := b.Down()
//
// Package brokertest judges it as it does the engines.
package remotetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/memory"
)

// Limit is how long a call waits whose context has no end.
const Limit = time.Second

// Server is what the nodes of a fleet have in common. It implements broker.Sink for its
// memory engine.
type Server struct {
	// Immutable after New.
	*memory.Engine

	// Guarded by mu.
	mu    sync.Mutex
	nodes []*Node
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{Engine: memory.New(memory.Options{})}
	if err := s.Start(s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Engine.Close(context.Background()) })
	return s
}

// Node returns another engine on the server.
func (s *Server) Node() *Node {
	n := &Node{
		server: s, faults: func(Call) Fault { return Works }, done: make(chan struct{}),
		channels: make(map[string]*seen),
	}
	n.wake = sync.NewCond(&n.mu)
	n.ctx, n.end = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n)
	return n
}

func (s *Server) each(f func(n *Node)) {
	s.mu.Lock()
	nodes := slices.Clone(s.nodes)
	s.mu.Unlock()
	for _, n := range nodes {
		f(n)
	}
}

// Publication implements broker.Sink.
func (s *Server) Publication(ch string, p, prev *codec.Publication, _ *broker.Credit) {
	s.each(func(n *Node) { n.push(message{kind: publication, channel: ch, pub: p, prev: prev}) })
}

// Join implements broker.Sink.
func (s *Server) Join(ch string, info *codec.ClientInfo, _ *broker.Credit) {
	s.each(func(n *Node) { n.push(message{kind: join, channel: ch, info: info}) })
}

// Leave implements broker.Sink.
func (s *Server) Leave(ch string, info *codec.ClientInfo, _ *broker.Credit) {
	s.each(func(n *Node) { n.push(message{kind: leave, channel: ch, info: info}) })
}

// Resynced implements broker.Sink: the memory engine loses sight of nothing.
func (s *Server) Resynced(string, broker.Position) {}

// Lost implements broker.Sink.
func (s *Server) Lost(string) {}

// Credit implements broker.Sink.
func (s *Server) Credit(context.Context, int) (*broker.Credit, error) { return nil, nil }

// Node is an engine of one process. It implements broker.Broker.
type Node struct {
	// Immutable after Start.
	server *Server
	sink   broker.Sink
	ctx    context.Context // the intake is over when it is done
	end    context.CancelFunc
	done   chan struct{} // closed when the reader has ended

	// Guarded by mu.
	mu       sync.Mutex
	wake     *sync.Cond
	queue    []message
	channels map[string]*seen // that are subscribed
	faults   func(Call) Fault
	calls    []Call
	down     bool
	late     int           // holds of Late and Stall: nothing is delivered
	stalled  chan struct{} // closed when calls go on; nil: they do
}

// seen is what a node knows of a channel.
type seen struct {
	base      broker.Position  // when it was subscribed; immutable
	delivered *broker.Position // of the last publication that has one, nil for none; the reader's
}

// Abilities implements broker.Broker.
func (n *Node) Abilities() broker.Abilities { return broker.Abilities{History: true, Nodes: true} }

// Start implements broker.Broker.
func (n *Node) Start(sink broker.Sink) error {
	n.sink = sink
	go n.read()
	return nil
}

// Subscribe implements broker.Broker.
func (n *Node) Subscribe(ctx context.Context, channels []string) error {
	return n.call(ctx, Call{"Subscribe", channels}, func() error {
		tops := n.server.Engine.Histories(ctx, positions(channels)) // before: a lower base only brings more
		n.mu.Lock()
		defer n.mu.Unlock()
		for i, ch := range channels {
			if n.channels[ch] == nil {
				n.channels[ch] = &seen{base: tops[i].Top}
			}
		}
		return nil
	})
}

// positions asks where channels stand.
func positions(channels []string) []broker.HistoryQuery {
	queries := make([]broker.HistoryQuery, len(channels))
	for i, ch := range channels {
		queries[i].Channel = ch
	}
	return queries
}

// Unsubscribe implements broker.Broker.
func (n *Node) Unsubscribe(ctx context.Context, channels []string) error {
	return n.call(ctx, Call{"Unsubscribe", channels}, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, ch := range channels {
			delete(n.channels, ch)
		}
		return nil
	})
}

// Publish implements broker.Broker.
func (n *Node) Publish(ctx context.Context, ch string, p *codec.Publication, opt broker.PublishOptions) (res broker.Result, err error) {
	opt.Credit = nil
	err = n.call(ctx, Call{"Publish", []string{ch}}, func() error {
		res, err = n.server.Engine.Publish(ctx, ch, p, opt)
		res.CreditTaken = false
		return err
	})
	if err != nil {
		return broker.Result{}, err
	}
	return res, nil
}

// Join implements broker.Broker.
func (n *Node) Join(ctx context.Context, ch string, info *codec.ClientInfo, credit *broker.Credit) error {
	return n.tell(ctx, Call{"Join", []string{ch}}, credit, func() error { return n.server.Engine.Join(ctx, ch, info, nil) })
}

// Leave implements broker.Broker.
func (n *Node) Leave(ctx context.Context, ch string, info *codec.ClientInfo, credit *broker.Credit) error {
	return n.tell(ctx, Call{"Leave", []string{ch}}, credit, func() error { return n.server.Engine.Leave(ctx, ch, info, nil) })
}

func (n *Node) tell(ctx context.Context, c Call, credit *broker.Credit, do func() error) error {
	err := n.call(ctx, c, do)
	if err == nil {
		credit.Release()
	}
	return err
}

// Histories implements broker.Broker.
func (n *Node) Histories(ctx context.Context, queries []broker.HistoryQuery) []broker.History {
	c := Call{Method: "Histories"}
	for i := range queries {
		c.Channels = append(c.Channels, queries[i].Channel)
	}
	var answers []broker.History
	err := n.call(ctx, c, func() error {
		answers = n.server.Engine.Histories(ctx, queries)
		return nil
	})
	if err != nil {
		answers = make([]broker.History, len(queries))
		for i := range answers {
			answers[i].Err = err
		}
		return answers
	}
	return answers
}

// RemoveHistory implements broker.Broker.
func (n *Node) RemoveHistory(ctx context.Context, ch string) error {
	return n.call(ctx, Call{"RemoveHistory", []string{ch}}, func() error { return n.server.Engine.RemoveHistory(ctx, ch) })
}

// Barrier implements broker.Broker: a marker goes through the queue.
func (n *Node) Barrier(ctx context.Context) error {
	passed := make(chan error, 1)
	err := n.call(ctx, Call{Method: "Barrier"}, func() error {
		n.push(message{kind: marker, passed: passed})
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case err = <-passed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", broker.ErrUnknown, context.Cause(ctx))
	}
}

// Ready implements broker.Broker.
func (n *Node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down || n.stalled != nil || n.ctx.Err() != nil {
		return broker.ErrUnavailable
	}
	return nil
}

// StopIntake implements broker.Broker.
func (n *Node) StopIntake(context.Context) error {
	n.end()
	n.mu.Lock()
	n.drop()
	n.wake.Broadcast()
	n.mu.Unlock()
	<-n.done
	return nil
}

// Close implements broker.Broker.
func (n *Node) Close(ctx context.Context) error {
	if n.sink == nil {
		return errors.New("remotetest: close of a node that was not started")
	}
	return n.StopIntake(ctx)
}
