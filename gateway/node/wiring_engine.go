package node

import (
	"errors"
	"fmt"

	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/config"
	"sluice/gateway/metrics"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/redis"
)

// newEngines makes the broker and the presence that the options name: another engine is
// another case here, and in refusals.
func (node *Node) newEngines() {
	node.broker = brokermemory.New(node.memoryOptions())
	node.presence = presencememory.New()
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
	if p, ok := node.presence.(interface{ Ready() error }); ok {
		if err := p.Ready(); err != nil {
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

// addEngine adds what only an engine within the process counts.
func (c counters) addEngine(n *metrics.Node) {
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
