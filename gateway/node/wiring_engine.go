package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"strings"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	brokermemory "sluice/gateway/broker/memory"
	brokerredis "sluice/gateway/broker/redis"
	brokerrelay "sluice/gateway/broker/relay"
	"sluice/gateway/channel"
	"sluice/gateway/config"
	"sluice/gateway/metrics"
	presencememory "sluice/gateway/presence/memory"
	presenceredis "sluice/gateway/presence/redis"
	"sluice/gateway/redis"
	"sluice/gateway/tally"
)

// newEngines makes the broker and the presence that the options name: another engine is
// another case here, and in refusals. The error says which option a server refuses; one
// that is not within reach is none. The caller closes what was opened.
func (node *Node) newEngines() error {
	half := node.cfg.BrokerHalf()
	switch {
	case node.cfg.Relays():
		opt, err := node.relayOptions()
		if err != nil {
			return err
		}
		node.broker = brokerrelay.New(opt)
	case half.Type == "redis":
		conns, err := node.openRedis(half)
		if err != nil {
			return err
		}
		node.broker = brokerredis.New(brokerredis.Options{
			Redis: conns, Node: node.id.String(), Lists: half.Redis.HistoryUseLists,
			Wait: node.cfg.HTTPAPI.PublishWait, ProbeEvery: half.Redis.ProbeInterval,
			Binary: node.isBinary, JSON: node.jsonLimits(), Log: node.log,
		})
	case half.Type == "nats":
		if err := node.newNATSBroker(half); err != nil {
			return err
		}
	default:
		node.broker = brokermemory.New(node.memoryOptions())
	}
	switch half := node.cfg.PresenceHalf(); half.Type {
	case "redis":
		return node.newRedisPresence(half)
	case "nats":
		return node.newNATSPresence(half)
	default:
		node.presence = presencememory.New()
	}
	return nil
}

func (node *Node) newRedisPresence(half config.Half) error {
	conns, err := node.openRedis(half)
	if err != nil {
		return err
	}
	r := half.Redis
	manager := presenceredis.New(conns, presenceredis.Options{
		TTL: r.PresenceTTL, UserMapping: r.PresenceUserMapping, FieldTTL: r.PresenceHashFieldTTL, JSON: node.jsonLimits(),
	})
	ctx, cancel := context.WithTimeout(context.Background(), r.ConnectTimeout)
	defer cancel()
	if err := manager.Probe(ctx); err != nil {
		return fmt.Errorf("gateway: %s.redis: %w", half.Section, err)
	}
	node.presence, node.presenceReady = manager, manager.Ready
	node.places = presenceredis.NewPlaces(conns, manager.TTL())
	return nil
}

// isBinary reports whether publications of a channel need not be JSON.
func (node *Node) isBinary(ch string) bool {
	rules, err := node.rules.Load().Lookup(ch)
	return err == nil && rules.PublicationDataFormat == channel.FormatBinary
}

// jsonLimits are those of JSON that nodes get from each other.
func (node *Node) jsonLimits() codec.Limits {
	return codec.Limits{Depth: node.cfg.HTTPAPI.MaxDepth, Number: node.cfg.HTTPAPI.MaxNumberSize}
}

// openRedis connects to the servers of a half of the engine. Both have the same
// connections where their options are the same.
func (node *Node) openRedis(half config.Half) (*redis.Redis, error) {
	for _, open := range node.redis {
		if reflect.DeepEqual(open.options, half.Redis) {
			return open.Redis, nil
		}
	}
	opt, err := redisOptions(half.Redis)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s.redis.%w", half.Section, err)
	}
	opt.Node, opt.Log = node.id.String(), node.log
	conns, err := redis.Open(opt)
	if err != nil {
		return nil, fmt.Errorf("gateway: %s.redis: %w", half.Section, err)
	}
	node.redis = append(node.redis, openRedis{half.Section, half.Redis, conns})
	shards := make([]string, len(conns.Shards()))
	for i, s := range conns.Shards() {
		shards[i] = s.Name()
	}
	node.log.Info("redis: this node is one of those with this prefix here", "section", half.Section, "shards", shards, "prefix", half.Redis.Prefix)
	return conns, refusedByServer(half, conns)
}

// openRedis is the connections to some servers, and the options that they were made of.
type openRedis struct {
	section string // of the configuration, of the first half that has them
	options *config.Redis
	*redis.Redis
}

// closeConnections closes all connections, last of all that uses them.
func (node *Node) closeConnections() {
	for _, open := range node.redis {
		open.Close()
	}
	for _, open := range node.nats {
		open.Close()
	}
}

