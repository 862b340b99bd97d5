// Package redis keeps presence in Redis, as nodes of the reference do, which may share it
// (PROTOCOL 10.3), and the places of users on all nodes, which are ours alone.
//
// # How it stands there
//
// The clients of a channel are a hash of ClientInfos, and a sorted set of when each
// expires: the clock of the server, plus the TTL, in whole seconds. Who reads removes by it
// what has expired first; nodes of the reference go by their own clocks. With Options.UserMapping the users of a
// channel and how many clients each has are kept beside it, so that they can be counted
// without reading everybody. With Options.FieldTTL Redis expires the fields of the hash by
// itself, and there is no sorted set; with both, nobody learns whose client a field was
// that expired, and a user may be counted for a TTL longer than its last client. All keys
// expire with the last of their clients.
//
// # What it promises
//
// A call makes all its changes in one pipeline for each shard, one command for the many
// changes of a channel, and a shard that does not answer holds up no other. What was
// changed once may be changed again. Values that are no ClientInfo of their client are
// skipped and counted. A channel of any size is read in pages, so no reply is large and
// Redis serves others in between; who comes or goes meanwhile may be among them or not.
//
// Nothing is kept here: without Redis every call is an error within its time, and soon
// once it is known to be away.
package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/presence"
	"sluice/gateway/problem"
	"sluice/gateway/redis"
	"sluice/gateway/reference"
)

// Options of a [Manager]; they are named in the configuration as in the comments.
type Options struct {
	TTL         time.Duration // presence_ttl; whole seconds count, 0 is a minute
	UserMapping bool          // presence_user_mapping
	FieldTTL    bool          // presence_hash_field_ttl
	JSON        codec.Limits  // of the infos of clients
}

const defaultTTL = time.Minute

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
	return list
}

// Manager implements presence.Manager. Make it with [New].
type Manager struct {
	// Immutable after New.
	redis  *redis.Redis
	opt    Options
	now    func() time.Time // in tests; nil: the clock of the server
	ttl    string           // in seconds
	flags  [2]string        // arguments of scripts: user mapping, TTL of fields
	places *Places

	// Atomic.
	changes, commands, failed, skipped atomic.Uint64
	lacks                              atomic.Pointer[FieldTTLError] // what the servers lack; nil for nothing that is known
}

var _ presence.Manager = (*Manager)(nil)

// New makes a manager of options that Check finds nothing wrong with. The connections
// are the caller's, who closes them behind the manager.
func New(r *redis.Redis, opt Options) *Manager {
	if opt.TTL <= 0 {
		opt.TTL = defaultTTL
	}
	opt.TTL = max(opt.TTL.Truncate(time.Second), time.Second)
	return &Manager{
		redis: r, opt: opt, ttl: strconv.Itoa(int(opt.TTL / time.Second)),
		flags: [2]string{flag(opt.UserMapping), flag(opt.FieldTTL)}, places: NewPlaces(r, cluster.PlaceTTL),
	}
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// Counters are the counters of a [Manager].
type Counters struct {
	Places   PlacesStats
	Changes  uint64 // made or not
	Commands uint64 // they were sent as
	Failed   uint64 // calls with an error
	Skipped  uint64 // values that are no client's
}

// Counters returns them. Any goroutine.
func (m *Manager) Counters() Counters {
	return Counters{
		Places:  m.places.Stats(),
		Changes: m.changes.Load(), Commands: m.commands.Load(),
		Failed: m.failed.Load(), Skipped: m.skipped.Load(),
	}
}

// TTL implements presence.Manager.
func (m *Manager) TTL() time.Duration { return m.opt.TTL }

// Places returns the places of users on all nodes.
func (m *Manager) Places() cluster.Places { return m.places }

// Ready returns why presence cannot be kept now, nil if it can, as far as known from the
// calls that were made. It does not block.
func (m *Manager) Ready() error {
	if lacks := m.lacks.Load(); lacks != nil {
		return lacks
	}
	for _, shard := range m.redis.Shards() {
		if err := shard.Ready(); err != nil {
			return fmt.Errorf("presence: %w", err)
		}
	}
	return nil
}

// Close implements presence.Manager.
func (m *Manager) Close(context.Context) error { return nil }

// FieldTTLError says that a server cannot expire fields of hashes.
type FieldTTLError struct{ Shard, Version string }

func (e *FieldTTLError) Error() string {
	return fmt.Sprintf("presence: shard %s: Redis %s cannot expire fields of hashes: presence_hash_field_ttl needs 7.4 or later on all servers", e.Shard, e.Version)
}

// Probe returns a [FieldTTLError] if a server cannot do what the options ask for, as far
// as servers answer; what other error there is, calls will have too.
func (m *Manager) Probe(ctx context.Context) error {
	if !m.opt.FieldTTL {
		return nil
	}
	for _, shard := range m.redis.Shards() {
		reply := shard.Do(ctx, redis.Command("COMMAND", nil, "INFO", "HEXPIRE").Reading())
		known, err := reply.Array()
		if err != nil || len(known) != 1 {
			continue
		}
		if known[0].IsNil() {
			server, _ := shard.Server()
			lacks := &FieldTTLError{shard.Name(), server.Version}
			m.lacks.Store(lacks)
			return lacks
		}
	}
	m.lacks.Store(nil)
	return nil
}

// fieldsExpire looks whether servers have what the options ask for when a call was
// refused: a script that they cannot run.
func (m *Manager) fieldsExpire(ctx context.Context, err error) error {
	if m.opt.FieldTTL && errors.Is(err, redis.ErrRefused) {
		if lacks := m.Probe(ctx); lacks != nil {
			return lacks
		}
	}
	return err
}

// at returns where a channel is kept, and its keys in the order in which scripts take
// them.
func (m *Manager) at(channel string) (shard *redis.Shard, keys []string, err error) {
	shard = m.redis.ShardOf(channel)
	if shard.Cluster() && (channel == "" || channel[0] == '}') {
		return nil, nil, fmt.Errorf("channel %.100q cannot be kept in a Redis Cluster: a name must not begin with }", channel)
	}
	k := shard.Keys()
	return shard, []string{k.PresenceExpire(channel), k.PresenceData(channel), k.PresenceUserExpire(channel), k.PresenceUserClients(channel)}, nil
}

// outcome counts a call that failed and says whether that passes.
func (m *Manager) outcome(err error) error {
	if err == nil {
		return nil
	}
	m.failed.Add(1)
	if errors.Is(err, redis.ErrUnavailable) || errors.Is(err, redis.ErrUnknown) {
		return fmt.Errorf("%w: %w", presence.ErrUnavailable, err)
	}
	return fmt.Errorf("presence: %w", err)
}

// decode returns the client that a field of the hash is of, nil if it is none.
func (m *Manager) decode(client, value string) *codec.ClientInfo {
	info, _, err := reference.DecodeInfo(redis.Bytes(value), reference.Limits{Size: largestInfo, JSON: m.opt.JSON})
	if err != nil || info.Client != client {
		m.skipped.Add(1)
		return nil
	}
	return info
}

// largestInfo bounds what is believed to be a client's, in bytes.
const largestInfo = 4 << 20
