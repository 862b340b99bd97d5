package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// Subscribe puts the connections that t names into a channel (PROTOCOL 7.5):
// each gets a subscribe push, then what it missed behind cmd.Since, then what
// is published from here on. A connection that is in the channel already is
// subscribed anew.
func (m *Manager) Subscribe(ctx context.Context, t Target, cmd SubscribeCommand) error {
	rules, err := m.opt.Rules().Lookup(cmd.Channel)
	if err != nil {
		return err
	}
	if cmd.ExpireAt > 0 && cmd.ExpireAt <= time.Now().Unix() {
		return codec.ErrBadRequest
	}
	ctx, cancel := context.WithTimeout(ctx, m.opt.StaleCloseDelay)
	defer cancel()
	upTo, err := m.passed(ctx, &t)
	if err != nil {
		return err
	}
	grant := newGrant(cmd.Channel, rules, cmd.Override)
	grant.Info, grant.Data, grant.ExpireAt = cmd.Info, cmd.Data, cmd.ExpireAt
	if cmd.Since != nil {
		grant.Recover = &recoverRequest{offset: cmd.Since.Offset, epoch: cmd.Since.Epoch}
	}
	var joins []*joining
	for _, a := range m.agents {
		j := &joining{a: a, t: t, grant: grant, upTo: upTo}
		if j.count(); j.named > 0 {
			joins = append(joins, j)
		}
	}
	if len(joins) == 0 {
		return nil
	}
	// Before anything is held for the sessions.
	waits, stop := context.WithTimeout(ctx, m.opt.StaleCloseDelay*3/4)
	defer stop()
	room, err := m.recoveryRoom(ctx, waits, []Grant{grant})
	if err != nil {
		return err
	}
	defer room.close()
	for _, j := range joins {
		if err := j.acquire(ctx); err != nil {
			return err
		}
		defer j.release()
	}
	return m.join(ctx, &grant, joins, room)
}

// join holds the sessions of all loops, reads the history once, and opens them.
func (m *Manager) join(ctx context.Context, grant *Grant, joins []*joining, room *ticket) error {
	for _, j := range joins {
		j.do(j.hold)
		j.present.Wait()
	}
	limit := m.opt.RecoveryMaxBytes
	result, at, err := m.subscribeResult(ctx, grant, &limit)
	missed := missed{room: room, channel: grant.Channel, publications: result.Publications}
	defer missed.done()
	for _, j := range joins {
		missed.encode(j.deltas)
		j.result, j.at, j.missed = result, at, &missed
	}
	openWithRoom(ctx, joins, err)
	return err
}

const (
	// tellLook is how often a call looks whether there is room for what it tells, and
	// tellPatience how long it waits at most.
	tellLook     = 5 * time.Millisecond
	tellPatience = 5 * time.Second
	// smallPush is what needs no look: many such calls are not as quick as a client.
	smallPush = 4 << 10
)

// openWithRoom opens the sessions, each as soon as there is room for the push in its queue,
// or it has waited for long enough. Why: calls wait for no window, and a few with large data
// would fill the queue of a client faster than any can read. Nobody waits for the room of
// another: what comes meanwhile is held for each, and that has a bound.
func openWithRoom(ctx context.Context, joins []*joining, err error) {
	n := 0
	if err == nil && len(joins) > 0 {
		n = joins[0].told(&joins[0].result).Len() // all are told the same
	}
	for began := time.Now(); ; {
		left := 0
		for _, j := range joins {
			if len(j.members) == 0 {
				continue
			}
			all := n <= smallPush || ctx.Err() != nil || time.Since(began) > tellPatience
			j.do(func() { j.open(err, func(ref loop.Ref) bool { return all || j.a.loop.MayPush(ref, n) }) })
			left += len(j.members)
		}
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(tellLook):
		}
	}
}

// missed is what the sessions of a call are told that came before: frames that
// are made once, outside of turns, for all of them.
type missed struct {
	room           *ticket
	channel        string
	publications   []*codec.Publication
	plain, strings []*codec.Frame // the second for those who negotiated deltas
}

// encode makes the frames, in both forms if deltas is set, unless they are there.
func (f *missed) encode(deltas bool) {
	for _, p := range f.publications[len(f.plain):] {
		f.plain = append(f.plain, f.charged(codec.OpenPubFrame(f.channel, p)))
	}
	if !deltas {
		return
	}
	for _, p := range f.publications[len(f.strings):] {
		buf := codec.StartFrame(len(f.channel) + 2*p.Size() + 128)
		f.strings = append(f.strings, f.charged(codec.EndOpenFrame(codec.AppendDeltaPub(buf, f.channel, p, ""))))
	}
}

func (f *missed) charged(frame *codec.Frame) *codec.Frame {
	f.room.charge(frame)
	return frame
}

// done says that nobody will be sent the frames any more.
func (f *missed) done() {
	for _, frame := range slices.Concat(f.plain, f.strings) {
		f.room.b.done(frame)
	}
}

// joining subscribes sessions of one loop that are open already. Goroutine and
// loop take turns with it, as with an opening.
type joining struct {
	a     *Agent
	t     Target
	grant Grant
	upTo  uint64 // of what was acknowledged before the call

	// Set on the loop.
	named   int    // sessions that are meant
	id      uint32 // of Agent.joins
	members []joiner
	deltas  bool // some of them negotiated deltas for the channel
	present sync.WaitGroup

	result codec.SubscribeResult
	at     hub.Start
	missed *missed
}

