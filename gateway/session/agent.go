package session

import (
	"hash/maphash"
	"math/rand/v2"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/shrink"
)

// Agent is the sessions of one loop: its loop.Handler, and the owner of its
// hub.Shard. All its methods are on-loop only.
type Agent struct {
	// Immutable after New.
	m      *Manager
	loop   *loop.Loop
	shard  *hub.Shard
	keeper *actor.Actor[keeperOp]
	kept   *keeper // the behavior of keeper
	teller *actor.Actor[keeperOp]
	room   *room // of both

	// Owned by the loop.
	table   table
	byUser  shrink.Map[uint64, uint32] // hash of the user → slot+1 of its first session
	clients int
	stats   LoopStats
	padded  shrink.Map[uint32, uint8]    // slot → lines of padding behind each ping, where there are any
	pings   [PaddingMax + 1]*codec.Frame // by lines of padding, each from when it was sent first
	batches uint32                       // counts calls of Manager.Subscribe that held something
	rand    *rand.Rand
	// broadcasts are the streams of the broadcast route, by slot.
	broadcasts shrink.Map[uint32, broadcast]

	renewing [renewals]renewing
}

var (
	_ loop.Handler = (*Agent)(nil)
	_ hub.Owner    = (*Agent)(nil)
)

// userSeed is the process's: counts of users are merged over loops.
var userSeed = maphash.MakeSeed()

func userHash(user string) uint64 { return maphash.String(userSeed, user) }

