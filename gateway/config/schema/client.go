package schema

import "time"

// Client is the section client: who may connect, and the limits of one connection (PROTOCOL 4 and 5.6).
type Client struct {
	// Who may connect.
	AllowedOrigins                    []string `json:"allowed_origins" doc:"Origins of browser pages that may connect, as patterns in lower case: * any run of characters, ? one, [abc], {a,b}. Requests without Origin and from the same origin are fine. The names in it are also those under which this server may be used over plain http with client.insecure and user_id_http_header. A pattern that fits the pages of anybody, such as https://*, is refused together with credentials that browsers add on their own: token_cookie, user_id_http_header, Cookie for a hook."`
	Token                             Token    `json:"token" live:"true"`
	TokenCookie                       string   `json:"token_cookie" doc:"Name of a cookie whose value is taken as the token when the request has no other. It counts for pages of the same origin and site and of allowed_origins, and for clients that are no browser. Empty: none."`
	AllowAnonymousConnectWithoutToken bool     `json:"allow_anonymous_connect_without_token" default:"false" live:"true" doc:"Let clients without a token connect as the anonymous user."`
	DisallowAnonymousConnectionTokens bool     `json:"disallow_anonymous_connection_tokens" default:"false" live:"true" doc:"Refuse tokens without a user id."`
	UserIDHTTPHeader                  string   `json:"user_id_http_header" live:"true" doc:"Header whose value is the user id, for proxies in front that authenticate. It needs http_server.trusted_proxies, and counts from those alone, once in a request; for pages as token_cookie does. Empty: none."`
	Insecure                          bool     `json:"insecure" default:"false" live:"true" doc:"Let everybody connect and subscribe. Only for development."`
	InsecureSkipTokenSignatureVerify  bool     `json:"insecure_skip_token_signature_verify" default:"false" live:"true" doc:"Do not check signatures of tokens. Only for development."`
	Proxy                             Proxies  `json:"proxy"`

	// Times.
	PingInterval              time.Duration `json:"ping_interval" default:"25s" zero:"default" neg:"off" doc:"Time between pings. Negative: no pings. Clients are told whole seconds, so of less than one second they are told none."`
	PongTimeout               time.Duration `json:"pong_timeout" default:"8s" neg:"off" doc:"Accepted for compatibility; streams have no pongs."`
	ExpiredCloseDelay         time.Duration `json:"expired_close_delay" default:"25s" zero:"default" doc:"Time between the expiry of a connection and its disconnect, in which the backend may refresh it. Not with client.proxy.refresh, which is asked at the expiry."`
	ExpiredSubCloseDelay      time.Duration `json:"expired_sub_close_delay" default:"25s" zero:"default" doc:"The same for subscriptions that expire."`
	StaleCloseDelay           time.Duration `json:"stale_close_delay" default:"10s" zero:"default" doc:"Time in which a connect must finish, its hook included."`
	PresenceUpdateInterval    time.Duration `json:"presence_update_interval" default:"27s" zero:"default" doc:"Time between two looks at the subscriptions of a client: its presence is renewed, its positions are checked if that is due."`
	ChannelPositionCheckDelay time.Duration `json:"channel_position_check_delay" default:"40s" zero:"default" doc:"Time between two checks that nothing was missed in a positioned channel. They happen at the looks of presence_update_interval, so that less than that means that."`
	ChannelPositionMaxTimeLag time.Duration `json:"channel_position_max_time_lag" default:"0s" doc:"Most lag of publications in a positioned channel before its clients are told to reconnect. 0: no check. With several nodes: more than their clocks are apart."`

	// Limits of the reference.
	ChannelLimit                int  `json:"channel_limit" default:"128" zero:"default" doc:"Most subscriptions of one connection."`
	QueueMaxSize                int  `json:"queue_max_size" default:"1048576" zero:"default" unit:"bytes" doc:"Most unsent data of one stream, behind the event that is being written; above it the stream is slow. It counts while the socket is full; what API calls send has as much of its own, until the stream has lagged for long."`
	UserConnectionLimit         int  `json:"user_connection_limit" default:"0" live:"true" doc:"Most connections of one user, on all nodes together or on each: see user_connection_limit_scope. 0: no limit. On one node never reached above connection_limit."`
	ConnectionLimit             int  `json:"connection_limit" default:"0" live:"true" doc:"Most connections of this node. 0: no limit. Never reached above uni_sse.max_streams, or above what the limit of file descriptors allows."`
	ConnectionRateLimit         int  `json:"connection_rate_limit" default:"0" live:"true" doc:"Most new connections per second on this node. 0: no limit."`
	HistoryMaxPublicationLimit  int  `json:"history_max_publication_limit" default:"300" min:"any" doc:"Accepted for compatibility; clients of streams cannot ask for history. 0 or less: no limit."`
	RecoveryMaxPublicationLimit int  `json:"recovery_max_publication_limit" default:"300" min:"any" live:"true" doc:"Most publications recovered for one channel; who missed more recovers none of them. 0 or less: no limit."`
	ConnectIncludeServerTime    bool `json:"connect_include_server_time" default:"false" doc:"Put the server's time into the connect push."`

	// Limits of Sluice.
	UserConnectionLimitScope string `json:"user_connection_limit_scope" default:"fleet" enum:"fleet,node" doc:"Which connections user_connection_limit counts: those on all nodes that share presence in Redis, or those on this node only, as Centrifugo does. With presence in memory both are the same."`

	QueueMaxAge        time.Duration `json:"queue_max_age" default:"30s" min:"100ms" doc:"How long a full socket may take nothing before the stream is slow."`
	QueuesMaxTotal     int           `json:"queues_max_total" default:"1073741824" min:"1048576" unit:"bytes" doc:"Most memory that waits for slow streams of this node: an event that several wait for counts once. Above it deliveries wait for those who read, and of those who do not the streams end that hold most of their own."`
	HoldMaxBytes       int           `json:"hold_max_bytes" default:"1048576" min:"1024" unit:"bytes" doc:"Most live data held back for one stream while its connect reads history."`
	PresenceBacklogMax int           `json:"presence_backlog_max" default:"65536" min:"1" doc:"Most calls to presence, joins and leaves that may wait on one loop; above it connects that add some wait, and are told to come back (3013) if there is no room in time."`

	AddressConnectionLimit     int `json:"address_connection_limit" default:"0" live:"true" doc:"Most connections of one client address (IPv6: one /64) on this node. 0: no limit. Never reached above connection_limit. Those that were opened while there was no limit of addresses do not count."`
	AddressConnectionRateLimit int `json:"address_connection_rate_limit" default:"0" live:"true" doc:"Most new connections per second of one client address (IPv6: one /64). 0: no limit."`

	// Answers and automatic subscriptions.
	ConnectCodeToUnidirectionalDisconnect ConnectCodeToDisconnect `json:"connect_code_to_unidirectional_disconnect"`
	SubscribeToUserPersonalChannel        PersonalChannel         `json:"subscribe_to_user_personal_channel" live:"true"`
}

