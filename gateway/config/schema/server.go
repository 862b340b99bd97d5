package schema

import (
	"net"
	"strconv"
	"time"

	"sluice/gateway/front/local"
)

// HTTPServer is the section http_server: where Sluice listens.
type HTTPServer struct {
	Address         string `json:"address" doc:"Host or IP address to listen on, or unix:/path for a Unix socket, which has no port. Empty: all."`
	Port            int    `json:"port" kind:"port" default:"8000" doc:"Port of the SSE endpoint, and of all others unless internal_port is set. 0: any free port."`
	InternalAddress string `json:"internal_address" doc:"Host or IP address of the internal endpoints, or unix:/path for a Unix socket. Empty: as address."`
	InternalPort    string `json:"internal_port" kind:"port" doc:"Port of the internal endpoints (API, console, metrics, health, debug). Empty: as port."`
	TLS             TLS    `json:"tls"`
	TLSExternal     bool   `json:"tls_external" default:"false" doc:"Use TLS on the external port only."`
	InternalTLS     TLS    `json:"internal_tls"`
	MaxHeadSize     int    `json:"max_head_size" default:"73728" min:"4096" max:"1048576" unit:"bytes" doc:"Largest request line plus headers; a larger head gets 431. A cf_connect parameter is part of it."`

	// Of Sluice: what stands between it and the open internet.
	UnixSocketMode  string        `json:"unix_socket_mode" default:"0660" doc:"Mode of the files of Unix sockets, octal digits in quotes. Who may write to the file may connect: by default the user of the process, and a group."`
	UnixSocketGroup string        `json:"unix_socket_group" doc:"Group of the files of Unix sockets, by name or number: that of a proxy in front. The process must be in it. Empty: the group of the process."`
	TrustedProxies  []string      `json:"trusted_proxies" doc:"Addresses and networks (CIDR) of proxies in front, and unix for whoever connects to a Unix socket. Only what they say about a client's address and the host it asked for is believed."`
	ForwardedHeader string        `json:"forwarded_header" default:"x-forwarded-for" enum:"x-forwarded-for,forwarded,none" doc:"Header in which trusted proxies name the client. Only this one is read: another may be the client's own. none: the PROXY protocol alone names clients; set it where proxies pass connections on and never look into requests."`
	ProxyProtocol   bool          `json:"proxy_protocol" default:"false" doc:"Expect the PROXY protocol (version 1 or 2) at the start of connections from trusted proxies."`
	HeaderTimeout   time.Duration `json:"header_timeout" default:"10s" min:"100ms" doc:"Most time from the start of a request to the end of its headers."`
	ReadTimeout     time.Duration `json:"read_timeout" default:"30s" min:"100ms" doc:"Most time from the start of a request to the end of its body."`
	IdleTimeout     time.Duration `json:"idle_timeout" default:"75s" min:"100ms" doc:"How long a connection may be idle between two requests. Set it above the idle time of the balancer in front, which should be the one that closes; most have 60s."`
	Gate            string        `json:"gate" default:"auto" enum:"auto,off" doc:"Hold connections that wait for a request in an epoll of Sluice's own, without a goroutine or a buffer for each. auto: where the system has one (Linux). off: let the HTTP server accept and wait."`
	ReusePort       string        `json:"reuse_port" default:"off" enum:"off,on,force" doc:"Share the ports with other processes of this machine, among which the kernel spreads connections (SO_REUSEPORT). on is refused with the memory engine, whose channels each process would have for itself; force is not."`
	HalfOpenLimit   int           `json:"half_open_limit" default:"1024" doc:"Most connections of one address (IPv6: one /64) with an unfinished TLS handshake or request: one more is closed. As many more may wait for a hook or a key set. 0: no limit."`
	IdleLimit       int           `json:"idle_limit" default:"4096" doc:"Most connections of one address (IPv6: one /64) that are idle between two requests. For one more the one that has been idle for longest is closed; if none has been for a second, the next answer ends its connection. Trusted proxies do not count. 0: no limit."`
	WaitingMaxBytes int           `json:"waiting_max_bytes" default:"268435456" unit:"bytes" doc:"Most memory of all connections that are no streams, by estimate: 1 KiB each, 16 with TLS (8 and 24 with gate: off), what has come of a request, three heads and 64 KiB while a request arrives slowly, and 48 KiB, the largest head, twice the own one and the body while a connect waits for a hook or a key set. Over it connections that wait for their client are closed, those of the addresses with the most first. Connects that wait for a hook or a key set may hold three quarters of it, those of one address half of that: one more is turned away. 0: no limit."`
}

