package session

import (
	"errors"
	"maps"
	"sync/atomic"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/tally"
)

// ClientKind is what counters tell of a client: its name and version are its
// own text, so only whether it said them is counted (PROTOCOL 9.5).
type ClientKind uint8

// The bits of a ClientKind; Broadcast stands alone.
const (
	Named ClientKind = 1 << iota
	Versioned
	// Broadcast is a stream of the broadcast route, whose client says nothing of itself.
	Broadcast
	ClientKinds = Broadcast + 1 // how many kinds there are
)

// KindOf returns the kind of a client that says so of itself.
func KindOf(name, version string) (k ClientKind) {
	if name != "" {
		k |= Named
	}
	if version != "" {
		k |= Versioned
	}
	return k
}

// Push is a kind of push that sessions send. Those of channels are counted by
// hub.ShardStats.
type Push uint8

// The pushes of sessions.
const (
	PushConnect Push = iota
	PushSubscribe
	PushUnsubscribe
	PushMissed // publications behind a subscribe push, or behind a connect push
	PushRefresh
	PushDisconnect
	PushPing
	Pushes // how many there are
)

// LoopStats are the counters of the sessions of one loop, and their present
// state.
type LoopStats struct {
	// Clients are the sessions, Accepted those that were opened, by kind.
	Clients  [ClientKinds]int
	Accepted [ClientKinds]uint64
	// Subscriptions are those of open sessions and Subscribed all that there
	// were, by whether the client said its name.
	Subscriptions [2]int
	Subscribed    [2]uint64
	Sent          [Pushes]hub.Sent
	Unsubscribed  uint64 // by the server
	// Disconnects are sessions that the server ended, Refused connects that it
	// did not open, by the code that the client was to be told, before any
	// transform of the configuration; 0 is for codes of nobody's table.
	Disconnects, Refused map[uint32]uint64
}

// Merge adds what other has counted.
func (s *LoopStats) Merge(other *LoopStats) {
	for i := range s.Clients {
		s.Clients[i] += other.Clients[i]
		s.Accepted[i] += other.Accepted[i]
	}
	for i := range s.Subscriptions {
		s.Subscriptions[i] += other.Subscriptions[i]
		s.Subscribed[i] += other.Subscribed[i]
	}
	for i := range s.Sent {
		s.Sent[i].Frames += other.Sent[i].Frames
		s.Sent[i].Bytes += other.Sent[i].Bytes
	}
	s.Unsubscribed += other.Unsubscribed
	s.Disconnects = mergeCodes(s.Disconnects, other.Disconnects)
	s.Refused = mergeCodes(s.Refused, other.Refused)
}

func mergeCodes(to, from map[uint32]uint64) map[uint32]uint64 {
	if to == nil {
		return maps.Clone(from)
	}
	for code, n := range from {
		to[code] += n
	}
	return to
}

// LoopStats returns what the sessions of a loop count. On-loop only.
func (m *Manager) LoopStats(l *loop.Loop) LoopStats {
	s := m.agent(l).stats
	s.Disconnects, s.Refused = maps.Clone(s.Disconnects), maps.Clone(s.Refused)
	return s
}

// Resumes are what came of clients that said where they were.
type Resumes struct {
	Complete uint64 // got what they missed, or missed nothing
	Missed   uint64 // of these, those that got publications
	Epoch    uint64 // not recovered: the history began anew
	Gap      uint64 // not recovered: the history does not reach back so far
	Size     uint64 // not recovered: it was too much (uni_sse.recovery_max_bytes)
	Lost     uint64 // not recovered: the id that the client brought cannot be read
}

// Stats are the counters of a [Manager] that no loop owns.
type Stats struct {
	Opening int // connects on their way, and refresh hooks under way
	Streams int // places taken, of those that limits count
	Resumes Resumes
	// KeeperBacklog is how many calls to presence, joins and leaves wait, and
	// KeeperLongest those of the loop with the most.
	KeeperBacklog, KeeperLongest int
	KeeperRefused                uint64 // connects and subscriptions that there was no room for
	JoinsDropped                 uint64 // joins and leaves dropped for want of credit
	// PresenceFailed are calls to presence that failed, each of many changes: the next
	// renewal makes up for them. PlacesFailed are those about places of users.
	PresenceFailed, PlacesFailed uint64
	// PlacesAlone are questions of connects about the places of their users on all
	// nodes that nobody answered: this node's counted alone.
	PlacesAlone uint64
	// Unordered are commands that did not wait for what was published before them,
	// because the engine was away or late.
	Unordered uint64
	// EvictionsFailed are connects after which older connections of the user may have
	// stayed on other nodes, EvictionsLate those whose other nodes were told later, and
	// EvictionsOwed those that have yet to be.
	EvictionsFailed, EvictionsLate uint64
	EvictionsOwed                  int
	// ShortBacklogs are broadcast streams that began with less than they were to, by why.
	ShortBacklogs [Shorts]uint64
	Recovery      Recovery
}

// Recovery is the memory for what clients missed, see Options.RecoveryMaxTotal.
type Recovery struct {
	Used, Size int64 // bytes
	Waiting    int   // connects and calls that wait for room
	Refused    uint64
	Waited     tally.Durations // of those that waited, whether they got it or not
}

