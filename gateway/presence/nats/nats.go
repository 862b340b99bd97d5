// Package nats keeps presence in a key-value bucket of NATS JetStream, and the places of users on all
// nodes as well (places.go).
//
// # How it stands there
//
// A bucket is the stream KV_sluice_<prefix> in memory, made when it is needed and is not
// there. Each client of a channel is a key, c.<channel>.<user>.<client>, written as nats.Key does; its
// value is its ClientInfo as nodes of the reference write it, which the servers remove after
// the TTL unless it is put again. Who leaves puts a marker there, which is gone a second or two later.
// Tools for key-value buckets can read it.
//
// # What it promises
//
// A call publishes all its changes in few round trips, of each client only the last one. All of
// a client have their order in the stream, also those whose outcome stayed unknown, so nobody who left
// comes back.
//
// Who reads asks the leader of the stream for the keys of a channel and how far the stream is, and any
// replica for their values: one that is not as far is asked again, then the leader. So what was
// acknowledged before, to any node, is seen. Clients and users are counted so as well, but for
// channels with more than a page of keys, whose values are not read for that: those who left on other
// nodes are counted until their markers are gone. A channel of any size is read in pages; who comes or
// goes meanwhile may be among them or not. Values that are no ClientInfo of their key are skipped and
// counted.
//
// Nothing is kept here: without NATS every call is an error within its time, and at once where
// there is no connection. A bucket that is gone is made again, empty: nodes renew their clients.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/problem"
)

// Options of a [Manager]; what is in the configuration is named there as in the comments. The zero value of each is a default.
type Options struct {
	TTL      time.Duration // presence_ttl; whole seconds count, 0 is a minute
	Replicas int           // of the bucket, 1 to 5; 0 is 1
	File     bool          // keeps the bucket in files; it is in memory, as clients go with their nodes anyway
	JSON     codec.Limits  // of the infos of clients
	Log      *slog.Logger  // nil: nothing
}

const (
	defaultTTL   = time.Minute
	mostReplicas = 5
)

// Check says what is wrong with the options, by the keys of their section.
func (o *Options) Check() problem.List {
	var list problem.List
	switch ttl := o.TTL; {
	case ttl == 0:
	case ttl < time.Second:
		list.Fail("presence_ttl", "%s is too short: allowed 1s or more, for what is kept counts in seconds", ttl)
	case ttl%time.Second != 0:
		list.Note("presence_ttl", problem.Advice, "%s counts as %s: only whole seconds do", ttl, ttl.Truncate(time.Second))
	}
	if o.Replicas < 0 || o.Replicas > mostReplicas {
		list.Fail("replicas", "%d replicas: allowed 1 to %d", o.Replicas, mostReplicas)
	}
	return list
}

// Manager implements presence.Manager. Make it with [New].
type Manager struct {
	// Immutable after New.
	opt    Options
	bucket *bucket
	put    nats.Header // of those who come
	places *Places

	// Atomic.
	changes, commands, failed, skipped, behind atomic.Uint64

	recent recent
}

var _ presence.Manager = (*Manager)(nil)

// New makes a manager of options that Check finds nothing wrong with. It asks no server. The connections are the
// caller's, who closes them behind the manager.
func New(n *nats.NATS, opt Options) (*Manager, error) {
	if opt.TTL <= 0 {
		opt.TTL = defaultTTL
	}
	opt.TTL = max(opt.TTL.Truncate(time.Second), time.Second)
	opt.Replicas = max(opt.Replicas, 1)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	b, err := newBucket(n, &opt)
	if err != nil {
		return nil, err
	}
	return &Manager{
		opt: opt, bucket: b, put: nats.Header{nats.HeaderTTL: {strconv.Itoa(int(opt.TTL / time.Second))}}, places: newPlaces(b, cluster.PlaceTTL),
	}, nil
}

// Counters are the counters of a [Manager].
type Counters struct {
	Places   PlacesStats
	Changes  uint64 // made or not
	Commands uint64 // they were sent as
	Failed   uint64 // calls with an error
	Skipped  uint64 // values that are no client's
	Behind   uint64 // reads of replicas that were behind the leader
}

// Counters returns them. Any goroutine.
func (m *Manager) Counters() Counters {
	return Counters{
		Places:  m.places.Stats(),
		Changes: m.changes.Load(), Commands: m.commands.Load(),
		Failed: m.failed.Load(), Skipped: m.skipped.Load(), Behind: m.behind.Load(),
	}
}

// TTL implements presence.Manager.
func (m *Manager) TTL() time.Duration { return m.opt.TTL }

// Places returns the places of users on all nodes.
func (m *Manager) Places() cluster.Places { return m.places }

// Ready returns why presence cannot be kept now, nil if it can, as far as known from the
// calls that were made. It does not block.
func (m *Manager) Ready() error {
	if err := m.bucket.ready(); err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	return nil
}

// Check makes the bucket if it is not there, and returns what servers refuse for good: they are too old, or there
// is something else of its name. What other error there is, calls will have too.
func (m *Manager) Check(ctx context.Context) error {
	if err := m.bucket.ensure(ctx); errors.Is(err, nats.ErrRefused) {
		return fmt.Errorf("presence: %w", err)
	}
	return nil
}

// Close implements presence.Manager.
func (m *Manager) Close(context.Context) error { return nil }

// outcome counts a call that failed and says whether that passes.
func (m *Manager) outcome(err error) error {
	if err == nil {
		return nil
	}
	m.failed.Add(1)
	if errors.Is(err, nats.ErrUnavailable) || errors.Is(err, nats.ErrUnknown) {
		return fmt.Errorf("%w: %w", presence.ErrUnavailable, err)
	}
	return fmt.Errorf("presence: %w", err)
}