// Token is the section client.token: how connection tokens are checked (PROTOCOL 4.2 and 4.3).
type Token struct {
	HMACSecretKey                     string `json:"hmac_secret_key" secret:"true" doc:"Key of HS256, HS384 and HS512 tokens, taken as raw bytes: 32 or more, at random. Empty: such tokens are refused."`
	HMACPreviousSecretKey             string `json:"hmac_previous_secret_key" secret:"true" doc:"Second HMAC key, tried when the main one does not fit, for a change of keys."`
	HMACPreviousSecretKeyValidUntil   int64  `json:"hmac_previous_secret_key_valid_until" default:"0" unit:"Unix seconds" doc:"When the previous key stops being tried. 0: never. Past: it is not tried."`
	RSAPublicKey                      string `json:"rsa_public_key" doc:"Public key (PEM text) of RS256, RS384, RS512, PS256, PS384 and PS512 tokens."`
	ECDSAPublicKey                    string `json:"ecdsa_public_key" doc:"Public key (PEM text) of ES256, ES384 or ES512 tokens, as its curve says."`
	JWKSPublicEndpoint                string `json:"jwks_public_endpoint" secret:"url" doc:"URL of a JWKS key set. All other keys are ignored then. A reload fetches it again. May hold {{name}} for named groups of issuer_regex and audience_regex."`
	Audience                          string `json:"audience" doc:"Value that must be among the audiences of a token."`
	AudienceRegex                     string `json:"audience_regex" doc:"Regular expression that one of the audiences of a token must match."`
	Issuer                            string `json:"issuer" doc:"Value that the issuer of a token must equal."`
	IssuerRegex                       string `json:"issuer_regex" doc:"Regular expression that the issuer of a token must match."`
	UserIDClaim                       string `json:"user_id_claim" doc:"Claim that holds the user id instead of sub."`
	InsecureSkipJWKSEndpointSafetyChk bool   `json:"insecure_skip_jwks_endpoint_safety_check" default:"false" doc:"Allow any expression in groups that fill the JWKS URL."`
}

