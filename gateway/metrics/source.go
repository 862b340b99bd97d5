package metrics

import (
	"time"

	"sluice/gateway/auth"
	"sluice/gateway/broker/relay"
	"sluice/gateway/cluster"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/proxy"
	"sluice/gateway/session"
	"sluice/gateway/tally"
)

// Source is where the numbers come from. Its methods must return at once.
type Source interface {
	// Node returns what can be read without asking a loop.
	Node() Node
	// Loops returns how many loops there are.
	Loops() int
	// Loop asks a loop for its state: done is called once, from its turn.
	Loop(i int, done func(LoopState))
	// Users asks a loop for the hashes of the users that have a session
	// there, each once: done is called once, from a turn.
	Users(i int, done func([]uint64))
}

// LoopState is what one loop counts.
type LoopState struct {
	Loop     loop.Stats
	Shard    hub.ShardStats
	Sessions session.LoopStats
}

// Node is what is counted outside of the loops. Maps are by label value.
type Node struct {
	Version, GoVersion string
	Cluster            cluster.Stats
	Engine             Engine
	Relay              *relay.Stats // nil without

	Hub         hub.Stats
	HeldMax     int64 // most memory that streams may hold
	LoopBacklog []int // posts waiting, by loop
	Sessions    session.Stats
	Tokens      Tokens
	// Connect and Refresh are the hooks, nil where there is none.
	Connect, Refresh *proxy.Stats

	API        []APIMethod
	APIRefused map[string]uint64 // calls that reached no method, by reason
	// APIAccepted are publications that came by the API, and that the engine took.
	APIAccepted uint64
	// BodyBytes are of large bodies of calls that have room, BodiesWaiting those without.
	BodyBytes     int64
	BodiesWaiting int
	// WorkBytes are what calls hold beside their bodies, WorkWaiting those without room,
	// WorkRefused those that found none.
	WorkBytes, WorkWaiting int64
	WorkRefused            uint64
	// Refused are connects turned away before a stream, by reason, and
	// LimitRefused those of them that a limit of the node turned away.
	Refused      map[string]uint64
	LimitRefused uint64
	// ConnectTook is from the request of a connect to its connect push.
	ConnectTook tally.Durations
	// ConnectsWaiting are those whose handlers wait for hooks or keys.
	ConnectsWaiting int
	// TicketsWaiting are to be used, TicketsDropped were not, or not given
	// out, by reason.
	TicketsWaiting int
	TicketsDropped map[string]uint64
	// Accept is what listeners did about connections, by event, and HalfOpen
	// how many of these have yet to send a whole request. Idle are between two
	// requests, and WaitingBytes what all that are no streams hold, by estimate.
	Accept         map[string]uint64
	HalfOpen, Idle int
	WaitingBytes   int64
	// GateConnections are those of the gate by state, GateBytes what came of requests and
	// nobody has read. Without a gate there are none.
	GateConnections map[string]int
	GateBytes       int64
	// GateOpened is how often a request held up others, see gate.Stats.
	GateOpened uint64
	// Limited is what the limits by address did, by limit.
	// Addresses are those with open streams that count for a limit.
	Limited   map[string]uint64
	Addresses int

	// Broadcast is what the broadcast route counts; the zero value without it.
	Broadcast Broadcast

	// Requests are HTTP requests, nil where they are not counted.
	Requests map[Request]uint64

	// Suppressed are publications that the engine dropped, by reason.
	Suppressed map[string]uint64
	// Positions are the channels that the engine knows the position of, by
	// whether anything was ever published there; Results are of idempotency
	// keys. Forgotten counts, by kind, those that had to make room for others.
	Positions map[string]int
	Results   int
	Forgotten map[string]uint64
	// Fallbacks are turns that a pool refused and a goroutine ran, by pool.
	Fallbacks map[string]uint64
	// RefusedCalls are calls of hooks that found no worker.
	RefusedCalls uint64
	// LogDropped are lines of the log that were not written.
	LogDropped uint64
}

// Broadcast are the counters of the broadcast route; maps are by label value.
type Broadcast struct {
	Channels, Streams  int
	Opened, Refused    map[string]uint64
	Redirects          uint64
	Respelled          uint64
	Checkpoints, Blank uint64
	Pressed            uint64
}

// Request is a kind of HTTP request. Its values must be of bounded sets.
type Request struct {
	Path, Method string
	Status       int
}

// Tokens is what was found of connection tokens.
type Tokens struct {
	Stats  *auth.Stats
	Cached int
}

// APIMethod counts the calls of one API method.
type APIMethod struct {
	Name   string
	Took   tally.Durations
	Errors map[uint32]uint64 // by code
}

// state is everything that one scrape shows.
type state struct {
	Node
	LoopState // of all loops together
	users     int
	stale     map[string]uint64 // answers that did not come in time, by what was asked
	at        time.Time
}
