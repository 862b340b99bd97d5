package schema

import (
	"reflect"
	"time"
)

// Config holds every option of Sluice in the nested form of the reference's version 6 (PROTOCOL 9.2) plus Sluice's own.
// It is plain data and safe to read from any goroutine as long as nobody writes to it.
type Config struct {
	UniSSE          UniSSE          `json:"uni_sse" doc:"The subscribe endpoint."`
	Broadcast       Broadcast       `json:"broadcast" doc:"The broadcast route: public channels for CDNs and relays to multiply."`
	Edge            Edge            `json:"edge" doc:"What stands in front."`
	HTTPServer      HTTPServer      `json:"http_server" doc:"Where Sluice listens, TLS, and what stands between it and the internet."`
	Client          Client          `json:"client" doc:"Who may connect, hooks, times and limits of connections."`
	Channel         Channel         `json:"channel" live:"true" doc:"Channels: names, namespaces and their options."`
	HTTPAPI         HTTPAPI         `json:"http_api" doc:"The server API."`
	Engine          Engine          `json:"engine" doc:"Where publications, history and presence live."`
	Broker          Broker          `json:"broker" doc:"Another place for publications and history than the engine's."`
	PresenceManager PresenceManager `json:"presence_manager" doc:"Another place for presence than the engine's."`
	Relay           Relay           `json:"relay" doc:"Publications from another node's broadcast route: trees of nodes without a CDN."`
	Cluster         Cluster         `json:"cluster" doc:"Many nodes of one engine."`
	Health          Health          `json:"health" doc:"The health check."`
	Prometheus      Prometheus      `json:"prometheus" doc:"Metrics."`
	Debug           Debug           `json:"debug" doc:"Go's profiles."`
	Admin           Admin           `json:"admin" doc:"The web console."`
	Init            Init            `json:"init" doc:"An endpoint that answers {}."`
	Log             Log             `json:"log" doc:"The log."`
	Node            Node            `json:"node" doc:"This process."`
	Shutdown        Shutdown        `json:"shutdown" doc:"What happens between the signal and the exit."`
	PIDFile         string          `json:"pid_file" doc:"Write the process id to this file at start and remove it at exit. Empty: no file."`
}

// Default returns a new Config in which every option has its documented default.
func Default() *Config {
	c := &Config{}
	Root.ApplyDefaults(reflect.ValueOf(c).Elem())
	return c
}

// UniSSE is the section uni_sse: the subscribe endpoint.
type UniSSE struct {
	// Of the reference.
	Enabled                   bool                  `json:"enabled" default:"false" doc:"Serve the SSE endpoint."`
	HandlerPrefix             string                `json:"handler_prefix" default:"/connection/uni_sse" doc:"Path of the SSE endpoint."`
	MaxRequestBodySize        int                   `json:"max_request_body_size" default:"65536" min:"1" unit:"bytes" doc:"Largest body of a POST that opens a stream; a larger one gets 413."`
	ConnectCodeToHTTPResponse ConnectCodeToHTTPResp `json:"connect_code_to_http_response"`

	// Of Sluice: resume.
	Retry            DurationRange `json:"retry" default:"3s-9s" doc:"Reconnect delay told to the client in a retry: line when the stream starts, drawn at random from this range for each stream. One duration gives a fixed delay, 0 sends no line."`
	LastEventID      bool          `json:"last_event_id" default:"true" doc:"Put a cursor into id: lines of recoverable channels and resume from Last-Event-ID. With this off and retry 0 the stream is byte for byte as the reference sends it."`
	CursorExactBytes int           `json:"cursor_exact_bytes" default:"512" zero:"default" unit:"bytes" doc:"Up to this length of the cursor every event carries it and a resume neither loses nor repeats anything. A longer cursor is sent at most once a second, and a cut may then repeat events."`
	RecoveryMaxBytes int           `json:"recovery_max_bytes" default:"8388608" zero:"default" unit:"bytes" doc:"Most recovered data of one connect, in its push or behind it. A channel that needs more is told that it was not recovered."`
	RecoveryMaxTotal int           `json:"recovery_max_total" default:"268435456" min:"65536" unit:"bytes" doc:"Most memory of this node for recovered data that has yet to leave, for connects and for subscriptions of the API. Each counts twice its bytes, since the garbage collector leaves as much again; what several streams recover together counts once. Above it clients wait for their turn, and those whose socket takes nothing for three seconds meanwhile are cut."`

	// Of Sluice: the stream.
	Incremental     bool          `json:"incremental" default:"true" doc:"Send Incremental: ?1 in the head of a stream (RFC 10036): a proxy that knows the field answers an error where it cannot pass events on one by one, instead of holding them back. Off: the head has no line that older clients and the reference do not know."`
	PingStyle       string        `json:"ping_style" default:"data" enum:"data,comment,id" doc:"What a ping is. data: the event {}, which clients see. comment: a comment, which no client sees. id: a comment with an id line, which moves the position of a client without an event; the comment alone on streams without one. Of pings that they cannot see the connect push does not tell clients."`
	TwoWriteStart   bool          `json:"two_write_start" default:"false" doc:"Send the head of a stream with a comment in a write and a segment of their own, and the connect push in the next: for middleboxes that hold the first piece of an answer until a second one comes."`
	Padding         int           `json:"padding" default:"0" max:"32768" unit:"bytes" doc:"Bytes of comment behind the connect push and behind every ping, in lines of 256: for middleboxes that hold bytes back until so many have come."`
	PaddingMax      int           `json:"padding_max" default:"4096" max:"32768" unit:"bytes" doc:"Up to how much padding a client may ask for with the parameter padding; who asks for more gets that. 0: the parameter counts for nothing."`
	Framing         string        `json:"framing" default:"chunked" enum:"chunked,close" doc:"How the body of a stream is delimited: by HTTP chunks, or by closing the connection for fronts that delay chunks."`
	MaxStreams      int           `json:"max_streams" default:"0" doc:"Most open streams of this node. 0, or more than that: 90 % of the limit of file descriptors, less of a low one."`
	KernelUnsentMax int           `json:"kernel_unsent_max" default:"131072" unit:"bytes" doc:"Most data of one stream that the kernel holds unsent (TCP_NOTSENT_LOWAT); more waits in the stream's queue. 0: what the system does, megabytes for a client that does not read."`
	MaxLifetime     time.Duration `json:"max_lifetime" default:"0s" doc:"End each stream after about this time (with jitter), between events and with a current cursor, so that nodes even out. 0: never."`
	BoundedStreams  bool          `json:"bounded_streams" default:"false" doc:"Allow the parameters max_events and max_duration, which end a stream early, for load tools."`
	TerminalStatus  bool          `json:"terminal_status" default:"false" doc:"Stop browsers after a terminal code, of a refusal or of an open stream: the automatic return gets 204; after 3500 and 3501 only if it is refused again."`
	Shed            string        `json:"shed" default:"retry" enum:"retry,status" doc:"What an EventSource gets over a passing limit: retry = 200 with a random retry: line and the end of the body, status = 503."`
	ShedRetryMax    time.Duration `json:"shed_retry_max" default:"60s" min:"1s" doc:"Longest reconnect delay told to a client that was shed. Those shed together are told delays that bring them back at the rate of client.connection_rate_limit."`
}

