package session

import (
	"container/list"
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/presence"
)

// keeperOp is one thing that a loop wants done with presence, with the places of users, or
// with the engine.
type keeperOp struct {
	kind    opKind
	channel string
	info    *codec.ClientInfo
	done    *sync.WaitGroup // nil if nobody waits
	renewal *renewal        // of opRenew
}

type opKind uint8

const (
	opPresent opKind = iota // into presence
	opAbsent                // out of presence
	opRenew                 // they are all still there
	opVacate                // the client of info gives the place of its user back
	opJoin
	opLeave
)

// keeper makes what one loop has to say to presence, and of places, in order, so that a
// client that came and went is never left there: what has come since the last call is one
// call. It is the behavior of an actor on the blocking pool. Joins and leaves it passes on
// to a [teller], behind what was asked before them: whoever is told of a leave no longer
// finds the client in presence.
type keeper struct {
	// Immutable after newAgent.
	m      *Manager
	teller *actor.Actor[keeperOp]
	room   *room
	inbox  func() int // how many ops are yet to be handled

	// Owned by the turn: what was handled and is not made yet.
	changes  []presence.Change
	places   []cluster.PlaceChange
	events   []keeperOp // joins and leaves
	waiting  []*sync.WaitGroup
	renewals []*renewal
	taken    int // calls, as room counts them

	// Atomic.
	pending atomic.Int64 // taken, for those who ask from elsewhere
}

// keeperBatch is about how many changes make a call of their own, whatever waits behind
// them.
const keeperBatch = 1024

func (k *keeper) Begin() {}

func (k *keeper) Panicked(v any) {
	k.m.opt.Log.Error("panic in a keeper", "panic", v, "stack", string(debug.Stack()))
}

func (k *keeper) Handle(op keeperOp) {
	k.taken++
	k.pending.Add(1)
	switch op.kind {
	case opPresent, opAbsent:
		k.changes = append(k.changes, presence.Change{Channel: op.channel, Info: op.info, Left: op.kind == opAbsent})
	case opRenew:
		k.changes = append(k.changes, op.renewal.changes...)
		k.places = append(k.places, op.renewal.places...)
		k.renewals = append(k.renewals, op.renewal)
	case opVacate:
		k.places = append(k.places, cluster.PlaceChange{User: op.info.User, Client: op.info.Client, Left: true})
	default:
		k.events = append(k.events, op)
	}
	if op.done != nil {
		k.waiting = append(k.waiting, op.done)
	}
}

// Flush makes what was handled, unless more is about to be and belongs to it.
func (k *keeper) Flush() (more bool) {
	if k.taken > 0 && (k.inbox() == 0 || k.taken >= keeperBatch || len(k.changes)+len(k.places) >= keeperBatch) {
		k.make()
	}
	return false
}

// make makes what was handled. Whatever becomes of it, those who wait go on: what
// could not be said is said again by the next renewal.
func (k *keeper) make() {
	changes, places, waiting, events, renewals, taken := k.changes, k.places, k.waiting, k.events, k.renewals, k.taken
	k.changes, k.places, k.waiting, k.events, k.renewals, k.taken = nil, nil, nil, nil, nil, 0
	defer func() { // also if a call panics
		for _, wait := range waiting {
			wait.Done()
		}
		for _, op := range events {
			k.teller.Post(op)
		}
		for _, renewal := range renewals {
			renewal.made.Store(true)
		}
		k.pending.Add(-int64(taken))
		k.room.made(taken - len(events)) // those are yet to be made, by the teller
	}()
	if len(changes) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), k.m.opt.CallTimeout)
		defer cancel()
		if err := k.m.presence.Apply(ctx, changes); err != nil {
			k.m.presenceFailed.Add(1)
			k.m.opt.Log.Warn("presence failed; the next renewal makes up for it", "channel", changes[0].Channel, "changes", len(changes), "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
	}
	if len(places) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), k.m.opt.CallTimeout)
		defer cancel()
		if err := k.m.opt.Places.Apply(ctx, places); err != nil {
			k.m.placesFailed.Add(1)
			k.m.opt.Log.Warn("places of users were not renewed or given back in the fleet; the next renewal makes up for it", "places", len(places), "error", err, "remedy", advice.Remedy(err, advice.Away))
		}
	}
}

