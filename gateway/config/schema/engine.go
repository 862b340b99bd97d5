package schema

import "time"

// Engine is the section engine: broker and presence in one word (PROTOCOL 10.1).
type Engine struct {
	Type  string `json:"type" default:"memory" enum:"memory,redis" doc:"Where publications, history and presence live: memory = in this process. redis is not served yet: it is refused at start."`
	Redis Redis  `json:"redis" served:"no"`
}

// Broker is the section broker: overrides the engine for publications and history.
type Broker struct {
	Enabled bool   `json:"enabled" default:"false" doc:"Use this broker instead of the engine's."`
	Type    string `json:"type" default:"memory" enum:"memory,redis,nats" doc:"Which broker."`
	Redis   Redis  `json:"redis"`
	NATS    NATS   `json:"nats"`
}

// PresenceManager is the section presence_manager: overrides the engine for presence.
type PresenceManager struct {
	Enabled bool   `json:"enabled" default:"false" doc:"Use this presence manager instead of the engine's."`
	Type    string `json:"type" default:"memory" enum:"memory,redis" doc:"Which presence manager."`
	Redis   Redis  `json:"redis"`
}

// Redis holds how to reach Redis and what is kept there (PROTOCOL 10.2). Several addresses = sharding by channel.
type Redis struct {
	Address        []string      `json:"address" default:"redis://127.0.0.1:6379" list:"one" secret:"url" doc:"Addresses: host:port, redis://, rediss://, unix://, tcp://, redis+sentinel://, rediss+sentinel:// or redis+cluster://. More than one: channels are spread over them."`
	Prefix         string        `json:"prefix" default:"centrifugo" doc:"Prefix of keys and of pub/sub channels."`
	ConnectTimeout time.Duration `json:"connect_timeout" default:"1s" min:"1ms" doc:"Most time to connect."`
	IOTimeout      time.Duration `json:"io_timeout" default:"4s" min:"1ms" doc:"Most time of one command."`
	DB             int           `json:"db" default:"0" doc:"Number of the database. Pub/sub is shared by all of them: use different prefixes."`
	User           string        `json:"user" doc:"User."`
	Password       string        `json:"password" secret:"true" doc:"Password."`
	ClientName     string        `json:"client_name" doc:"Name of the connections in Redis."`
	ForceRESP2     bool          `json:"force_resp2" default:"false" doc:"Speak the older protocol."`
	TLS            TLS           `json:"tls"`

	ClusterAddress     []string `json:"cluster_address" list:"one" secret:"url" doc:"Cluster: addresses of its first nodes; commas inside an entry separate the nodes of one cluster."`
	SentinelAddress    []string `json:"sentinel_address" list:"one" secret:"url" doc:"Sentinel: addresses."`
	SentinelUser       string   `json:"sentinel_user" doc:"Sentinel: user."`
	SentinelPassword   string   `json:"sentinel_password" secret:"true" doc:"Sentinel: password."`
	SentinelMasterName string   `json:"sentinel_master_name" doc:"Sentinel: name of the master."`
	SentinelClientName string   `json:"sentinel_client_name" doc:"Sentinel: name of the connections."`
	SentinelTLS        TLS      `json:"sentinel_tls"`

	HistoryUseLists      bool          `json:"history_use_lists" default:"false" doc:"Keep history in lists instead of streams; without idempotency and reverse reading."`
	PresenceTTL          time.Duration `json:"presence_ttl" default:"60s" zero:"default" doc:"How long presence outlives its last renewal."`
	PresenceHashFieldTTL bool          `json:"presence_hash_field_ttl" default:"false" doc:"Use expiry of hash fields for presence (Redis 7.4 and later)."`
	PresenceUserMapping  bool          `json:"presence_user_mapping" default:"false" doc:"Keep users per channel, for fast presence statistics."`
}

// NATS holds how to reach NATS (PROTOCOL 10.4).
type NATS struct {
	URL            string        `json:"url" default:"nats://localhost:4222" secret:"url" doc:"URL of the server; commas separate several of one cluster."`
	Prefix         string        `json:"prefix" default:"centrifugo" doc:"Prefix of subjects."`
	DialTimeout    time.Duration `json:"dial_timeout" default:"1s" min:"1ms" doc:"Most time to connect."`
	WriteTimeout   time.Duration `json:"write_timeout" default:"1s" min:"1ms" doc:"Most time of one write."`
	AllowWildcards bool          `json:"allow_wildcards" default:"false" doc:"Allow channels with * and >."`
	TLS            TLS           `json:"tls"`
	RawMode        NATSRaw       `json:"raw_mode"`
}

// NATSRaw is broker.nats.raw_mode: subjects are channels, payloads are data.
type NATSRaw struct {
	Enabled             bool              `json:"enabled" default:"false" doc:"Use channels as subjects and data as payloads."`
	Prefix              string            `json:"prefix" doc:"Prefix of subjects in raw mode."`
	ChannelReplacements map[string]string `json:"channel_replacements" doc:"What is replaced in a channel to get its subject."`
}
