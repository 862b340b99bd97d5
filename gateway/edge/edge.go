// Package edge is the broadcast route: streams of public channels that a front may share
// among any number of viewers. It answers requests, knows of each channel how many streams
// it has here and which positions its checkpoints had, and opens streams through sessions.
//
//	GET {prefix}/{channel}       a stream; with vary_last_event_id it begins where the
//	                             Last-Event-ID of a live checkpoint says
//	GET {prefix}.bare/{channel}  the same, whatever the Last-Event-ID
//	GET {prefix}.js              the script for pages
//
// What makes a shared stream whole for whoever joins it: it begins with a backlog that
// reaches further back than a viewer can have been away, and every stream of a channel has
// the same checkpoints at the same places.
package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/hijack"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/session"
)

// Options of a [Server]; the keys of configuration are below broadcast unless named.
type Options struct {
	Prefix          string // handler_prefix
	VaryLastEventID bool
	MaxStreams      int // of one channel, 0 for no limit (max_origin_streams)
	// MaxTotal is how many of all channels there may be, 0 for no limit (max_streams);
	// any goroutine.
	MaxTotal    func() int
	Retry       time.Duration // told at the beginning of every stream
	Rules       func() *channel.Rules
	Node        string // the id of this node, as CDN-Loop has it
	Socket      loop.SocketOptions
	CallTimeout time.Duration // of a call to the engine; 5 s
	// Address says where a request comes from, for the log; nil if nobody knows.
	Address func(ctx *fasthttp.RequestCtx) netip.Addr
	Log     *slog.Logger
}

// Server answers the route. Make it with [New].
type Server struct {
	// Immutable after New.
	opt      Options
	sessions *session.Manager
	broker   broker.Broker
	taker    *hijack.Taker
	channels *channels
	debug    bool // the log wants to know from where streams are opened

	// Atomic.
	draining  atomic.Bool
	opened    [streamKinds]atomic.Uint64
	refused   [refusals]atomic.Uint64
	redirects atomic.Uint64
	respelled atomic.Uint64
}

// New makes the route over the sessions of a node. Its checkpoints are sent while
// [Server.Run] runs.
func New(m *session.Manager, h *hub.Hub, b broker.Broker, opt Options) *Server {
	if opt.CallTimeout <= 0 {
		opt.CallTimeout = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opt: opt, sessions: m, broker: b, taker: hijack.New(m, opt.Socket, opt.Log),
		channels: newChannels(h, opt.MaxStreams, opt.Retry+backlogSlack),
		debug:    opt.Log.Enabled(context.Background(), slog.LevelDebug),
	}
	s.channels.tight = s.tight
	if opt.MaxTotal != nil {
		s.channels.total = opt.MaxTotal
	}
	m.OnBroadcastEnd(s.channels.leave)
	return s
}

// backlogSlack is what a backlog reaches back beyond the freshness of a stream and the
// reconnect delay: for the round trips of whoever comes back.
const backlogSlack = 5 * time.Second

// Checkpoint learns where a channel stood when a checkpoint passed its lane
// (hub.Options.OnCheckpoint).
func (s *Server) Checkpoint(ch string, at hub.Mark) { s.channels.passed(ch, at) }

// tight tells that a channel has nearly as many streams as it may.
func (s *Server) tight(ch string) {
	s.opt.Log.Warn("a channel of the broadcast route is near its limit: its streams end sooner",
		"channel", fmt.Sprintf("%.100s", ch), "limit", s.opt.MaxStreams,
		"remedy", "raise broadcast.max_origin_streams, or have the front share streams: one for each coding, whatever the client")
}

// Run sends the checkpoints of all channels until done is closed, on a goroutine of the
// caller's.
func (s *Server) Run(done <-chan struct{}) { s.channels.run(done) }

// Drain turns every request for a stream away from here on. Any goroutine.
func (s *Server) Drain() { s.draining.Store(true) }

// Why a request got no stream.
const (
	refusedMethod   = iota
	refusedRequest  // a query, or an escape that cannot be decoded
	refusedChannel  // not one of the route, or none at the origin of a relay
	refusedLoop     // it came round, or through too many relays
	refusedChannels // over max_origin_streams
	refusedNode     // over max_streams or a limit of the node, or the node stops
	refusedEngine   // the stream could not be opened, mostly because the engine is away
	refusedDetached // its connection cannot be streamed to
	refusals
)

var refusalNames = [refusals]string{"method", "malformed", "channel", "loop", "channel_limit", "node_limit", "failed", "not_detached"}

// Kinds of streams, by where they begin.
const (
	streamShared  = iota // with the backlog that all get
	streamResumed        // behind the checkpoint of a Last-Event-ID
	streamPrivate        // behind the position of a relay
	streamKinds
)

var streamNames = [streamKinds]string{"shared", "resumed", "relay"}

// Stats are the counters of the route since its start, and its present state.
type Stats struct {
	Channels int // with streams here, or with some a short while ago
	Streams  int // open, or on their way
	// Opened are streams that were asked for and not refused at once, by kind.
	Opened map[string]uint64
	// Refused are requests that got no stream, by reason.
	Refused   map[string]uint64
	Redirects uint64 // to the bare path
	Respelled uint64 // requests sent to the one spelling of the path
	// Checkpoints are those that told a position, Blank those that could not.
	Checkpoints, Blank uint64
	Pressed            uint64 // times that streams of a channel began to end sooner, for want of room
}

// Stats returns the counters. Any goroutine.
func (s *Server) Stats() Stats {
	st := Stats{Opened: make(map[string]uint64, streamKinds), Refused: make(map[string]uint64, refusals), Redirects: s.redirects.Load(), Respelled: s.respelled.Load()}
	for i := range s.opened {
		st.Opened[streamNames[i]] = s.opened[i].Load()
	}
	for i := range s.refused {
		st.Refused[refusalNames[i]] = s.refused[i].Load()
	}
	st.Refused[refusalNames[refusedDetached]] = s.taker.Undetached()
	s.channels.count(&st)
	return st
}
