package schema

import "time"

// Channel is the section channel: names, namespaces and what holds for all channels (PROTOCOL 5).
type Channel struct {
	WithoutNamespace      ChannelOptions `json:"without_namespace"`
	Namespaces            []Namespace    `json:"namespaces" doc:"Namespaces, each with a name and options of its own."`
	HistoryMetaTTL        time.Duration  `json:"history_meta_ttl" default:"720h" zero:"default" doc:"How long offset and epoch of a channel outlive its last use, in whole seconds. Less than uni_sse.retry, and who is away for as long is told of a gap; checks of positions, which keep them alive, need more than client.channel_position_check_delay."`
	PublicationDataFormat string         `json:"publication_data_format" enum:",json,json_object,binary" doc:"What publications may hold where a namespace does not say: anything but nothing, JSON, a JSON object, or anything."`
	MaxLength             int            `json:"max_length" default:"255" zero:"default" unit:"bytes" doc:"Longest channel name that a client may ask for; a longer one is dropped like one that is not permitted. Those of tokens, hooks and the API may be longer, see server_max_length."`
	PrivatePrefix         string         `json:"private_prefix" default:"$" doc:"Prefix of private channels, which clients cannot ask for. Empty: none are."`
	NamespaceBoundary     string         `json:"namespace_boundary" default:":" doc:"What ends the namespace in a channel name. Empty: no namespaces."`
	UserBoundary          string         `json:"user_boundary" default:"#" doc:"What starts the list of users in a user-limited channel. Empty: no such channels."`
	UserSeparator         string         `json:"user_separator" default:"," doc:"What separates the users of a user-limited channel. Empty: only one user."`

	// Of Sluice.
	ServerMaxLength int           `json:"server_max_length" default:"8192" min:"1" unit:"bytes" doc:"Longest channel name in tokens, replies of hooks and calls of the API. A longer one refuses the connect (3501) or the call (107)."`
	HistoryEmptyTTL time.Duration `json:"history_empty_ttl" default:"60s" min:"1s" live:"false" doc:"How long the memory engine keeps offset and epoch of a channel that nobody is subscribed to and nothing was ever published in. Clients make such channels by naming them. At most history_meta_ttl."`
	HistoryEmptyMax int           `json:"history_empty_max" default:"100000" min:"1" live:"false" doc:"Most such channels that the memory engine keeps offset and epoch of; the one unused for longest is forgotten first."`
}

// Namespace is one entry of channel.namespaces.
type Namespace struct {
	Name string `json:"name" doc:"Name: letters, digits, - _ and . , at least two characters."`
	ChannelOptions
}