// Stats returns the counters. Any goroutine.
func (m *Manager) Stats() Stats {
	r := &m.resumes
	s := Stats{
		Opening: int(m.openings.Load()), Streams: int(m.streams.Load()),
		Resumes: Resumes{
			Complete: r.complete.Load(), Missed: r.missed.Load(),
			Epoch: r.epoch.Load(), Gap: r.gap.Load(), Size: r.size.Load(), Lost: r.lost.Load(),
		},
		KeeperRefused: m.keeperRefused.Load(), JoinsDropped: m.joinsDropped.Load(),
		PresenceFailed: m.presenceFailed.Load(), PlacesFailed: m.placesFailed.Load(),
		PlacesAlone: m.placesAlone.Load(), EvictionsFailed: m.evictionsFailed.Load(), EvictionsLate: m.evictionsLate.Load(), EvictionsOwed: int(m.owed.Load()),
		Unordered: m.unordered.Load(),
		Recovery: Recovery{
			Used: m.budget.used.Load(), Size: m.budget.size, Waiting: int(m.budget.waiting.Load()),
			Refused: m.budget.fails.Load(), Waited: m.budget.waited.Read(),
		},
	}
	for why := range m.short {
		s.ShortBacklogs[why] = m.short[why].Load()
	}
	for _, a := range m.agents {
		n := a.keeperBacklog()
		s.KeeperBacklog += n
		s.KeeperLongest = max(s.KeeperLongest, n)
	}
	return s
}

// resumes is Resumes as it is counted.
type resumes struct {
	// Atomic.
	complete, missed, epoch, gap, size, lost atomic.Uint64
}

// count notes what came of a client's wish to be recovered.
func (c *resumes) count(r *recoverRequest, got *restored, cut bool) {
	switch {
	case got.recovered:
		c.complete.Add(1)
		if len(got.publications) > 0 {
			c.missed.Add(1)
		}
	case r.lost:
		c.lost.Add(1)
	case cut:
		c.size.Add(1)
	case !r.in(got.top.Epoch):
		c.epoch.Add(1)
	default:
		c.gap.Add(1)
	}
}

// toldCodes are the codes that are counted each by itself: those of the
// protocol. All others are the words of a backend.
var toldCodes = func() map[uint32]bool {
	known := make(map[uint32]bool)
	for _, d := range []*codec.Disconnect{
		codec.DisconnectConnectionClosed, codec.DisconnectShutdown, codec.DisconnectServerError,
		codec.DisconnectExpired, codec.DisconnectSubExpired, codec.DisconnectSlow, codec.DisconnectWriteError,
		codec.DisconnectInsufficientState, codec.DisconnectForceReconnect, codec.DisconnectTooManyRequests,
		codec.DisconnectInvalidToken, codec.DisconnectBadRequest, codec.DisconnectStale,
		codec.DisconnectForceNoReconnect, codec.DisconnectConnectionLimit, codec.DisconnectChannelLimit,
		codec.DisconnectInappropriateProtocol, codec.DisconnectPermissionDenied,
	} {
		known[d.Code] = true
	}
	return known
}()

// countCode counts a code in one of the maps of LoopStats.
func countCode(counts *map[uint32]uint64, code uint32) {
	if !toldCodes[code] {
		code = 0
	}
	if *counts == nil {
		*counts = make(map[uint32]uint64)
	}
	(*counts)[code]++
}

// refusedCode is the code that a connect which failed with err is told.
func refusedCode(err error) uint32 {
	var d *codec.Disconnect
	if errors.As(err, &d) {
		return d.Code
	}
	var e *codec.Error
	if !errors.As(err, &e) {
		e = codec.ErrInternal
	}
	return codec.ConnectDisconnect(e).Code
}

// sent counts a push.
func (a *Agent) sent(p Push, bytes int) {
	s := &a.stats.Sent[p]
	s.Frames++
	s.Bytes += uint64(bytes)
}

// Users passes the hashes of the users that have a session on a loop to done,
// each once; done is called from a turn, later. Any goroutine.
//
// The first session of a user's chain stands for the user; one whose chain changes
// meanwhile may be missed or counted twice.
func (m *Manager) Users(l *loop.Loop, done func([]uint64)) {
	var hashes []uint64
	l.Post(&tableWalk{
		a: m.agent(l),
		visit: func(_ uint32, s *session) {
			if s.prev == 0 {
				hashes = append(hashes, userHash(s.user))
			}
		},
		done: func() { done(hashes) },
	})
}

// accepted counts a session whose stream begins, and its connect push.
func (a *Agent) accepted(s *session, push int) {
	s.accepted = true
	a.stats.Clients[s.kind]++
	a.stats.Accepted[s.kind]++
	a.subscribed(s, len(s.subs))
	if s.kind != Broadcast {
		a.sent(PushConnect, push)
	}
}

// subscribed counts n subscriptions more of a session whose stream has begun.
func (a *Agent) subscribed(s *session, n int) {
	a.stats.Subscriptions[s.kind&Named] += n
	a.stats.Subscribed[s.kind&Named] += uint64(n)
}