func newAgent(m *Manager, l *loop.Loop, blocking actor.Submitter) *Agent {
	a := &Agent{
		m: m, loop: l, shard: m.hub.Shard(l),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	a.startKeeper(blocking)
	a.startRenewing()
	a.shard.SetOwner(a)
	return a
}

// add makes the session of a stream that the loop has just adopted.
func (a *Agent) add(ref loop.Ref, op *opening) *session {
	p := op.plan
	s := a.table.at(ref.Slot)
	*s = session{
		client: p.client, secret: p.secret, user: p.User, info: p.Info, expireAt: p.ExpireAt,
		holds: p.holds(), used: true, opening: op, kind: p.kind,
	}
	a.count(s)
	if p.broadcast != nil {
		a.broadcasts.Set(ref.Slot, broadcast{request: p.broadcast, began: a.loop.Now()})
	}
	if a.m.opt.Refresh != nil {
		s.refresh = &refreshState{meta: p.meta, headers: p.headers}
	}
	if lines := op.conn.Padding; lines > 0 {
		a.padded.Set(ref.Slot, lines)
	}
	if a.m.opt.Sources {
		a.table.setSource(ref.Slot, source{addr: sourceOf(op.conn.Request.Peer()), agent: op.conn.Agent, began: a.loop.Now()})
	}
	if p.address.IsValid() {
		a.table.setAddress(ref.Slot, p.address)
	}
	a.clients++
	h := userHash(s.user)
	s.next = a.byUser.Value(h)
	if s.next != 0 {
		a.table.at(s.next - 1).prev = ref.Slot + 1
	}
	a.byUser.Set(h, ref.Slot+1)
	return s
}

// remove forgets a session: its stream has ended.
func (a *Agent) remove(slot uint32) {
	s := a.table.at(slot)
	h := userHash(s.user)
	switch {
	case s.prev != 0:
		a.table.at(s.prev - 1).next = s.next
	case s.next != 0:
		a.byUser.Set(h, s.next)
	default:
		a.byUser.Delete(h)
	}
	if s.next != 0 {
		a.table.at(s.next - 1).prev = s.prev
	}
	if s.holds&holdsPlace != 0 {
		a.m.users.release(s.user)
		a.vacate(s.user, s.client)
	}
	if s.holds&holdsClaim != 0 {
		a.m.users.unclaim(s.user, s.client)
	}
	a.padded.Delete(slot)
	a.m.ReleaseAddress(a.table.takeAddress(slot))
	if a.m.opt.Sources {
		a.table.setSource(slot, source{})
	}
	if s.kind == Broadcast {
		a.m.leftBroadcast(a.broadcasts.Value(slot).request)
		a.broadcasts.Delete(slot)
	}
	a.m.streams.Add(-1)
	a.clients--
	if s.accepted {
		a.stats.Clients[s.kind]--
		a.stats.Subscriptions[s.kind&Named] -= len(s.subs)
	}
	*s = session{}
}

// each calls f for every session. f may end the session it is called for.
func (a *Agent) each(f func(ref loop.Ref, s *session)) {
	for i := range a.table.slabs {
		for j := range a.table.slabs[i] {
			if s := &a.table.slabs[i][j]; s.used {
				f(a.loop.Ref(uint32(i<<slabBits+j)), s)
			}
		}
	}
}

// selectTarget calls f for every session that t names. f may end it.
func (a *Agent) selectTarget(t *Target, f func(ref loop.Ref, s *session)) {
	for i := a.byUser.Value(userHash(t.User)); i != 0; {
		slot := i - 1
		s := a.table.at(slot)
		i = s.next
		if s.user == t.User && s.kind != Broadcast && s.matches(t) {
			f(a.loop.Ref(slot), s)
		}
	}
}

// Closed implements loop.Handler.
func (a *Agent) Closed(ref loop.Ref, reason loop.Reason) {
	s := a.table.get(ref)
	if s == nil {
		return
	}
	a.traceClosed(ref, s, reason)
	a.shard.Drop(ref.Slot)
	if s.kind == Broadcast {
		a.loop.SlowFrame(a.farewell(ref.Slot))
	}
	for i := range s.subs {
		a.left(s, &s.subs[i])
	}
	if op := s.opening; op != nil {
		if op.stage == stageAttached {
			op.to(stageLost)
		}
	}
	a.remove(ref.Slot)
}

// Insufficient implements hub.Owner.
func (a *Agent) Insufficient(ref loop.Ref, channel string) {
	a.m.opt.Log.Debug("position lost", "channel", channel)
	a.end(ref, loop.ReasonInsufficient, codec.DisconnectInsufficientState, closeWithin)
}

// Inappropriate implements hub.Owner.
func (a *Agent) Inappropriate(ref loop.Ref, channel string) {
	a.m.opt.Log.Debug("binary data in a channel of JSON streams", "channel", channel)
	a.end(ref, loop.ReasonInappropriate, codec.DisconnectInappropriateProtocol, closeWithin)
}

// end closes a session's stream and tells its client why.
func (a *Agent) end(ref loop.Ref, reason loop.Reason, d *codec.Disconnect, within time.Duration) {
	s := a.table.get(ref)
	if s == nil {
		return
	}
	if op := s.opening; op != nil {
		op.answer(a.loop, reason, d)
		return
	}
	if s.kind == Broadcast {
		a.endBroadcast(ref, reason, within)
		return
	}
	last := disconnectFrame(d)
	if last != nil && a.m.opt.TerminalIDs && d.Terminal() {
		last = a.lastEvent(ref.Slot, last.Lines(codec.FramingClose), codec.AppendTerminalID(nil, d.Code, true))
	}
	if last != nil {
		a.sent(PushDisconnect, last.Len())
	}
	a.finish(ref, reason, d, last, within)
}

// finish closes the stream of an open session with its last frame, nil for none,
// which may tell of d.
func (a *Agent) finish(ref loop.Ref, reason loop.Reason, d *codec.Disconnect, last *codec.Frame, within time.Duration) {
	countCode(&a.stats.Disconnects, d.Code)
	a.traceDisconnect(ref, d)
	a.loop.Close(ref, reason, last, within)
}

// disconnectFrame returns the last frame of a stream; code 3000 is never told
// (PROTOCOL 1.6).
func disconnectFrame(d *codec.Disconnect) *codec.Frame {
	switch d {
	case codec.DisconnectConnectionClosed:
		return nil
	case codec.DisconnectShutdown:
		return frameShutdown
	case codec.DisconnectExpired:
		return frameExpired
	case codec.DisconnectSubExpired:
		return frameSubExpired
	case codec.DisconnectInsufficientState:
		return frameInsufficient
	case codec.DisconnectChannelLimit:
		return frameChannelLimit
	}
	if d.Code == codec.DisconnectConnectionClosed.Code {
		return nil
	}
	return codec.DisconnectFrame(d)
}

// send queues a push for one client.
func (a *Agent) send(ref loop.Ref, f *codec.Frame) { a.loop.Push(ref.Slot, f) }