// ChannelOptions are the options of the channels of one namespace, or of those without (PROTOCOL 5.3).
type ChannelOptions struct {
	// Who may subscribe.
	AllowSubscribeForClient    bool   `json:"allow_subscribe_for_client" default:"false" doc:"Users may ask for these channels."`
	AllowSubscribeForAnonymous bool   `json:"allow_subscribe_for_anonymous" default:"false" doc:"The anonymous user too; needs allow_subscribe_for_client."`
	AllowUserLimitedChannels   bool   `json:"allow_user_limited_channels" default:"false" doc:"The users named after # may ask for that channel."`
	SubscribeProxyEnabled      bool   `json:"subscribe_proxy_enabled" default:"false" doc:"Clients cannot ask for these channels; only tokens and hooks give them."`
	ChannelRegex               string `json:"channel_regex" doc:"Regular expression that names after the namespace must match for a client to ask for them. Empty: ASCII."`

	// Presence.
	Presence           bool `json:"presence" default:"false" doc:"Keep track of who is subscribed."`
	JoinLeave          bool `json:"join_leave" default:"false" doc:"Publish who joins and leaves. Streams get it with force_push_join_leave."`
	ForcePushJoinLeave bool `json:"force_push_join_leave" default:"false" doc:"Send joins and leaves to the subscribers. Needs join_leave."`

	// History and recovery.
	HistorySize       int           `json:"history_size" default:"0" doc:"Publications kept per channel. 0: none; goes together with history_ttl. Who missed more than client.recovery_max_publication_limit recovers none of them."`
	HistoryTTL        time.Duration `json:"history_ttl" default:"0s" doc:"How long they are kept after the last publication, in whole seconds. 0: none is kept. Less than uni_sse.retry, and who is away for as long recovers nothing."`
	HistoryMetaTTL    time.Duration `json:"history_meta_ttl" default:"0s" doc:"As channel.history_meta_ttl, for this namespace. 0: that value."`
	ForceRecovery     bool          `json:"force_recovery" default:"false" doc:"Subscribers get what they missed when they come back. Needs history."`
	ForcePositioning  bool          `json:"force_positioning" default:"false" doc:"Subscribers are told to reconnect when something was missed."`
	ForceRecoveryMode string        `json:"force_recovery_mode" enum:",stream,cache" doc:"stream (or empty) = all missed publications, cache = only the latest."`
	AutoCacheRecover  bool          `json:"auto_cache_recover" default:"false" doc:"Send the latest publication with every connect. Needs force_recovery and mode cache."`

	// Publications.
	AllowedDeltaTypes     []string `json:"allowed_delta_types" enum:"fossil" doc:"Kinds of delta compression that a client may ask for."`
	DeltaPublish          bool     `json:"delta_publish" default:"false" doc:"Publish with delta even where the publisher does not say so. Needs allowed_delta_types."`
	PublicationDataFormat string   `json:"publication_data_format" enum:",json,json_object,binary" doc:"As channel.publication_data_format, for this namespace. Empty: that value."`
	Compression           []string `json:"compression" enum:"dcz,zstd,gzip" doc:"Content codings for streams of these channels, the preferred one first; what a client gets is the first that it accepts. An event is compressed once for all its subscribers. A stream with several channels is compressed in a coding that all of them have. dcz is for clients that have compression_dictionary. Empty: none."`
	CompressionDictionary string   `json:"compression_dictionary" doc:"File with the dictionary that events in dcz refer to: any bytes, at most 64 KiB, as sluice gendictionary prints them. It is served to everybody, and read at start and with every reload; the same on all nodes. Needs dcz in compression. Empty: none."`
	SubscriptionType      string   `json:"subscription_type" default:"stream" enum:"stream,map,map_clients,map_users,shared_poll" doc:"Only stream is served; publishing into channels of another type gets error 107."`

	// Of Sluice; refused together with recovery, positioning or delta, which need every publication.
	SlowPolicy  string        `json:"slow_policy" default:"disconnect" enum:"disconnect,drop_oldest" doc:"What happens to a stream that is slow: disconnect, or drop its oldest unsent events and tell how many. The oldest are those published first, also where conflate_key has put one in the place of an older one: what a client gets behind a gap is newer than all that was dropped."`
	ConflateKey string        `json:"conflate_key" doc:"Top-level field or tag that names what a publication is about; for a stream that lags, a newer one replaces the unsent older one of the same key, in its place. With drop_oldest the last value of a key may be dropped, but only with all that was published before it, and with a gap told. Empty: off."`
	MaxRate     time.Duration `json:"max_rate" default:"0s" doc:"At most one event per key (or channel) in this time, always the newest. 0: off."`

	// The broadcast route.
	Broadcast          bool          `json:"broadcast" default:"false" doc:"Serve these channels on the broadcast route, to everybody and without a token. Needs history; not together with slow_policy, conflate_key or max_rate."`
	BroadcastFreshness time.Duration `json:"broadcast_freshness" default:"3s" min:"1s" doc:"For how long a front may hand a stream of the broadcast route to further viewers (max-age), and the time between two checkpoints. In whole seconds."`
	BroadcastLifetime  time.Duration `json:"broadcast_lifetime" default:"60s" min:"2s" doc:"How long a stream of the broadcast route lasts: it ends at the first checkpoint after this. More than broadcast_freshness, at most 1,000 times as long."`
}

// HasHistory reports whether publications are kept.
func (o *ChannelOptions) HasHistory() bool { return o.HistorySize > 0 && o.HistoryTTL > 0 }
