package session

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/cluster"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	"sluice/gateway/problem"
)

// Options of a [Manager]; the keys of configuration are named where they are
// not obvious.
type Options struct {
	Version      string          // in the connect push
	PingInterval time.Duration   // not above 0: no pings
	PingStyle    codec.PingStyle // uni_sse.ping_style
	// TwoWrites has the head of a stream leave with a comment, in a write and a segment
	// of their own, before what it begins with (uni_sse.two_write_start).
	TwoWrites    bool
	Rules        func() *channel.Rules
	Cursors      bool      // uni_sse.last_event_id
	TerminalIDs  bool      // uni_sse.terminal_status
	ServerTime   bool      // client.connect_include_server_time
	ChannelLimit int       // subscriptions of one connection
	Live                   // what is in force until Manager.Set
	Addresses    Addresses // limits by client address; nil for none
	// MaxLifetime is about how long a stream may last, 0 for ever
	// (uni_sse.max_lifetime).
	MaxLifetime time.Duration
	// RetryMin and RetryMax are the reconnect delays that streams are told
	// when they begin (uni_sse.retry), 0 for none: then none is told when
	// they end either, for nothing would set it right again.
	RetryMin, RetryMax time.Duration
	RecoveryMaxBytes   int           // of missed publications for one connect; 8 MiB
	RecoveryMaxTotal   int           // of memory for missed publications on this node; 256 MiB
	StaleCloseDelay    time.Duration // how long opening may take
	ExpiredCloseDelay  time.Duration
	ExpiredSubDelay    time.Duration
	CallTimeout        time.Duration // of one call to engine or presence
	// PresenceUpdateInterval is the tick on which a session looks after its
	// subscriptions; 27 s.
	PresenceUpdateInterval time.Duration
	// PositionCheckDelay is how long a position may go unconfirmed before a
	// tick compares it with the engine's; 40 s.
	PositionCheckDelay time.Duration
	// KeeperBacklog is how many calls to presence, joins and leaves may wait
	// on a loop before connects that add some have to; 65,536.
	KeeperBacklog int
	// Places are those of users on all nodes; nil for this node only. With
	// LimitNodeOnly user_connection_limit does without them
	// (client.user_connection_limit_scope).
	Places        cluster.Places
	LimitNodeOnly bool
	// Evict ends the connections of a user on all nodes that are older than one, as
	// EvictOlder does there; nil where there are no others. It may wait until ctx ends,
	// and is called from the goroutine of a connect.
	Evict func(ctx context.Context, user, keep string, claim uint64) error
	// Refresh is asked when a connection expires; nil without a hook. Calls
	// runs what it waits for.
	Refresh auth.Hook
	Calls   *actor.Bounded
	// Sources keeps for each stream where it came from and when it began, see
	// [Manager.FindClients]: 32 bytes, and its user agent once for all that have the same.
	Sources bool
	// Log takes connects and disconnects at level debug, if that is on when
	// the manager is made.
	Log *slog.Logger

	now      func() time.Time // the wall clock; time.Now, but in tests
	placeTTL time.Duration    // cluster.PlaceTTL, but in tests
	// settleAgain is after how long other nodes are told once more what they were told
	// late, but in tests 15 s: those that were cut off as well may hear again later than
	// this one.
	settleAgain time.Duration
	// barrierWait is how long a command waits for the engine to bring what was
	// acknowledged before it; 1 s, but in tests.
	barrierWait time.Duration
}

// Personal is client.subscribe_to_user_personal_channel (PROTOCOL 5.5).
type Personal struct {
	Enabled          bool
	Namespace        string
	SingleConnection bool
}