// External returns host:port of the external listener, or unix:/path.
func (s *HTTPServer) External() string {
	if local.Is(s.Address) {
		return s.Address
	}
	return net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
}

// Internal returns host:port of the internal endpoints, or unix:/path, and whether that is a listener of its own.
func (s *HTTPServer) Internal() (addr string, separate bool) {
	host, port := s.InternalAddress, s.InternalPort
	if host == "" {
		host = s.Address
	}
	if local.Is(host) {
		return host, host != s.External()
	}
	if port == "" {
		port = strconv.Itoa(s.Port)
	}
	addr = net.JoinHostPort(host, port)
	return addr, addr != s.External()
}

// TLS is the object shared by servers and clients. PEM values are PEM text, base64 of PEM, or a path: see package source.
type TLS struct {
	Enabled            bool   `json:"enabled" default:"false" doc:"Use TLS."`
	CertPEM            string `json:"cert_pem" doc:"Certificate chain: PEM text, base64 of PEM, or a path."`
	KeyPEM             string `json:"key_pem" secret:"true" doc:"Private key: PEM text, base64 of PEM, or a path."`
	ClientCAPEM        string `json:"client_ca_pem" doc:"Server side: authorities that client certificates must come from (mutual TLS). PEM text, base64 of PEM, or a path."`
	ServerCAPEM        string `json:"server_ca_pem" doc:"Client side: authorities that the server's certificate must come from. PEM text, base64 of PEM, or a path. Empty: those of the system."`
	ServerName         string `json:"server_name" doc:"Client side: name expected in the server's certificate. Empty: the host of the address."`
	InsecureSkipVerify bool   `json:"insecure_skip_verify" default:"false" doc:"Client side: do not check the server's certificate."`
}

// HTTPAPI is the section http_api: the server API over HTTP.
type HTTPAPI struct {
	Disabled      bool   `json:"disabled" default:"false" doc:"Do not serve the API."`
	HandlerPrefix string `json:"handler_prefix" default:"/api" doc:"Path of the API; each method is one level below."`
	Key           string `json:"key" secret:"true" live:"true" doc:"Key that API calls must present. Empty: every call gets 401."`
	ErrorMode     string `json:"error_mode" enum:",transport" doc:"transport = API errors as HTTP statuses; empty = status 200 with an error object."`
	External      bool   `json:"external" default:"false" doc:"Serve the API on the external port even where an internal one exists."`
	Insecure      bool   `json:"insecure" default:"false" live:"true" doc:"Serve the API without a key. Only behind a firewall; pages of other sites are refused."`

	// Of Sluice.
	PublishWait             time.Duration `json:"publish_wait" default:"1s" zero:"default" doc:"How long a publish waits for room in publish_inflight_max_bytes before it gets error 100, and a body of 64 KiB or more for those before it; nothing was published then."`
	PublishInflightMaxBytes int           `json:"publish_inflight_max_bytes" default:"67108864" min:"65536" unit:"bytes" doc:"Bytes of publications between their acceptance and the queues of the streams; above it publishers wait."`
	MaxPublicationSize      int           `json:"max_publication_size" default:"0" unit:"bytes" doc:"Largest data of one publication; a larger one gets error 107. 0: what fits into a call."`
	MaxBodySize             int           `json:"max_body_size" default:"33554432" min:"1024" unit:"bytes" doc:"Largest body of an API call; a larger one gets 413."`
	MaxBatchCommands        int           `json:"max_batch_commands" default:"50000" min:"1" doc:"Most commands of one batch, or of one call of the older form; a batch with more gets error 107, such a call 400, and none of them is run."`
	MaxBroadcastChannels    int           `json:"max_broadcast_channels" default:"100000" min:"1" doc:"Most channels of one broadcast, or of all those of a batch; a call with more gets error 107. Tags and the clients of a whitelist count, too."`
	WorkMaxBytes            int           `json:"work_max_bytes" default:"67108864" min:"1048576" unit:"bytes" doc:"Bytes that calls may hold at once beside their bodies: decoded batches and broadcasts, and answers until their callers have taken them. A quarter is for calls that hold no more than a sixteenth of it. Above it calls wait for others, at most 10s, and get error 100 then."`
	MaxDepth                int           `json:"max_depth" default:"128" min:"8" max:"10000" doc:"Deepest nesting of JSON that is accepted."`
	MaxNumberSize           int           `json:"max_number_size" default:"1024" min:"32" unit:"bytes" doc:"Longest number in JSON that is accepted."`
	IdempotencyMaxResults   int           `json:"idempotency_max_results" default:"1000000" min:"1" doc:"Most idempotency keys that the memory engine remembers, about 100 bytes each; beyond it the oldest is forgotten before its five minutes are over."`
}

