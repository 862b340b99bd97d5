package schema

import "time"

// Engine is the section engine: broker and presence in one word (PROTOCOL 10.1).
type Engine struct {
	Type  string `json:"type" default:"memory" enum:"memory,redis" doc:"Where publications, history and presence live: memory = in this process, for one node; redis = in Redis, which all nodes share."`
	Redis Redis  `json:"redis"`
}

// Broker is the section broker: overrides the engine for publications and history.
type Broker struct {
	Enabled bool   `json:"enabled" default:"false" doc:"Use this broker instead of the engine's; all nodes of one fleet need the same."`
	Type    string `json:"type" default:"memory" enum:"memory,redis,nats" doc:"Which broker: memory, redis as in engine.type; nats = NATS, with history if broker.nats.jetstream.enabled."`
	Redis   Redis  `json:"redis"`
	NATS    NATS   `json:"nats"`
}

// PresenceManager is the section presence_manager: overrides the engine for presence.
type PresenceManager struct {
	Enabled bool   `json:"enabled" default:"false" doc:"Use this presence manager instead of the engine's."`
	Type    string `json:"type" default:"memory" enum:"memory,redis,nats" doc:"Which presence manager; nats = a key-value bucket of JetStream, which nodes of Centrifugo know nothing of."`
	Redis   Redis  `json:"redis"`
	NATS    NATS   `json:"nats"`
}

// Half is where one half of the engine lives: publications and history, or presence.
type Half struct {
	Section string // engine, broker or presence_manager: the key of the section that says it
	Type    string // memory, redis or nats
	Redis   *Redis // of that section
	NATS    *NATS  // of that section; nil in engine, which has none
}

// BrokerHalf returns where publications and history live.
func (c *Config) BrokerHalf() Half {
	if b := &c.Broker; b.Enabled {
		return Half{"broker", b.Type, &b.Redis, &b.NATS}
	}
	return Half{"engine", c.Engine.Type, &c.Engine.Redis, nil}
}

// PresenceHalf returns where presence lives.
func (c *Config) PresenceHalf() Half {
	if p := &c.PresenceManager; p.Enabled {
		return Half{"presence_manager", p.Type, &p.Redis, &p.NATS}
	}
	return Half{"engine", c.Engine.Type, &c.Engine.Redis, nil}
}