func (o *Options) setDefaults() {
	if o.ChannelLimit <= 0 {
		o.ChannelLimit = 128
	}
	if o.RecoveryMaxBytes <= 0 {
		o.RecoveryMaxBytes = 8 << 20
	}
	if o.RecoveryMaxTotal <= 0 {
		o.RecoveryMaxTotal = 256 << 20
	}
	if o.StaleCloseDelay <= 0 {
		o.StaleCloseDelay = 10 * time.Second
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 5 * time.Second
	}
	if o.PresenceUpdateInterval <= 0 {
		o.PresenceUpdateInterval = 27 * time.Second
	}
	if o.PositionCheckDelay <= 0 {
		o.PositionCheckDelay = 40 * time.Second
	}
	if o.KeeperBacklog <= 0 {
		o.KeeperBacklog = 1 << 16
	}
	if o.placeTTL <= 0 {
		o.placeTTL = cluster.PlaceTTL
	}
	if o.settleAgain <= 0 {
		o.settleAgain = 15 * time.Second
	}
	if o.barrierWait <= 0 {
		o.barrierWait = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// PaddingMax is the most lines of padding that streams may have.
const PaddingMax = 128

// minPing bounds the ping interval: below it pings would be the load.
const minPing = 10 * time.Millisecond

// Check returns what is wrong with the options, by their keys in the
// configuration.
func (o *Options) Check() problem.List {
	var l problem.List
	const ping = "client.ping_interval"
	switch p := o.PingInterval; {
	case p >= 0 && p < minPing:
		l.Fail(ping, "%s is too short: allowed %s or more, or negative for no pings", p, minPing)
	case p >= minPing && p < time.Second:
		l.Note(ping, problem.Advice, "%s: clients are told whole seconds, and so 0, which is no pings at all; set it to 1s or more", p)
	}
	const one, total = "uni_sse.recovery_max_bytes", "uni_sse.recovery_max_total"
	if o.RecoveryMaxBytes >= o.RecoveryMaxTotal-o.RecoveryMaxBytes { // recoveryFactor
		l.Note(one, problem.Advice, "twice %d, as what is recovered counts, is not less than %s (%d): a client that missed so much takes all of that, and those that come back meanwhile wait or are told 3013; set %s to several times as much, or this to less",
			o.RecoveryMaxBytes, total, o.RecoveryMaxTotal, total).With(total)
	}
	const personal = "client.subscribe_to_user_personal_channel."
	if p := &o.Personal; !p.Enabled && p.SingleConnection {
		l.Idle(personal+"single_connection", personal+"enabled")
	}
	if p := &o.Personal; !p.Enabled && p.Namespace != "" {
		l.Idle(personal+"personal_channel_namespace", personal+"enabled")
	}
	return l
}

// Manager opens sessions and finds those that are open. Its methods may be
// called from any goroutine but not from a turn.
type Manager struct {
	// Immutable after New.
	opt      Options
	group    *loop.Group
	hub      *hub.Hub
	broker   broker.Broker
	presence presence.Manager
	agents   []*Agent
	checker  *actor.Actor[checkOp]
	settler  *actor.Actor[debt]
	users    *users
	budget   *budget
	clock    *wallClock
	debug    bool // the log wants every connect and disconnect
	// histories is the engine's, shared by those who ask at the same time
	// unless the engine is in the process.
	histories histories
	able      broker.Abilities
	barriers  *flights[struct{}, error]
	// calls is what refresh hooks are asked under: it ends with Shutdown.
	calls    context.Context
	endCalls context.CancelFunc
	// left is told of the end of a broadcast stream, see OnBroadcastEnd.
	left func(channel string)
	// short counts backlogs of broadcast streams by what is wrong with them. Atomic.
	short [Shorts]atomic.Uint64

	// Atomic.
	live     atomic.Pointer[Live]
	streams  atomic.Int64 // open, or on their way
	openings atomic.Int64 // connects between Enter and Leave, and calls of the refresh hook
	stopping atomic.Bool
	resumes  resumes
	// keeperRefused are connects and subscriptions that found no room in their
	// keeper, joinsDropped joins and leaves that found no credit.
	keeperRefused, joinsDropped atomic.Uint64
	unordered                   atomic.Uint64 // see broughtIn
	barriersPause               atomic.Int64  // until when nobody waits for one, Unix ns
	// presenceFailed and placesFailed are calls that failed, placesAlone questions of
	// connects to which there was no answer, evictionsFailed those that nodes may have
	// missed. See Stats.
	presenceFailed, placesFailed, placesAlone, evictionsFailed atomic.Uint64
	placesPause                                                atomic.Int64 // until when nobody asks, Unix ns
	owed                                                       atomic.Int64 // debts, of which there are at most maxDebts
	evictionsLate                                              atomic.Uint64
}

// BlockingActors is how many actors of a manager over so many loops run on the
// blocking pool: a keeper and a teller for each loop, the checker of positions and the
// settler of debts.
func BlockingActors(loops int) int { return 2*loops + 2 }

// New makes a manager over the loops of group and becomes their handler: the
// loops start with it. Calls that may wait run on blocking.
func New(group *loop.Group, h *hub.Hub, b broker.Broker, p presence.Manager, blocking actor.Submitter, opt Options) *Manager {
	opt.setDefaults()
	m := &Manager{
		opt: opt, group: group, hub: h, broker: b, able: b.Abilities(), presence: p, users: newUsers(),
		clock: newWallClock(opt.now),
		debug: opt.Log.Enabled(context.Background(), slog.LevelDebug),
	}
	m.live.Store(&opt.Live)
	m.calls, m.endCalls = context.WithCancel(context.Background())
	m.checker = actor.New[checkOp](blocking, newChecker(m))
	m.settler = actor.New[debt](blocking, &settler{m: m})
	m.histories = b.Histories
	if !m.able.Local {
		m.histories = newFlights(opt.CallTimeout, b.Histories, func(err error) broker.History { return broker.History{Err: err} }).get
	}
	m.barriers = newFlights(opt.barrierWait,
		func(ctx context.Context, _ []struct{}) []error { return []error{b.Barrier(ctx)} },
		func(err error) error { return err })
	for _, l := range group.Loops {
		m.agents = append(m.agents, newAgent(m, l, blocking))
	}
	m.budget = newBudget(int64(opt.RecoveryMaxTotal))
	group.OnFreed(m.budget.freed)
	group.Start(func(l *loop.Loop) loop.Handler { return m.agents[l.ID()] })
	return m
}

func (m *Manager) agent(l *loop.Loop) *Agent { return m.agents[l.ID()] }

// frames of the disconnects that are told most.
var (
	frameShutdown     = codec.DisconnectFrame(codec.DisconnectShutdown)
	frameExpired      = codec.DisconnectFrame(codec.DisconnectExpired)
	frameSubExpired   = codec.DisconnectFrame(codec.DisconnectSubExpired)
	frameInsufficient = codec.DisconnectFrame(codec.DisconnectInsufficientState)
	frameChannelLimit = codec.DisconnectFrame(codec.DisconnectChannelLimit)
)

// closeWithin is how long a closing stream may take to be written out.
const closeWithin = 5 * time.Second

// Enter counts a connect that is on its way to [Manager.Open] or
// [Manager.Refuse], so that Idle waits for it; Leave ends that. Any goroutine.
func (m *Manager) Enter() { m.openings.Add(1) }

// Leave ends what Enter began. Any goroutine.
func (m *Manager) Leave() { m.openings.Add(-1) }

// Idle waits until no connect and no call of a refresh hook is on its way, at most until ctx ends.
func (m *Manager) Idle(ctx context.Context) error {
	for m.openings.Load() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("session: connects were cut: %w", context.Cause(ctx))
		case <-time.After(idlePoll):
		}
	}
	return nil
}