// Health is the section health.
type Health struct {
	Enabled       bool   `json:"enabled" default:"false" doc:"Serve the health check."`
	HandlerPrefix string `json:"handler_prefix" default:"/health" doc:"Path of the health check."`
}

// Prometheus is the section prometheus.
type Prometheus struct {
	Enabled          bool   `json:"enabled" default:"false" doc:"Serve metrics for Prometheus."`
	HandlerPrefix    string `json:"handler_prefix" default:"/metrics" doc:"Path of the metrics."`
	MetricsNamespace string `json:"metrics_namespace" default:"sluice" doc:"First part of all metric names; centrifugo keeps existing dashboards working."`
	InstrumentHTTP   bool   `json:"instrument_http_handlers" default:"false" doc:"Count HTTP requests by path, method and status."`
}

// Debug is the section debug.
type Debug struct {
	Enabled       bool   `json:"enabled" default:"false" doc:"Serve Go's profiles."`
	HandlerPrefix string `json:"handler_prefix" default:"/debug/pprof" doc:"Path of the profiles."`
}

// Admin is the section admin: the web console.
type Admin struct {
	Enabled       bool   `json:"enabled" default:"false" doc:"Serve the web console."`
	HandlerPrefix string `json:"handler_prefix" default:"/admin" doc:"Path of the console. Empty: the root."`
	Password      string `json:"password" secret:"true" live:"true" doc:"Password of admins. Empty: nobody logs in with one. When it changes everybody is logged out."`
	Secret        string `json:"secret" secret:"true" live:"true" doc:"Key that signs sessions of the console and login tokens (sluice admintoken); the same on all nodes, so that one login is good for each. Empty: random at each start, and no login tokens. When it changes everybody is logged out."`
	Insecure      bool   `json:"insecure" default:"false" doc:"Serve the console without a login: everybody who reaches it may do everything. Only behind a firewall; host names that anybody could own are refused without TLS."`
	External      bool   `json:"external" default:"false" doc:"Serve the console on the external port even where an internal one exists."`

	// Of Sluice.
	ReadOnlyPassword string        `json:"read_only_password" secret:"true" live:"true" doc:"Password of viewers, who may look but not act. Empty: nobody logs in with it. When it changes everybody is logged out."`
	SessionLifetime  time.Duration `json:"session_lifetime" default:"30m" min:"1s" max:"12h" live:"true" doc:"How long a session of the console lasts without being used. Use renews it, for 12h at most."`
}

// Init is the section init: an endpoint that answers {} (for cookies and warm-up).
type Init struct {
	Enabled       bool   `json:"enabled" default:"false" doc:"Serve the init endpoint, which answers {}."`
	HandlerPrefix string `json:"handler_prefix" default:"/connection/init" doc:"Path of the init endpoint."`
}

// Log is the section log.
type Log struct {
	Level  string `json:"level" default:"info" enum:"none,trace,debug,info,warn,error,fatal" doc:"Least level that is logged."`
	Format string `json:"format" default:"json" enum:"json,text" doc:"One JSON object per line, or text for people."`
	File   string `json:"file" doc:"File to log to; SIGHUP opens it anew. Empty: standard output."`
}

// Node is the section node.
type Node struct {
	Name                         string        `json:"name" doc:"Name of this node for people. Empty: <host>_<port>."`
	InfoMetricsAggregateInterval time.Duration `json:"info_metrics_aggregate_interval" default:"60s" zero:"default" min:"1s" doc:"Span over which the metrics in the answer of API info are summed up."`

	// Of Sluice.
	Loops   int    `json:"loops" default:"0" max:"1024" doc:"Event loops that carry the streams. 0: as many as Go may use CPUs at start."`
	Lanes   int    `json:"lanes" default:"0" max:"4096" doc:"Lanes that encode publications; the channels are spread over them. 0: chosen from the number of loops."`
	IOURing string `json:"io_uring" default:"auto" enum:"auto,on,off" doc:"Write for many streams with one system call, over io_uring. auto: where the kernel allows it. on: refuse to start otherwise."`
}

// Shutdown is the section shutdown.
type Shutdown struct {
	Timeout time.Duration `json:"timeout" default:"30s" min:"1ms" doc:"Most time from the signal to the exit."`
	Grace   time.Duration `json:"grace" default:"0s" doc:"How long new connections are still accepted after the signal, while the ready check already says no. 0: not at all."`
	Rate    int           `json:"rate" default:"2000" doc:"Streams ended per second after the grace, so that their clients do not come back all at once. More where the timeout would not be kept otherwise. 0: all at once."`
}
