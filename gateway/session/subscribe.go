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
	var batches []*subscribeBatch
	for _, a := range m.agents {
		b := &subscribeBatch{a: a, t: t, grant: grant, upTo: upTo}
		if b.count(); b.named > 0 {
			batches = append(batches, b)
		}
	}
	if len(batches) == 0 {
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
	if room == nil && grant.Positioned && !m.able.Local {
		// Who is held and cannot be told where it stands is ended: better found out now.
		if _, err := m.restoreAll(ctx, []Grant{grant}, (*Grant).positioned); err != nil {
			return err
		}
	}
	for _, b := range batches {
		if err := b.acquire(ctx); err != nil {
			return err
		}
		defer b.release()
	}
	return m.subscribeAll(ctx, &grant, batches, room)
}

// subscribeAll holds the sessions of all loops, reads the history once, and activates their subscriptions.
func (m *Manager) subscribeAll(ctx context.Context, grant *Grant, batches []*subscribeBatch, room *ticket) error {
	for _, b := range batches {
		b.do(b.hold)
		b.present.Wait()
	}
	limit := m.opt.RecoveryMaxBytes
	result, at, err := m.subscribeResult(ctx, grant, &limit)
	if err == nil && slices.ContainsFunc(batches, (*subscribeBatch).gainsPosition) {
		m.broughtIn(ctx)
		err = m.hub.Arrived(ctx)
	}
	missed := missed{room: room, channel: grant.Channel, publications: result.Publications}
	defer missed.done()
	for _, b := range batches {
		missed.encode(b.deltas)
		missed.compress(b)
		b.result, b.at, b.missed = result, at, &missed
	}
	activateWithRoom(ctx, batches, err)
	return err
}

const (
	// pushLook is how often a call looks whether there is room for what it tells, and
	// pushPatience how long it waits at most.
	pushLook     = 5 * time.Millisecond
	pushPatience = 5 * time.Second
	// smallPush is what needs no look: many such calls are not as quick as a client.
	smallPush = 4 << 10
)

