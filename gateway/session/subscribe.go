package session

import (
	"context"
	"errors"
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
	errs := make([]error, len(m.agents))
	var wg sync.WaitGroup
	for i, a := range m.agents {
		wg.Go(func() {
			join := &joining{a: a, t: t, cmd: cmd}
			join.grant = newGrant(cmd.Channel, rules, cmd.Override)
			join.grant.Info, join.grant.Data, join.grant.ExpireAt = cmd.Info, cmd.Data, cmd.ExpireAt
			if cmd.Since != nil {
				join.grant.Recover = &recoverRequest{offset: cmd.Since.Offset, epoch: cmd.Since.Epoch}
			}
			errs[i] = join.run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// joining subscribes sessions of one loop that are open already. Goroutine and
// loop take turns with it, as with an opening.
type joining struct {
	a     *Agent
	t     Target
	cmd   SubscribeCommand
	grant Grant

	// Set on the loop.
	id      uint32 // of Agent.joins
	members []joiner
	present sync.WaitGroup

	result codec.SubscribeResult
	at     hub.Opened
}

// joiner is one session that a joining subscribes. One that had a position in
// the channel keeps it, unless it is told all it missed: what arrived behind it
// is held for it, and must not be passed over for a newer top.
type joiner struct {
	ref    loop.Ref
	kept   bool
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
func (t *onceTask) Run(_ *loop.Loop, again bool) {
	if !again {
		defer close(t.done)
		t.f()
	}
}

func (j *joining) run(ctx context.Context) error {
	any := false
	j.do(func() {
		j.a.selectTarget(&j.t, func(loop.Ref, *session) { any = true })
	})
	if !any {
		return nil
	}
	// One reference stands in for all sessions until each has its own.
	m := j.a.m
	if err := j.a.keeperRoom(ctx, []Grant{j.grant}); err != nil {
		return err
	}
	if err := m.hub.Acquire(ctx, j.grant.Channel, j.a.loop.ID(), false); err != nil {
		return err
	}
	defer m.hub.Release(j.grant.Channel, j.a.loop.ID(), false)
	j.do(j.hold)
	j.present.Wait()
	var err error
	room := m.opt.RecoveryMaxBytes
	j.result, j.at, err = m.subscribeResult(ctx, &j.grant, &room)
	j.do(func() { j.open(err) })
	return err
}

// hold puts the sessions into the channel, silent for now.
func (j *joining) hold() {
	a := j.a
	a.joins++
	j.id = a.joins
	a.selectTarget(&j.t, func(ref loop.Ref, s *session) {
		if s.opening != nil {
			return
		}
		sub := s.sub(j.grant.Channel)
		if sub == nil {
			if len(s.subs) >= a.m.opt.ChannelLimit {
				a.end(ref, loop.ReasonLimit, codec.DisconnectChannelLimit, closeWithin)
				return
			}
			s.subs = append(s.subs, subscription{})
			a.subscribed(s, 1)
			sub = &s.subs[len(s.subs)-1]
		}
		jr := joiner{ref: ref}
		jr.offset, jr.epoch, jr.kept = a.shard.Position(ref.Slot, j.grant.Channel)
		before := sub.flags & (subJoined | subPresent)
		*sub = j.grant.subscription()
		sub.flags |= before
		sub.joining = j.id
		a.m.hub.AcquireMore(j.grant.Channel, a.loop.ID())
		if !a.shard.Subscribe(ref.Slot, j.grant.Channel, hub.Held|j.grant.flags(), 0, 0) {
			a.m.hub.Release(j.grant.Channel, a.loop.ID(), false)
		}
		a.present(s, sub, &j.present)
		j.members = append(j.members, jr)
	})
}

// open tells the sessions of their subscription and lets it speak. When another
// call has held the same subscription since, that one does: positions read at
// different times must not be mixed.
func (j *joining) open(err error) {
	a := j.a
	for i := range j.members {
		jr := &j.members[i]
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
	return codec.EndFrame(codec.AppendSubscribe(buf, r), "")
}

// tell sends the subscribe push, then what was missed, and ends the hold. It
// reports whether the stream is still open.
func (j *joining) tell(jr *joiner) bool {
	a, res, at := j.a, j.result, j.at
	missed := res.Publications
	if jr.kept {
		at.From = 0 // it was in the channel all the time
	}
	if jr.kept && !res.Recovered && jr.epoch == at.Epoch && jr.offset <= at.Offset {
		res.Offset, at.Offset, missed = jr.offset, jr.offset, nil
	}
	step := at
	step.Offset = res.Offset
	told := j.told(&res)
	a.sent(PushSubscribe, told.Len())
	a.shard.SendWithCursor(jr.ref.Slot, told, &step)
	deltas := a.shard.Deltas(jr.ref.Slot, j.grant.Channel)
	for _, p := range missed {
		step.Offset = p.Offset
		push := j.missed(p, deltas)
		a.sent(PushMissed, push.Len())
		a.shard.SendWithCursor(jr.ref.Slot, push, &step)
	}
	if a.loop.Live(jr.ref) {
		a.shard.Open(jr.ref, []hub.Opened{at})
	}
	return a.loop.Live(jr.ref)
}

// missed makes the push of a publication that came before the subscription.
func (j *joining) missed(p *codec.Publication, deltas bool) *codec.Frame {
	if !deltas {
		return codec.PubFrame(j.grant.Channel, p, "")
	}
	buf := codec.StartFrame(len(j.grant.Channel) + p.Size() + 128)
	return codec.EndFrame(codec.AppendDeltaPub(buf, j.grant.Channel, p, ""), "")
}