// refusedByServer says which options servers refuse, as far as they have answered by now:
// time will not cure it. Others make the node not ready, see notReady.
func refusedByServer(half config.Half, conns *redis.Redis) error {
	var errs []error
	for _, shard := range conns.Shards() {
		var refused *redis.Error
		if err := shard.Ready(); errors.As(err, &refused) {
			switch refused.Reason {
			case redis.ReasonAuth, redis.ReasonTopology, redis.ReasonVersion, redis.ReasonNoPerm:
				errs = append(errs, fmt.Errorf("%w: %s", err, refused.Remedy()))
			case redis.ReasonReadonly:
				if shard.Fixed() { // nobody will name another one
					errs = append(errs, fmt.Errorf("%w: %s", err, refused.Remedy()))
				}
			}
		}
		if server, ok := shard.Server(); ok && shard.Sharded() && !server.AtLeast(7, 0) {
			errs = append(errs, fmt.Errorf("sharded_pubsub: shard %s is Redis %s: 7.0 or later is needed, or set it to false", shard.Name(), server.Version))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: %s.redis: %w", half.Section, err)
	}
	return nil
}

// errNotUp is why a node is not ready that does not serve.
var errNotUp = errors.New("this node has not started yet, or is stopping")

// notReady returns why new clients should not be sent here, nil if they may. It does not
// block.
func (node *Node) notReady() error {
	if !node.ready.Load() {
		return errNotUp
	}
	if err := node.broker.Ready(); err != nil {
		return err
	}
	if node.presenceReady != nil {
		if err := node.presenceReady(); err != nil {
			return err
		}
	}
	return node.cluster.Ready()
}

// memoryOptions returns those of the memory engine, which is made before the hub
// that it asks, and asks nothing before it is started.
func (node *Node) memoryOptions() brokermemory.Options {
	return brokermemory.Options{
		Wanted:   func(ch string) bool { return node.hub.Wanted(ch) },
		EmptyTTL: node.cfg.Channel.HistoryEmptyTTL, EmptyMax: node.cfg.Channel.HistoryEmptyMax,
		ResultsMax: node.cfg.HTTPAPI.IdempotencyMaxResults,
	}
}

// relayOptions returns those of an engine that has its publications from another node.
func (node *Node) relayOptions() (opt brokerrelay.Options, err error) {
	r := &node.cfg.Relay
	if opt.Origin, err = originURL(r); err != nil {
		return opt, err
	}
	if opt.TLS, err = clientTLS(&r.TLS); err != nil {
		return opt, fmt.Errorf("gateway: relay.tls.%w", err)
	}
	opt.Node, opt.Wait, opt.Idle, opt.RetryMax = node.id.String(), r.ConnectTimeout, r.IdleTimeout, r.RetryMax
	opt.Channels, opt.MessageMax, opt.ChannelMax, opt.TotalMax = r.MaxChannels, r.MaxMessageSize, r.ChannelMaxBytes, int64(r.TotalMaxBytes)
	if most := node.files.relayed; most > 0 {
		opt.Channels = min(opt.Channels, most)
	}
	opt.JSON, opt.Log = node.jsonLimits(), node.log
	opt.Keep = func(ch string) (keep broker.HistoryOptions) {
		if rules, err := node.rules.Load().Lookup(ch); err == nil {
			keep.Size, keep.TTL = rules.HistorySize, rules.HistoryTTL
		}
		return keep
	}
	return opt, nil
}

// originURL returns the broadcast route that publications come from. The address was
// checked.
func originURL(r *config.Relay) (*url.URL, error) {
	u, err := url.Parse(r.Origin)
	if err != nil {
		return nil, errors.New("gateway: relay.origin is no URL")
	}
	if u.Path = strings.TrimRight(u.Path, "/"); u.Path == "" {
		u.Path = "/broadcast"
	}
	u.RawPath = ""
	return u, nil
}

// Origin returns where publications come from if that is another node, "" if not.
func (node *Node) Origin() string {
	u, err := originURL(&node.cfg.Relay)
	if err != nil || !node.cfg.Relays() {
		return ""
	}
	return u.Redacted()
}

// addRelay adds what an engine counts that has its publications from another node.
func (c counters) addRelay(n *metrics.Node) {
	if engine, ok := c.node.broker.(*brokerrelay.Engine); ok {
		st := engine.Stats()
		n.Relay = &st
	}
}

// addEngine adds what only engines within the process count, and what Redis does.
func (c counters) addEngine(n *metrics.Node) {
	n.Engine = c.redis()
	c.addNATS(&n.Engine)
	c.addRelay(n)
	engine, ok := c.node.broker.(*brokermemory.Engine)
	if !ok {
		return
	}
	st := engine.Stats()
	n.Suppressed = map[string]uint64{"idempotency": st.Repeated, "version": st.Outdated}
	n.Positions = map[string]int{"published": st.Positions - st.Empty, "empty": st.Empty}
	n.Results = st.Results
	n.Forgotten = map[string]uint64{"empty_position": st.EmptyDropped, "idempotency_result": st.ResultsDropped}
}

// redis is what the halves of the engine count that are on Redis.
func (c counters) redis() (r metrics.Engine) {
	if engine, ok := c.node.broker.(*brokerredis.Engine); ok {
		addRedisEngine(&r, engine.Stats())
	}
	if m, ok := c.node.presence.(*presenceredis.Manager); ok {
		st := m.Counters()
		r.Presence = map[string]uint64{"changed": st.Changes, "commands": st.Commands, "failed": st.Failed, "skipped": st.Skipped}
	}
	if p, ok := c.node.places.(*presenceredis.Places); ok {
		st := p.Stats()
		r.Places = map[string]uint64{"reserved": st.Reserved, "refused": st.Refused, "claimed": st.Claims, "changed": st.Changes, "failed": st.Failed}
	}
	for _, open := range c.node.redis {
		for _, shard := range open.Shards() {
			st := shard.Stats()
			r.Connections = append(r.Connections, metrics.Connections{
				Use: open.section, Shard: st.Shard, Up: st.Up, Commands: st.Commands, Retries: st.Retries, Batches: st.Batches, Batched: st.Batched, Dials: st.Dials, DialErrors: st.DialErrors,
				Waiting: st.Waiting, UnderWay: st.UnderWay, Errors: withUsual(st.Errors), Took: st.Latency,
			})
		}
	}
	return r
}

// withUsual returns errors by reason with those that are usual, so that the first of them
// is a rise.
func withUsual(errs map[string]uint64) map[string]uint64 {
	all := map[string]uint64{redis.ReasonTimeout: 0, redis.ReasonBroken: 0, redis.ReasonDial: 0} // of NATS the same words
	maps.Copy(all, errs)
	return all
}

// byName returns calls by the names of their kinds.
func byName[K interface {
	comparable
	fmt.Stringer
}](calls map[K]tally.Durations) map[string]tally.Durations {
	named := make(map[string]tally.Durations, len(calls))
	for kind, took := range calls {
		named[kind.String()] = took
	}
	return named
}

// skipped returns what was not passed on by the names of the reasons, of messages and of parts of them.
func skipped[K interface {
	comparable
	fmt.Stringer
}](by map[K]uint64, parts uint64) map[string]uint64 {
	named := map[string]uint64{"part": parts}
	for why, n := range by {
		named[why.String()] = n
	}
	return named
}

// followed is what a follower counts.
func followed(s *follow.Stats) metrics.EngineShard {
	return metrics.EngineShard{
		Channels: s.Channels, Pending: s.Pending, Held: s.Held, Replayed: s.Replayed,
		Compared: map[string]uint64{"complete": s.Resynced, "told": s.Told - min(s.WentBack, s.Told), "went_back": s.WentBack + s.AwayBack, "failed": s.ReadsFailed},
		Odd: map[string]uint64{
			"jump": s.Jumps, "repeat": s.Repeats, "behind": s.Behind, "unconfirmed": s.Unconfirmed, "unknown": s.Unknown, "held_dropped": s.HeldDropped, "forgotten": s.Forgotten,
			"overtook": s.Overtook, "unreadable": s.Unreadable,
		},
	}
}

func addRedisEngine(to *metrics.Engine, st brokerredis.Stats) {
	to.Calls, to.Errors = byName(st.Calls), withUsual(st.Errors)
	for i := range st.Shards {
		s := &st.Shards[i]
		one := followed(&s.Stats)
		one.Name, one.Ready, one.ProbeAge, one.Lost, one.Failed, one.Skipped = s.Name, s.Ready, s.ProbeAge, s.Lost, s.Failed, skipped(s.Skipped, s.Parts)
		to.Shards = append(to.Shards, one)
	}
}

// redisSettings are the options of connections to Redis that are settings, but for TLS.
func redisSettings(r *config.Redis) redis.Options {
	return redis.Options{
		Address: r.Address, ClusterAddress: r.ClusterAddress, SentinelAddress: r.SentinelAddress,
		Prefix: r.Prefix, User: r.User, Password: r.Password, ClientName: r.ClientName, DB: r.DB, ForceRESP2: r.ForceRESP2,
		SentinelMasterName: r.SentinelMasterName, SentinelUser: r.SentinelUser, SentinelPassword: r.SentinelPassword,
		SentinelClientName: r.SentinelClientName, ConnectTimeout: r.ConnectTimeout, IOTimeout: r.IOTimeout, ProbeInterval: r.ProbeInterval,
		ShardedPubSub: r.ShardedPubSub, LegacyClusterChannels: r.LegacyClusterChannels,
	}
}

// redisOptions are all of them but what a node says of itself. The error names the
// option below that of r.
func redisOptions(r *config.Redis) (opt redis.Options, err error) {
	opt = redisSettings(r)
	if opt.TLS, err = clientTLS(&r.TLS); err != nil {
		return opt, fmt.Errorf("tls.%w", err)
	}
	if opt.SentinelTLS, err = clientTLS(&r.SentinelTLS); err != nil {
		return opt, fmt.Errorf("sentinel_tls.%w", err)
	}
	return opt, nil
}