// Quiet waits until what the ended sessions left to do in presence, and the
// last check of positions, is done. Call it after the loops have stopped.
func (m *Manager) Quiet() {
	idle := func() bool {
		for _, a := range m.agents {
			// In the order in which one posts to the other.
			if !a.keeper.Idle() || !a.teller.Idle() {
				return false
			}
		}
		return m.checker.Idle() && m.settler.Idle()
	}
	for deadline := time.Now().Add(m.opt.CallTimeout); !idle() && time.Now().Before(deadline); {
		time.Sleep(idlePoll)
	}
}

// idlePoll is how often a wait for the end looks again.
const idlePoll = time.Millisecond

// Counts returns what is open on this node.
func (m *Manager) Counts() Counts {
	type part struct {
		clients, subs int
		users         []uint64
	}
	parts := make([]part, len(m.agents))
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		p := part{clients: a.clients, subs: a.shard.Subscribers()}
		for h := range a.byUser.All() {
			p.users = append(p.users, h)
		}
		parts[l.ID()] = p
	})
	var c Counts
	users := make(map[uint64]struct{})
	for i := range parts {
		c.Clients += parts[i].clients
		c.Subscriptions += parts[i].subs
		for _, h := range parts[i].users {
			users[h] = struct{}{}
		}
	}
	c.Users = len(users)
	c.Channels, _ = m.hub.Interest()
	return c
}

// Verify panics if the tables of the loops disagree; for tests.
func (m *Manager) Verify() {
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		a.shard.Verify()
		n := 0
		a.each(func(loop.Ref, *session) { n++ })
		if n != a.clients {
			panic("BUG: session: the count of clients is off")
		}
		chained := 0
		for _, head := range a.byUser.All() {
			for i := head; i != 0; i = a.table.at(i - 1).next {
				chained++
			}
		}
		if chained != n {
			panic("BUG: session: the chains of users are off")
		}
	})
}

// Live are the options of a [Manager] that may change while streams are open;
// see [Manager.Set]. The keys of configuration are named where they are not
// obvious.
type Live struct {
	Insecure bool // client.insecure
	// StreamLimit is how many streams may be open on this node, 0 for no
	// limit.
	StreamLimit int
	// LimitedBy is the option that StreamLimit is of, or ByDescriptors: for the log.
	LimitedBy string
	// UserConnectionLimit is connections of one user on this node, 0 for no
	// limit.
	UserConnectionLimit int
	RecoveryLimit       int // client.recovery_max_publication_limit, not above 0: none
	Personal            Personal
}

// Set replaces the live options for connects from here on. Streams that are open
// stay as they are, even if they are more than a new limit allows; they count for
// it. Any goroutine but a turn, one at a time.
func (m *Manager) Set(live Live) {
	before := m.live.Swap(&live)
	if before.UserConnectionLimit > 0 || live.UserConnectionLimit <= 0 {
		return
	}
	// Nobody was counted so far. Whoever opens from here on is by Agent.add.
	for _, l := range m.group.Loops {
		a := m.agent(l)
		l.Post(&tableWalk{a: a, visit: func(_ uint32, s *session) { a.count(s) }})
	}
}

// count gives a session a place among its user's if it has none, whether there
// is one left or not: it is open already.
func (a *Agent) count(s *session) {
	if s.holds&holdsPlace == 0 && s.user != "" && a.m.live.Load().UserConnectionLimit > 0 {
		a.m.users.add(s.user)
		s.holds |= holdsPlace
	}
}