// Redis holds how to reach Redis and what is kept there (PROTOCOL 10.2). Several addresses = sharding by channel. What stands in an
// address counts more than the option of the same meaning.
type Redis struct {
	Address        []string      `json:"address" default:"redis://127.0.0.1:6379" list:"one" secret:"url" doc:"Addresses: host:port, redis://, rediss:// (TLS), unix://, tcp://, redis+sentinel://, rediss+sentinel:// or redis+cluster://. More than one: channels are spread over them, the same way by every node, so that order and number are part of what is kept. A URL may have user:password@, /database and, as parameters, addr (one more address, any number of times), connect_timeout, io_timeout, force_resp2, tls_enabled, sentinel_master_name, sentinel_user, sentinel_password, sentinel_tls_enabled; others are refused."`
	Prefix         string        `json:"prefix" default:"centrifugo" doc:"Prefix of keys and of pub/sub channels: nodes with the same one in the same Redis are one fleet."`
	ConnectTimeout time.Duration `json:"connect_timeout" default:"1s" min:"1ms" doc:"Most time to connect."`
	IOTimeout      time.Duration `json:"io_timeout" default:"4s" min:"1ms" doc:"Most time of one command; a connection that is silent for longer is taken for dead."`
	DB             int           `json:"db" default:"0" doc:"Number of the database; a Cluster has 0 only. Pub/sub is shared by all of them: use different prefixes."`
	User           string        `json:"user" doc:"User of Redis (ACL). Empty: the default one."`
	Password       string        `json:"password" secret:"true" doc:"Password. Empty: none is sent."`
	ClientName     string        `json:"client_name" doc:"Name of the connections in Redis."`
	ForceRESP2     bool          `json:"force_resp2" default:"false" doc:"Speak the older protocol, for proxies and servers that do not know RESP3."`
	TLS            TLS           `json:"tls"`

	ClusterAddress     []string `json:"cluster_address" list:"one" secret:"url" doc:"Cluster: host:port of some of its nodes, from which the others are learned; commas inside an entry separate the nodes of one cluster, several entries are several clusters that channels are spread over. address does not count then."`
	SentinelAddress    []string `json:"sentinel_address" list:"one" secret:"url" doc:"Sentinel: host:port of each of them; commas inside an entry separate those of one master, several entries spread channels over several. address does not count then."`
	SentinelUser       string   `json:"sentinel_user" doc:"User of the sentinels themselves. Empty: the default one."`
	SentinelPassword   string   `json:"sentinel_password" secret:"true" doc:"Password of the sentinels themselves. Empty: none is sent."`
	SentinelMasterName string   `json:"sentinel_master_name" doc:"Name under which the sentinels know the master."`
	SentinelClientName string   `json:"sentinel_client_name" doc:"Name of the connections in the sentinels."`
	SentinelTLS        TLS      `json:"sentinel_tls"`

	HistoryUseLists      bool          `json:"history_use_lists" default:"false" doc:"Keep history in lists instead of streams, as files of older fleets may ask; then the API's version has no effect and history is not read in reverse."`
	PresenceTTL          time.Duration `json:"presence_ttl" default:"60s" zero:"default" doc:"How long presence outlives its last renewal; a node renews that of its own clients three times in it. Ends are told by the clock of Redis; nodes of Centrifugo in the fleet go by their own."`
	PresenceHashFieldTTL bool          `json:"presence_hash_field_ttl" default:"false" doc:"Let Redis expire entries of presence by itself (Redis 7.4 and later). All nodes need the same."`
	PresenceUserMapping  bool          `json:"presence_user_mapping" default:"false" doc:"Keep users per channel, for fast presence statistics. All nodes need the same."`

	// Of Sluice.
	ReferenceControl      bool          `json:"reference_control" default:"false" doc:"Share the control channel of Centrifugo's nodes with the same prefix: calls of the API that disconnect, subscribe, unsubscribe, refresh or count reach both kinds of nodes. For fleets that hold both, while one replaces the other. Publications, history and presence are shared without it."`
	ShardedPubSub         bool          `json:"sharded_pubsub" default:"false" doc:"Cluster of Redis 7 and later: send each publication to the nodes of its slot only, instead of to all nodes of the Cluster. All nodes need the same, and Centrifugo's nodes hear nothing of it: leave it off in a mixed fleet."`
	LegacyClusterChannels bool          `json:"legacy_cluster_channels" default:"false" doc:"Cluster: name pub/sub channels without the hash tag, as Centrifugo's nodes before 6.6 do. For a fleet that holds such nodes."`
	ProbeInterval         time.Duration `json:"probe_interval" default:"1s" min:"100ms" doc:"Time between two messages that a node sends to itself through every server of Redis. While they do not come back, /ready is 503."`
}

// Cluster is the section cluster: how nodes of one engine work together. With the memory engine there is one node only.
type Cluster struct {
	SurveyTimeout time.Duration `json:"survey_timeout" default:"1s" min:"10ms" doc:"Most time that a call of the API which all nodes have a part in (channels, info, disconnect, subscribe, …) waits for their answers; it goes on without the others, which the log and the header X-Sluice-Detail name."`
}

// NATS holds how to reach NATS (PROTOCOL 10.4).
type NATS struct {
	URL            string        `json:"url" default:"nats://localhost:4222" secret:"url" doc:"URL of the server: nats://, tls://, ws://, wss:// or host:port, with user:password@ or token@; commas separate several of one cluster."`
	Prefix         string        `json:"prefix" default:"centrifugo" doc:"Prefix of subjects: nodes with the same one in the same NATS are one fleet."`
	DialTimeout    time.Duration `json:"dial_timeout" default:"1s" min:"1ms" doc:"Most time to connect."`
	WriteTimeout   time.Duration `json:"write_timeout" default:"1s" min:"1ms" doc:"Most time of one write."`
	AllowWildcards bool          `json:"allow_wildcards" default:"false" doc:"Let a channel with a token * (one token) or > at its end (one or more) stand for all channels that match; publications say theirs in pub.channel. Nothing is published into such a channel. Not with jetstream.enabled."`
	TLS            TLS           `json:"tls"`
	RawMode        NATSRaw       `json:"raw_mode"`

	// Of Sluice.
	CredentialsFile  string        `json:"credentials_file" doc:"File with the credentials of a NATS user (JWT and seed), as nsc writes it."`
	NKeySeedFile     string        `json:"nkey_seed_file" doc:"File with the seed of an nkey of a NATS user, instead of credentials."`
	JetStream        JetStream     `json:"jetstream"`
	PresenceTTL      time.Duration `json:"presence_ttl" default:"60s" zero:"default" doc:"How long presence in NATS outlives its last renewal; a node renews that of its own clients three times in it. Whole seconds."`
	ReferenceControl bool          `json:"reference_control" default:"false" doc:"Share the control subject of Centrifugo's nodes with the same prefix: calls of the API that disconnect, subscribe, unsubscribe, refresh or count reach both kinds of nodes. For fleets that hold both, while one replaces the other."`
	ProbeInterval    time.Duration `json:"probe_interval" default:"1s" min:"100ms" doc:"Time between two messages that a node sends to itself through NATS, and has each stream of JetStream keep. While they do not come back, /ready is 503."`
}

