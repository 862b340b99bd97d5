package redis

import (
	"crypto/tls"
	"log/slog"
	"time"

	"sluice/gateway/problem"
)

// Options say how to reach Redis. Fields that share their name with an option of the
// configuration mean what it means; the zero value of any other is a default.
type Options struct {
	// Address holds the servers: host:port, tcp://, redis://, rediss://, unix://,
	// redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://.
	// Each is a shard. Not looked at where ClusterAddress or SentinelAddress are set.
	Address []string
	// ClusterAddress holds first nodes, host:port separated by commas. Each entry is
	// a Cluster, and a shard.
	ClusterAddress []string
	// SentinelAddress holds Sentinels, host:port separated by commas. Each entry is
	// a set of them, and the master that they know a shard.
	SentinelAddress []string

	Prefix     string // of keys and channels; "" is "centrifugo"
	User       string
	Password   string
	ClientName string
	DB         int
	ForceRESP2 bool
	TLS        *tls.Config // nil: none, unless an address asks for it. ServerName "": the host

	SentinelMasterName string
	SentinelUser       string
	SentinelPassword   string
	SentinelClientName string
	SentinelTLS        *tls.Config

	ConnectTimeout time.Duration // most time of a dial with all that belongs to it; 0: 1 s
	IOTimeout      time.Duration // most time of a command, and of silence; 0: 4 s

	// ProbeInterval is how often a reader proves that what is published comes; 0: 1 s.
	ProbeInterval time.Duration

	// ShardedPubSub makes readers of a Cluster use SSUBSCRIBE (Redis 7.0 and later).
	ShardedPubSub bool
	// LegacyClusterChannels leaves the braces out of the pub/sub channels of a
	// Cluster, as nodes of the reference before 6.6.0 do.
	LegacyClusterChannels bool

	// Node is the id of this node, part of the name of its marker channel.
	Node string
	// Log gets what deserves a look; nil: nothing.
	Log *slog.Logger
}

const (
	defaultPrefix         = "centrifugo"
	defaultConnectTimeout = time.Second
	defaultIOTimeout      = 4 * time.Second
	defaultProbeInterval  = time.Second

	maxDB = 1 << 20 // far above what any server has; a larger one is a slip
)

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = defaultConnectTimeout
	}
	if o.IOTimeout <= 0 {
		o.IOTimeout = defaultIOTimeout
	}
	if o.ProbeInterval <= 0 {
		o.ProbeInterval = defaultProbeInterval
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Check says what is wrong with the options. It connects to nothing.
func (o *Options) Check() problem.List {
	var list problem.List
	targets := o.targets(&list)
	if o.DB < 0 || o.DB > maxDB {
		list.Fail("db", "%d is no number of a database: expected 0 or more", o.DB)
	}
	if o.User != "" && o.Password == "" {
		list.Note("user", problem.Unusable, "%q has no password: Redis refuses a user without one", o.User).With("password")
	}
	for _, t := range targets {
		if t.kind == clusterTarget && t.db != 0 {
			list.Fail("db", "%d: a Redis Cluster has only database 0", t.db).With("cluster_address", "address")
			break
		}
	}
	if len(o.SentinelAddress) > 1 {
		list.Note("sentinel_address", problem.Advice, "%d entries are %d shards: Sentinels of one master belong into one entry, separated by commas",
			len(o.SentinelAddress), len(o.SentinelAddress))
	}
	if o.SentinelMasterName != "" && !anyTarget(targets, sentinelTarget) && len(list) == 0 {
		list.Idle("sentinel_master_name", "sentinel_address")
	}
	if o.ShardedPubSub && o.LegacyClusterChannels {
		list.Fail("sharded_pubsub", "needs channels with {braces}, which the legacy names lack").With("legacy_cluster_channels")
	}
	return list
}

func anyTarget(targets []target, kind targetKind) bool {
	for _, t := range targets {
		if t.kind == kind {
			return true
		}
	}
	return false
}