// credit is what bounds the messages between the entrance and the out-queues.
type credit interface {
	// AcquireCredit waits for credit for so many bytes.
	AcquireCredit(ctx context.Context, size int) (*broker.Credit, error)
}

// teller publishes the joins and leaves of one loop in order, as fast as there
// is credit for them. It is the behavior of an actor on the blocking pool.
//
// Why it is not the keeper: that must not wait for credit, or clients that are
// gone would stay in presence for as long.
type teller struct {
	// Immutable after newAgent.
	m      *Manager
	credit credit
	room   *room

	made int // since the last Flush; owned by the turn
}

func (t *teller) Begin() {}

// Flush implements actor.Behavior.
func (t *teller) Flush() (more bool) {
	t.room.made(t.made)
	t.made = 0
	return false
}

func (t *teller) Panicked(v any) {
	t.m.opt.Log.Error("panic while telling of a join or leave", "panic", v, "stack", string(debug.Stack()))
}

func (t *teller) Handle(op keeperOp) {
	t.made++
	ctx, cancel := context.WithTimeout(context.Background(), t.m.opt.CallTimeout)
	defer cancel()
	// It waits as long as a publisher would (http_api.publish_wait), and no
	// longer than a call may take.
	credit, err := t.credit.AcquireCredit(ctx, infoSize(op.channel, op.info))
	if err != nil {
		t.m.joinsDropped.Add(1)
		t.m.opt.Log.Warn("a join or leave was dropped: no publish credit came free in time", "channel", op.channel, "remedy", "see what holds deliveries up (loops, slow clients), or raise http_api.publish_inflight_max_bytes")
		return
	}
	taken := false
	defer func() { // also if the engine panics
		if !taken {
			credit.Release()
		}
	}()
	if op.kind == opJoin {
		err = t.m.broker.Join(ctx, op.channel, op.info, credit)
	} else {
		err = t.m.broker.Leave(ctx, op.channel, op.info, credit)
	}
	if taken = err == nil; !taken {
		t.m.opt.Log.Warn("join or leave failed", "channel", op.channel, "error", err, "remedy", advice.Remedy(err, advice.Away))
	}
}

// infoSize is what a join or leave counts for.
func infoSize(channel string, info *codec.ClientInfo) int {
	return len(channel) + len(info.User) + len(info.Client) + info.ConnInfo.Len() + info.ChanInfo.Len()
}

// startKeeper makes what calls presence and the engine for the loop.
func (a *Agent) startKeeper(blocking actor.Submitter) {
	a.room = newRoom(a.m.opt.KeeperBacklog, a.keeperBacklog)
	a.teller = actor.New[keeperOp](blocking, &teller{m: a.m, credit: a.m.hub, room: a.room})
	a.kept = &keeper{m: a.m, teller: a.teller, room: a.room}
	a.keeper = actor.New[keeperOp](blocking, a.kept)
	a.kept.inbox = a.keeper.Depth
}

// keeperBacklog returns how many calls the loop has yet to get made. Any
// goroutine.
func (a *Agent) keeperBacklog() int {
	return a.keeper.Depth() + int(a.kept.pending.Load()) + a.teller.Depth()
}

// keeperCalls returns how many calls of the keeper the start of the subscription adds.
func (g *Grant) keeperCalls() (n int) {
	if g.Presence {
		n++
	}
	if g.JoinLeave {
		n++
	}
	return n
}

// keeperRoom waits until there is room for the calls that the start of
// subscriptions adds, if it adds any. Any goroutine but a turn.
//
// What it bounds is what is taken on. What is owed for streams that are open,
// two calls for each subscription at the most, is bounded by them and never
// dropped.
func (a *Agent) keeperRoom(ctx context.Context, grants []Grant) error {
	calls := 0
	for i := range grants {
		calls += grants[i].keeperCalls()
	}
	if calls == 0 {
		return nil
	}
	// The refusal must be told before the connect is stale, which is final.
	err := a.room.enter(ctx, calls, a.m.opt.StaleCloseDelay*3/4)
	if err != nil {
		a.m.keeperRefused.Add(1)
	}
	return err
}

