package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
)

// What a caller was told happens before what it asks next: a publication that was
// acknowledged, by whatever node, is queued for a stream before any of these reaches it. If ctx ends
// before that, nothing was done.

// catchUpMost is for how many connections of a loop what waits there is brought
// forward; with more, or with too much for one of them, a command waits until it was
// queued for all.
const catchUpMost = 64

// inOrder runs f in the turn of every loop, with the sessions that t names, when
// all is queued for them that entered the Sink before the call.
func (m *Manager) inOrder(ctx context.Context, t *Target, f func(a *Agent, ref loop.Ref, s *session)) error {
	upTo, err := m.passed(ctx, t)
	if err != nil {
		return err
	}
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		a.selectTarget(t, func(ref loop.Ref, s *session) {
			a.shard.CatchUp(ref, upTo)
			if a.table.get(ref) == s && l.Live(ref) { // it may have ended
				f(a, ref, s)
			}
		})
	})
	return nil
}

// barrierPause is how long commands do not wait for an engine that did not bring it.
const barrierPause = time.Second

// broughtIn waits until what was acknowledged before, on this node or another, has come
// back from an engine that is no synchronous one. Commands come at the cost of few
// barriers, however many. One that is away, or lags by more than barrierWait (see
// Options), holds none up: it is counted, and what was published before the command may
// come behind it. Nor do the next ones wait then, for barrierPause: other nodes' commands
// are carried out one by one, and those that a wait for each had held up would end whom
// they did not mean.
//
// A connect does not wait for it: what it is told of channels with positions is exact by
// their offsets, and in others a publication that was acknowledged just before may still
// come to it.
func (m *Manager) broughtIn(ctx context.Context) {
	if m.able.Synchronous {
		return
	}
	err := m.broker.Ready() // one that knows that it cannot need not be asked
	switch {
	case err != nil:
	case time.Now().UnixNano() < m.barriersPause.Load():
		err = errLate
	default:
		if err = m.barriers.get(ctx, []struct{}{{}})[0]; err != nil && ctx.Err() == nil {
			m.barriersPause.Store(time.Now().Add(barrierPause).UnixNano())
		}
	}
	if err != nil {
		m.unordered.Add(1)
		m.opt.Log.Debug("a command does not wait for what was published before it", "error", err)
	}
}

// errLate is why a command does not wait for an engine that answers, but late.
var errLate = errors.New("session: the engine did not bring what was published in time, a moment ago")

// passed waits until what entered the Sink before the call has left the lanes, and
// until little enough of it waits on loops to be brought forward for the sessions
// that t names: what has a number up to upTo.
func (m *Manager) passed(ctx context.Context, t *Target) (upTo uint64, err error) {
	m.broughtIn(ctx)
	upTo = m.hub.Seq()
	if err := m.hub.Posted(ctx); err != nil {
		return 0, err
	}
	wait := make([]bool, len(m.agents))
	m.group.Do(func(l *loop.Loop) {
		if l.Deliveries() == 0 {
			return
		}
		n, a := 0, m.agent(l)
		a.selectTarget(t, func(ref loop.Ref, _ *session) {
			if n++; n <= catchUpMost && !wait[l.ID()] {
				wait[l.ID()] = a.shard.Behind(ref, upTo)
			}
		})
		wait[l.ID()] = wait[l.ID()] || n > catchUpMost
	})
	if slices.Contains(wait, true) {
		return upTo, m.hub.Arrived(ctx)
	}
	return upTo, nil
}

// Disconnect ends the connections that t names, but for the clients in
// whitelist.
func (m *Manager) Disconnect(ctx context.Context, t Target, whitelist []string, d *codec.Disconnect) error {
	return m.inOrder(ctx, &t, func(a *Agent, ref loop.Ref, s *session) {
		if !slices.Contains(whitelist, s.client.String()) {
			a.end(ref, loop.ReasonDisconnect, d, closeWithin)
		}
	})
}

// Unsubscribe takes the connections that t names out of a channel, or out of all
// their channels if it is empty, and tells those that were in it.
func (m *Manager) Unsubscribe(ctx context.Context, t Target, channel string) error {
	var push *codec.Frame
	if channel != "" {
		push = unsubscribeFrame(channel)
	}
	return m.inOrder(ctx, &t, func(a *Agent, ref loop.Ref, s *session) {
		if channel != "" {
			a.unsubscribe(ref, s, channel, push)
			return
		}
		for len(s.subs) > 0 && s.opening == nil && a.loop.Live(ref) {
			ch := s.subs[0].channel
			a.unsubscribe(ref, s, ch, unsubscribeFrame(ch))
		}
	})
}

func unsubscribeFrame(channel string) *codec.Frame {
	buf := codec.StartFrame(len(channel) + 80)
	return codec.EndOpenFrame(codec.AppendUnsubscribe(buf, channel, codec.UnsubscribeServer))
}

func (a *Agent) unsubscribe(ref loop.Ref, s *session, channel string, push *codec.Frame) {
	sub := s.sub(channel)
	if sub == nil || s.opening != nil {
		return
	}
	a.shard.Unsubscribe(ref.Slot, channel)
	a.left(s, sub)
	s.dropSub(channel)
	a.stats.Subscriptions[s.kind&Named]--
	a.stats.Unsubscribed++
	a.sent(PushUnsubscribe, push.Len())
	a.shard.SendWithCursor(ref.Slot, push, nil)
	if !a.loop.Live(ref) {
		return // it was slow
	}
	a.schedule(s)
	a.arm(ref, s)
}

// Refresh changes when the connections that t names expire (PROTOCOL 7.7).
func (m *Manager) Refresh(ctx context.Context, t Target, cmd RefreshCommand) error {
	now := time.Now().Unix()
	expired := cmd.Expired || cmd.ExpireAt > 0 && cmd.ExpireAt <= now
	var ttl uint32
	if cmd.ExpireAt > now {
		ttl = uint32(min(cmd.ExpireAt-now, 1<<32-1))
	}
	push := codec.EndFrame(codec.AppendRefresh(codec.StartFrame(48), ttl > 0, ttl), "")
	return m.inOrder(ctx, &t, func(a *Agent, ref loop.Ref, s *session) {
		if expired {
			a.end(ref, loop.ReasonExpired, codec.DisconnectExpired, closeWithin)
			return
		}
		s.expireAt = max(cmd.ExpireAt, 0)
		if !cmd.Info.IsZero() {
			s.info = cmd.Info
			a.renamed(s)
		}
		if s.opening != nil {
			return
		}
		a.sent(PushRefresh, push.Len())
		a.send(ref, push)
		a.schedule(s)
		a.arm(ref, s)
	})
}

// Target names connections of this node: all of a user, or those of its client
// or session id when these are set. User "" is every anonymous connection
// (PROTOCOL 7.5, 7.6).
type Target struct{ User, Client, Session string }

// SubscribeCommand is a subscription made by the server API (PROTOCOL 7.5).
type SubscribeCommand struct {
	Channel  string
	ExpireAt int64 // Unix seconds, 0 for never
	Info     codec.JSON
	Data     codec.JSON
	Override auth.Override
	// Since asks for the publications behind a position, nil for none.
	Since *broker.Position
}

// RefreshCommand changes the expiry of connections (PROTOCOL 7.7).
type RefreshCommand struct {
	Expired  bool
	ExpireAt int64      // Unix seconds; 0: no longer expires
	Info     codec.JSON // replaces conn_info unless zero
}

// Counts is what a node has: for the API's info.
type Counts struct {
	Clients, Users, Channels, Subscriptions int
}