// ConnectCodeToDisconnect is client.connect_code_to_unidirectional_disconnect (PROTOCOL 3.4).
type ConnectCodeToDisconnect struct {
	Enabled    bool                  `json:"enabled" default:"false" doc:"Map client error codes of a refused connect to disconnects of your own."`
	Transforms []DisconnectTransform `json:"transforms" doc:"Which error code becomes which disconnect."`
}

// DisconnectTransform maps one client error code to a disconnect.
type DisconnectTransform struct {
	Code int        `json:"code" default:"0" doc:"Client error code."`
	To   Disconnect `json:"to"`
}

// Disconnect is a code and a reason told to a client. Code 0 = not set.
type Disconnect struct {
	Code   int    `json:"code" default:"0" doc:"Disconnect code, 4000 to 4999 for your own; 4500 and above tell clients not to reconnect."`
	Reason string `json:"reason" doc:"Reason, ASCII, at most 123 bytes."`
}

// PersonalChannel is client.subscribe_to_user_personal_channel (PROTOCOL 5.5).
type PersonalChannel struct {
	Enabled                  bool   `json:"enabled" default:"false" doc:"Subscribe every user to a channel of the user's own."`
	PersonalChannelNamespace string `json:"personal_channel_namespace" doc:"Namespace of the personal channels. Empty: without namespace."`
	SingleConnection         bool   `json:"single_connection" default:"false" doc:"Keep only the newest connection of a user. Needs presence in that namespace."`
}

// Proxies is the section client.proxy: hooks that Sluice calls at the backend (PROTOCOL 8).
type Proxies struct {
	Connect Proxy `json:"connect"`
	Refresh Proxy `json:"refresh"`
}

// Proxy is one hook.
type Proxy struct {
	Enabled               bool          `json:"enabled" default:"false" doc:"Call this hook."`
	Endpoint              string        `json:"endpoint" secret:"url" doc:"URL of the hook, http:// or https://."`
	Timeout               time.Duration `json:"timeout" default:"1s" doc:"Most time of one call; 0 is refused where the hook is enabled. Of the connect hook never reached above client.stale_close_delay."`
	HTTPHeaders           []string      `json:"http_headers" doc:"Headers of the client's request that are passed on. Cookie and the like count for pages as client.token_cookie does."`
	EmulatedHeaders       []string      `json:"emulated_headers" doc:"Entries of headers in the connect request that are passed on as headers."`
	BinaryEncoding        bool          `json:"binary_encoding" default:"false" doc:"Send data as base64."`
	IncludeConnectionMeta bool          `json:"include_connection_meta" default:"false" doc:"Send the meta data of the connection."`
	HTTP                  ProxyHTTP     `json:"http"`
}

// ProxyHTTP is the HTTP part of a hook.
type ProxyHTTP struct {
	StaticHeaders          map[string]string `json:"static_headers" secret:"true" doc:"Headers sent with every call. ${SLUICE_VAR_X} and ${CENTRIFUGO_VAR_X} in a value stand for that environment variable."`
	StatusToCodeTransforms []StatusTransform `json:"status_to_code_transforms" doc:"What other statuses than 200 mean."`
	TLS                    TLS               `json:"tls"`
}

// StatusTransform maps one HTTP status of a hook to an error or a disconnect; exactly one of the two is set.
type StatusTransform struct {
	StatusCode   int         `json:"status_code" default:"0" doc:"HTTP status of the hook's answer."`
	ToError      ClientError `json:"to_error"`
	ToDisconnect Disconnect  `json:"to_disconnect"`
}

// ClientError is an error told to a client. Code 0 = not set.
type ClientError struct {
	Code      int    `json:"code" default:"0" doc:"Error code."`
	Message   string `json:"message" doc:"Message, ASCII, at most 123 bytes."`
	Temporary bool   `json:"temporary" default:"false" doc:"Whether trying again may help."`
}