// joiner is one session that a joining subscribes. One that had a position in
// the channel keeps it, unless it is told all it missed: what arrived behind it
// is held for it, and must not be passed over for a newer top.
type joiner struct {
	ref    loop.Ref
	was    bool // in the channel before, with a position or without
	kept   bool // it had a position
	offset uint64
	epoch  uint32
}

// do runs f in the turn of the joining's loop and waits for it.
func (j *joining) do(f func()) {
	done := make(chan struct{})
	j.a.loop.Post(&onceTask{f: f, done: done})
	<-done
}

type onceTask struct {
	f    func()
	done chan struct{}
}

// Run implements loop.Task.
func (t *onceTask) Run(*loop.Loop) {
	defer close(t.done)
	t.f()
}

// count finds out how many sessions of the loop are meant.
func (j *joining) count() {
	j.do(func() {
		j.a.selectTarget(&j.t, func(loop.Ref, *session) { j.named++ })
	})
}

// acquire takes one reference that stands in for all sessions until each has its
// own.
func (j *joining) acquire(ctx context.Context) error {
	if err := j.a.keeperRoom(ctx, []Grant{j.grant}); err != nil {
		return err
	}
	return j.a.m.hub.Acquire(ctx, j.grant.Channel, j.a.loop.ID(), false)
}

func (j *joining) release() { j.a.m.hub.Release(j.grant.Channel, j.a.loop.ID(), false) }

// hold puts the sessions into the channel, silent for now.
func (j *joining) hold() {
	a := j.a
	a.joins++
	j.id = a.joins
	a.selectTarget(&j.t, func(ref loop.Ref, s *session) {
		if s.opening != nil {
			return
		}
		if a.shard.CatchUp(ref, j.upTo); !a.loop.Live(ref) {
			return
		}
		sub := s.sub(j.grant.Channel)
		jr := joiner{ref: ref, was: sub != nil}
		if sub == nil {
			if len(s.subs) >= a.m.opt.ChannelLimit {
				a.end(ref, loop.ReasonLimit, codec.DisconnectChannelLimit, closeWithin)
				return
			}
			s.subs = append(s.subs, subscription{})
			a.subscribed(s, 1)
			sub = &s.subs[len(s.subs)-1]
		}
		jr.offset, jr.epoch, jr.kept = a.shard.Position(ref.Slot, j.grant.Channel)
		before := sub.flags & (subJoined | subPresent)
		*sub = j.grant.subscription()
		sub.flags |= before
		sub.joining = j.id
		a.m.hub.AcquireMore(j.grant.Channel, a.loop.ID())
		if !a.shard.Hold(ref.Slot, j.grant.Channel, j.grant.features()) {
			a.m.hub.Release(j.grant.Channel, a.loop.ID(), false)
		}
		a.present(s, sub, &j.present)
		j.deltas = j.deltas || a.shard.Deltas(ref.Slot, j.grant.Channel)
		j.members = append(j.members, jr)
	})
}

// open tells the sessions that may be told of their subscription, and lets it speak; the
// others stay members. When another call has held the same subscription since, that one
// does: positions read at different times must not be mixed.
func (j *joining) open(err error, may func(ref loop.Ref) bool) {
	a := j.a
	members := j.members
	j.members = nil
	for i := range members {
		jr := &members[i]
		if !may(jr.ref) {
			j.members = append(j.members, *jr)
			continue
		}
		s := a.table.get(jr.ref)
		if s == nil || !a.loop.Live(jr.ref) {
			continue
		}
		sub := s.sub(j.grant.Channel)
		if sub == nil {
			continue // unsubscribed meanwhile
		}
		if err != nil {
			a.end(jr.ref, loop.ReasonRefused, codec.DisconnectServerError, closeWithin)
			continue
		}
		if sub.joining != j.id {
			continue // another call has held it since, and tells of it
		}
		if !j.tell(jr) {
			continue
		}
		a.joined(s, sub)
		a.schedule(s)
		a.arm(jr.ref, s)
	}
}

func (j *joining) told(r *codec.SubscribeResult) *codec.Frame {
	buf := codec.StartFrame(len(j.grant.Channel) + 128)
	return codec.EndOpenFrame(codec.AppendSubscribe(buf, r))
}

// tell sends the subscribe push, then what was missed, and ends the hold. It
// reports whether the stream is still open.
func (j *joining) tell(jr *joiner) bool {
	a, res, at := j.a, j.result, j.at
	missed := j.missed.plain
	deltas := a.shard.Deltas(jr.ref.Slot, j.grant.Channel)
	if deltas {
		missed = j.missed.strings
	}
	if jr.was {
		at.From = 0 // it was in the channel all the time
	}
	if jr.was && !jr.kept && !res.Recovered {
		// What was held for it is news to it, whatever the history has.
		if first, epoch := a.shard.FirstHeld(jr.ref.Slot, j.grant.Channel); first != 0 && first <= at.Offset && epoch == at.Epoch {
			res.Offset, at.Offset = first-1, first-1
		}
	}
	if jr.kept && !res.Recovered && jr.epoch == at.Epoch && jr.offset <= at.Offset {
		res.Offset, at.Offset, missed = jr.offset, jr.offset, nil
	}
	step := at
	step.Offset = res.Offset
	told := j.told(&res)
	a.sent(PushSubscribe, told.Len())
	a.shard.SendWithCursor(jr.ref.Slot, told, &step)
	for i, f := range missed {
		step.Offset = j.result.Publications[i].Offset
		a.sent(PushMissed, f.Len())
		a.shard.SendMissed(jr.ref.Slot, f, &step)
	}
	if a.loop.Live(jr.ref) {
		a.shard.Activate(jr.ref, []hub.Start{at})
	}
	return a.loop.Live(jr.ref)
}