// activateWithRoom activates the subscriptions, each as soon as there is room for the push in its queue,
// or it has waited for long enough. Why: calls wait for no window, and a few with large data
// would fill the queue of a client faster than any can read. Nobody waits for the room of
// another: what comes meanwhile is held for each, and that has a bound.
func activateWithRoom(ctx context.Context, batches []*subscribeBatch, err error) {
	n := 0
	if err == nil && len(batches) > 0 {
		n = batches[0].push(&batches[0].result).Len() // all are told the same
	}
	for began := time.Now(); ; {
		waiting := 0
		for _, b := range batches {
			if len(b.members) == 0 {
				continue
			}
			all := n <= smallPush || ctx.Err() != nil || time.Since(began) > pushPatience
			b.do(func() { b.activate(err, func(ref loop.Ref) bool { return all || b.a.loop.MayPush(ref, n) }) })
			waiting += len(b.members)
		}
		if waiting == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pushLook):
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

// compress gives the frames the codings that sessions of a batch take.
func (f *missed) compress(b *subscribeBatch) {
	if b.refers {
		for _, frame := range slices.Concat(f.plain, f.strings) {
			frame.CodeWith(b.grant.Rules.Dictionary)
		}
	}
	for _, c := range codec.Codings() {
		if b.codings&(1<<c) == 0 {
			continue
		}
		for _, frame := range slices.Concat(f.plain, f.strings) {
			frame.Code(c)
		}
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

// subscribeBatch subscribes sessions of one loop that are open already. Goroutine and
// loop take turns with it, as with an opening.
type subscribeBatch struct {
	a     *Agent
	t     Target
	grant Grant
	upTo  uint64 // of what was acknowledged before the call

	// Set on the loop.
	named   int    // sessions that are meant
	id      uint32 // of Agent.batches
	members []batchMember
	deltas  bool  // some of them negotiated deltas for the channel
	codings uint8 // of their streams, a bit for each
	refers  bool  // some of them have the dictionary of the channel
	present sync.WaitGroup

	result codec.SubscribeResult
	at     hub.Start
	missed *missed
}

// batchMember is one session that a batch subscribes. One that had a position in
// the channel keeps it, unless it is told all it missed: what arrived behind it
// is held for it, and must not be passed over for a newer top.
type batchMember struct {
	ref    loop.Ref
	was    bool // in the channel before, with a position or without
	kept   bool // it had a position
	offset uint64
	epoch  uint32
}

// do runs f in the turn of its loop and waits for it.
func (b *subscribeBatch) do(f func()) {
	done := make(chan struct{})
	b.a.loop.Post(&onceTask{f: f, done: done})
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
func (b *subscribeBatch) count() {
	b.do(func() {
		b.a.selectTarget(&b.t, func(loop.Ref, *session) { b.named++ })
	})
}

// acquire takes one reference that stands in for all sessions until each has its
// own.
func (b *subscribeBatch) acquire(ctx context.Context) error {
	if err := b.a.keeperRoom(ctx, []Grant{b.grant}); err != nil {
		return err
	}
	return b.a.m.hub.Acquire(ctx, b.grant.Channel, b.a.loop.ID(), hub.Form{})
}

func (b *subscribeBatch) release() { b.a.m.hub.Release(b.grant.Channel, b.a.loop.ID(), hub.Form{}) }

// hold puts the sessions into the channel, silent for now.
func (b *subscribeBatch) hold() {
	a := b.a
	a.batches++
	b.id = a.batches
	a.selectTarget(&b.t, func(ref loop.Ref, s *session) {
		if s.opening != nil {
			return
		}
		if a.shard.CatchUp(ref, b.upTo); !a.loop.Live(ref) {
			return
		}
		sub := s.sub(b.grant.Channel)
		bm := batchMember{ref: ref, was: sub != nil}
		if sub == nil {
			if len(s.subs) >= a.m.opt.ChannelLimit {
				a.end(ref, loop.ReasonLimit, codec.DisconnectChannelLimit, closeWithin)
				return
			}
			s.subs = append(s.subs, subscription{})
			a.subscribed(s, 1)
			sub = &s.subs[len(s.subs)-1]
		}
		bm.offset, bm.epoch, bm.kept = a.shard.Position(ref.Slot, b.grant.Channel)
		before := sub.flags & (subJoined | subPresent)
		*sub = b.grant.subscription()
		sub.flags |= before
		sub.batch = b.id
		grant, coding, dictionary := b.grant, a.loop.Coding(ref.Slot), a.loop.Dictionary(ref.Slot)
		grant.refer(dictionary)
		form := hub.Form{Coding: coding, Dictionary: grant.dictionary()}
		a.m.hub.AcquireMore(b.grant.Channel, a.loop.ID(), form)
		if !a.shard.Hold(ref.Slot, b.grant.Channel, grant.features()) {
			a.m.hub.Release(b.grant.Channel, a.loop.ID(), form)
		}
		a.present(s, sub, &b.present)
		if b.codings |= 1 << coding; form.Dictionary != nil {
			b.refers = true
		}
		b.deltas = b.deltas || a.shard.Deltas(ref.Slot, b.grant.Channel)
		b.members = append(b.members, bm)
	})
}

// gainsPosition reports whether one of the sessions was in the channel without a position
// and gets one: what the history has of what it has yet to be sent must be held for it by
// then, see FirstHeld.
func (b *subscribeBatch) gainsPosition() bool {
	return b.grant.Positioned && slices.ContainsFunc(b.members, func(m batchMember) bool { return m.was && !m.kept })
}

// activate tells the sessions that may be told of their subscription, and lets it speak; the
// others stay members. When another call has held the same subscription since, that one
// does: positions read at different times must not be mixed.
func (b *subscribeBatch) activate(err error, may func(ref loop.Ref) bool) {
	a := b.a
	members := b.members
	b.members = nil
	for i := range members {
		bm := &members[i]
		if !may(bm.ref) {
			b.members = append(b.members, *bm)
			continue
		}
		s := a.table.get(bm.ref)
		if s == nil || !a.loop.Live(bm.ref) {
			continue
		}
		sub := s.sub(b.grant.Channel)
		if sub == nil {
			continue // unsubscribed meanwhile
		}
		if err != nil {
			a.end(bm.ref, loop.ReasonRefused, codec.DisconnectServerError, closeWithin)
			continue
		}
		if sub.batch != b.id {
			continue // another call has held it since, and tells of it
		}
		if !b.announce(bm) {
			continue
		}
		a.joined(s, sub)
		a.schedule(s)
		a.arm(bm.ref, s)
	}
}

func (b *subscribeBatch) push(r *codec.SubscribeResult) *codec.Frame {
	buf := codec.StartFrame(len(b.grant.Channel) + 128)
	return codec.EndOpenFrame(codec.AppendSubscribe(buf, r))
}

// announce sends the subscribe push, then what was missed, and ends the hold. It
// reports whether the stream is still open.
func (b *subscribeBatch) announce(bm *batchMember) bool {
	a, res, at := b.a, b.result, b.at
	missed := b.missed.plain
	deltas := a.shard.Deltas(bm.ref.Slot, b.grant.Channel)
	if deltas {
		missed = b.missed.strings
	}
	if bm.was {
		at.From = 0 // it was in the channel all the time
		if !res.Recovered {
			at.Read = 0 // its position may be older than what was read
		}
	}
	if bm.was && !bm.kept && !res.Recovered {
		// What was held for it is news to it, whatever the history has.
		if first, epoch := a.shard.FirstHeld(bm.ref.Slot, b.grant.Channel); first != 0 && first <= at.Offset && epoch == at.Epoch {
			res.Offset, at.Offset = first-1, first-1
		}
	}
	if bm.kept && !res.Recovered && bm.epoch == at.Epoch && bm.offset <= at.Offset {
		res.Offset, at.Offset, missed = bm.offset, bm.offset, nil
	}
	step := at
	step.Offset = res.Offset
	push := b.push(&res)
	a.sent(PushSubscribe, push.Len())
	a.shard.SendWithCursor(bm.ref.Slot, push, &step)
	for i, f := range missed {
		step.Offset = b.result.Publications[i].Offset
		a.sent(PushMissed, f.Len())
		a.shard.SendMissed(bm.ref.Slot, f, &step)
	}
	if a.loop.Live(bm.ref) {
		a.shard.Activate(bm.ref, []hub.Start{at})
	}
	return a.loop.Live(bm.ref)
}