// present puts a session into the presence of a channel; wait is told when that
// is done, nil if nobody waits.
func (a *Agent) present(s *session, sub *subscription, wait *sync.WaitGroup) {
	if sub.flags&subPresence == 0 {
		return
	}
	sub.flags = sub.flags&^subRenamed | subPresent
	if wait != nil {
		wait.Add(1)
	}
	a.keeper.Post(keeperOp{kind: opPresent, channel: sub.channel, info: s.clientInfo(sub), done: wait})
}

// renamed tells presence that the session's info has changed. Where too much is
// to be done already, the next tick does it: a backend that renames again and
// again adds nothing.
func (a *Agent) renamed(s *session) {
	for i := range s.subs {
		switch sub := &s.subs[i]; {
		case sub.flags&subPresent == 0:
		case a.room.full():
			sub.flags |= subRenamed
		default:
			a.present(s, sub, nil)
		}
	}
}

// joined tells the channel that a session came.
func (a *Agent) joined(s *session, sub *subscription) {
	if sub.flags&subJoinLeave == 0 {
		return
	}
	sub.flags |= subJoined
	a.keeper.Post(keeperOp{kind: opJoin, channel: sub.channel, info: s.clientInfo(sub)})
}

// left undoes present and joined.
func (a *Agent) left(s *session, sub *subscription) {
	if sub.flags&(subPresent|subJoined) == 0 {
		return
	}
	info := s.clientInfo(sub)
	if sub.flags&subPresent != 0 {
		a.keeper.Post(keeperOp{kind: opAbsent, channel: sub.channel, info: info})
	}
	if sub.flags&subJoined != 0 {
		a.keeper.Post(keeperOp{kind: opLeave, channel: sub.channel, info: info})
	}
}

// room bounds the calls that a loop's keeper has yet to make. Whoever would add
// some while there are too many waits, first come first served, and is let in as
// calls are made.
type room struct {
	// Immutable after newRoom.
	limit   int
	backlog func() int // any goroutine

	// Guarded by mu.
	mu    sync.Mutex
	queue list.List // of *entrant, in the order in which they came
	// budget is how many calls those who wait may add now. Those who were let
	// in have yet to post, so the backlog alone would let in too many.
	budget int

	// Atomic.
	waiting atomic.Int64 // the length of queue
}

// entrant waits to add so many calls.
type entrant struct {
	calls int
	enter chan struct{} // closed when it may, under mu
}

func newRoom(limit int, backlog func() int) *room { return &room{limit: limit, backlog: backlog} }

// full reports whether there is no room for any call. Any goroutine.
func (r *room) full() bool { return r.waiting.Load() > 0 || r.backlog() >= r.limit }

// enter waits at most so long for room for so many calls. Any goroutine but a
// turn.
func (r *room) enter(ctx context.Context, calls int, within time.Duration) error {
	if !r.full() {
		return nil
	}
	e := &entrant{calls: calls, enter: make(chan struct{})}
	r.mu.Lock()
	at := r.queue.PushBack(e)
	r.waiting.Add(1)
	r.mu.Unlock()
	r.made(0) // the last call may have been made since; from here on it tells
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-e.enter:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-e.enter:
		return nil
	default:
	}
	r.queue.Remove(at)
	r.waiting.Add(-1)
	return errNoRoom
}

// made notes that so many calls were made and are no longer in the backlog, and
// lets in whom there is room for. Any goroutine.
func (r *room) made(calls int) {
	if r.waiting.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch backlog := r.backlog(); backlog {
	case 0:
		r.budget = r.limit // nobody else will tell
	default:
		r.budget = min(r.budget+calls, max(r.limit-backlog, 0))
	}
	for at := r.queue.Front(); at != nil && r.budget > 0; at = r.queue.Front() {
		e := r.queue.Remove(at).(*entrant)
		r.waiting.Add(-1)
		r.budget -= e.calls
		close(e.enter)
	}
	if r.queue.Len() == 0 {
		r.budget = 0
	}
}