// JetStream is broker.nats.jetstream: histories, offsets, recovery, idempotency keys and versions, which NATS alone lacks. All of it is Sluice's own.
type JetStream struct {
	Enabled  bool   `json:"enabled" default:"false" doc:"Keep publications of channels with history in streams of JetStream (nats-server 2.11 or later; 2.12 or later publishes much faster). All nodes of one fleet need the same. In presence_manager.nats it says nothing: presence is always a bucket of JetStream."`
	Domain   string `json:"domain" doc:"Domain of JetStream, for nodes at a leaf node whose hub has one: needed there, and the same on all nodes. Empty: the JetStream of the servers of url."`
	Shards   int    `json:"shards" default:"4" min:"1" max:"64" doc:"Number of streams that channels are spread over, the same on all nodes for good: another number is refused until the streams are removed, with all histories."`
	Replicas int    `json:"replicas" default:"1" min:"1" max:"5" doc:"Servers that keep each stream, and the presence: 3 survives the loss of one. Applies to streams that are made; change those that are there with the nats tool."`
	Storage  string `json:"storage" default:"file" enum:"file,memory" doc:"Where streams are kept: file survives a restart of the servers, memory is faster. Presence is always in memory."`
	MaxBytes int    `json:"max_bytes" default:"0" unit:"bytes" doc:"Most bytes of each stream, beyond which its oldest publications go, whatever their channel. 0: the limits of the NATS account."`
}

// NATSRaw is broker.nats.raw_mode: subjects are channels, payloads are data.
type NATSRaw struct {
	Enabled             bool              `json:"enabled" default:"false" doc:"Use channels as subjects and data as payloads."`
	Prefix              string            `json:"prefix" doc:"Prefix of subjects in raw mode."`
	ChannelReplacements map[string]string `json:"channel_replacements" doc:"What is replaced in a channel to get its subject."`
}

// Relay is the section relay: channels whose publications come from another node's broadcast route. All of it is Sluice's own.
type Relay struct {
	Origin          string        `json:"origin" secret:"url" doc:"Have the publications of all channels from the broadcast route of another node, or of a CDN before it: http:// or https://, host, and the path of the route if it is not /broadcast. Nothing is published here then. Empty: off."`
	TLS             TLS           `json:"tls"`
	ConnectTimeout  time.Duration `json:"connect_timeout" default:"10s" min:"100ms" doc:"Most time that the origin may take to answer, and that the first viewer of a channel waits for its stream."`
	IdleTimeout     time.Duration `json:"idle_timeout" default:"0s" doc:"A stream of the origin that is silent for so long is given up, and asked for again. 0: three times its broadcast_freshness, which the origin tells."`
	RetryMax        time.Duration `json:"retry_max" default:"15s" min:"250ms" doc:"Longest pause before a stream that failed is asked for again. It begins at 250 ms, doubles with each failure, and is never shorter than the origin asks for."`
	MaxChannels     int           `json:"max_channels" default:"10000" min:"1" doc:"Most channels relayed at once; each takes one stream of the origin. Viewers of others are told to come back."`
	MaxMessageSize  int           `json:"max_message_size" default:"8388608" min:"1024" unit:"bytes" doc:"Longest event of the origin that is taken. A longer one is passed over, and told as a gap."`
	ChannelMaxBytes int           `json:"channel_max_bytes" default:"8388608" min:"4096" unit:"bytes" doc:"Most publications kept of one channel, within its history_size and history_ttl."`
	TotalMaxBytes   int           `json:"total_max_bytes" default:"268435456" min:"65536" unit:"bytes" doc:"Most publications kept of all channels together; a channel that finds no room forgets its own oldest ones."`
}

// Relays reports whether publications come from another node's broadcast route.
func (c *Config) Relays() bool { return c.Relay.Origin != "" }
