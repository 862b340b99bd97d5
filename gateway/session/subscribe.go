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
	refs    []loop.Ref
	present sync.WaitGroup

	result codec.SubscribeResult
	at     hub.Opened
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
	if err := m.hub.Acquire(ctx, j.grant.Channel, j.a.loop.ID(), false); err != nil {
		return err
	}
	defer m.hub.Release(j.grant.Channel, j.a.loop.ID(), false)
	j.do(j.hold)
	j.present.Wait()
	var err error
	j.result, j.at, err = m.subscribeResult(ctx, &j.grant)
	j.do(func() { j.open(err) })
	return err
}

// hold puts the sessions into the channel, silent for now.
func (j *joining) hold() {
	a := j.a
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
			sub = &s.subs[len(s.subs)-1]
		}
		before := sub.flags & (subJoined | subPresent)
		*sub = j.grant.subscription()
		sub.flags |= before
		a.m.hub.AcquireMore(j.grant.Channel, a.loop.ID())
		if !a.shard.Subscribe(ref.Slot, j.grant.Channel, hub.Held|j.grant.flags(), 0, 0) {
			a.m.hub.Release(j.grant.Channel, a.loop.ID(), false)
		}
		a.present(s, sub, &j.present)
		j.refs = append(j.refs, ref)
	})
}

// open tells the sessions of their subscription and lets it speak.
func (j *joining) open(err error) {
	a := j.a
	var told *codec.Frame
	var missed []*codec.Frame
	if err == nil {
		buf := codec.StartFrame(len(j.grant.Channel) + 128)
		told = codec.EndFrame(codec.AppendSubscribe(buf, &j.result), "")
		for _, p := range j.result.Publications {
			missed = append(missed, codec.PubFrame(j.grant.Channel, p, ""))
		}
	}
	for _, ref := range j.refs {
		s := a.table.get(ref)
		if s == nil || !a.loop.Live(ref) {
			continue
		}
		sub := s.sub(j.grant.Channel)
		if sub == nil {
			continue // unsubscribed meanwhile
		}
		if err != nil {
			a.end(ref, loop.ReasonRefused, codec.DisconnectServerError, closeWithin)
			continue
		}
		a.send(ref, told)
		for _, f := range missed {
			a.send(ref, f)
		}
		a.shard.Open(ref, []hub.Opened{j.at})
		if !a.loop.Live(ref) {
			continue
		}
		a.joined(s, sub)
		a.schedule(s)
		a.arm(ref, s)
	}
}