// Edge is the section edge: what stands in front. All of it is Sluice's own.
type Edge struct {
	Profile string `json:"profile" enum:",cloudflare,fastly,cloudfront,alb,gclb,nginx,haproxy" doc:"The front that streams pass through: sets client.ping_interval, uni_sse.max_lifetime, uni_sse.framing and broadcast.vary_last_event_id to what suits it, but for those that are set. Empty: none."`
}

// Broadcast is the section broadcast: the route whose streams a CDN may share among viewers. All of it is Sluice's own.
type Broadcast struct {
	Enabled          bool          `json:"enabled" default:"false" doc:"Serve the broadcast route, for channels of namespaces with broadcast."`
	HandlerPrefix    string        `json:"handler_prefix" default:"/broadcast" doc:"Path of the broadcast route: /broadcast/news has channel news, and /broadcast.js the script for pages."`
	VaryLastEventID  bool          `json:"vary_last_event_id" default:"false" doc:"Answer by Last-Event-ID, with Vary: Last-Event-ID, for fronts that share one stream among all who bring the same id (Fastly, Varnish): after a planned end all viewers of a stream do, and need no script. An id that is no checkpoint of this node is redirected to the bare path."`
	MaxOriginStreams int           `json:"max_origin_streams" default:"64" doc:"Most streams of one channel on this node; whoever comes above it is told to come back. A CDN needs about broadcast_lifetime / broadcast_freshness for each of its points of presence. 0: no limit."`
	MaxStreams       int           `json:"max_streams" default:"0" doc:"Most streams of the route on this node, of all channels together: what strangers who make up channels cannot take from others. 0: half of those that the node may have, or all where uni_sse is off."`
	Retry            time.Duration `json:"retry" default:"2s" min:"100ms" doc:"Reconnect delay in the first line of every stream of the route, the same for all. At least half of broadcast_freshness."`
}

// ConnectCodeToHTTPResp is uni_sse.connect_code_to_http_response (PROTOCOL 1.8).
type ConnectCodeToHTTPResp struct {
	Enabled    bool                   `json:"enabled" default:"false" doc:"Answer a refused connect with an HTTP status instead of a stream that ends with a disconnect push. A code without a transform gives 500."`
	Transforms []HTTPResponseTemplate `json:"transforms" doc:"Which code becomes which response; the first entry with an equal code is taken."`
}

// HTTPResponseTemplate maps one connect code to an HTTP response.
type HTTPResponseTemplate struct {
	Code int            `json:"code" default:"0" doc:"Client error code (1xx) or disconnect code (3xxx, 4xxx) as it was before any other mapping."`
	To   HTTPResponseTo `json:"to"`
}

// HTTPResponseTo is the target of an HTTPResponseTemplate.
type HTTPResponseTo struct {
	StatusCode int    `json:"status_code" default:"0" doc:"HTTP status to answer with."`
	Body       string `json:"body" doc:"Body to answer with. Empty: the text that belongs to the code."`
}
