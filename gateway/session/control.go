package session

import (
	"context"
	"slices"
	"time"

	"sluice/codec"
	"sluice/gateway/loop"
)

// What a caller was told happens before what it asks next: a publication that
// was acknowledged is queued for the streams before any of these reaches them, so
// each first waits until what had been published is there. If ctx ends before
// that, nothing was done.

// Disconnect ends the connections that t names, but for the clients in
// whitelist.
func (m *Manager) Disconnect(ctx context.Context, t Target, whitelist []string, d *codec.Disconnect) error {
	if err := m.hub.Arrived(ctx); err != nil {
		return err
	}
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		a.selectTarget(&t, func(ref loop.Ref, s *session) {
			if len(whitelist) > 0 && slices.Contains(whitelist, s.client.String()) {
				return
			}
			a.end(ref, loop.ReasonDisconnect, d, closeWithin)
		})
	})
	return nil
}

// Unsubscribe takes the connections that t names out of a channel, or out of all
// their channels if it is empty, and tells those that were in it.
func (m *Manager) Unsubscribe(ctx context.Context, t Target, channel string) error {
	if err := m.hub.Arrived(ctx); err != nil {
		return err
	}
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		var told *codec.Frame
		a.selectTarget(&t, func(ref loop.Ref, s *session) {
			if channel == "" {
				for len(s.subs) > 0 && s.opening == nil && l.Live(ref) {
					ch := s.subs[0].channel
					a.unsubscribe(ref, s, ch, unsubscribeFrame(ch))
				}
				return
			}
			if told == nil {
				told = unsubscribeFrame(channel)
			}
			a.unsubscribe(ref, s, channel, told)
		})
	})
	return nil
}

func unsubscribeFrame(channel string) *codec.Frame {
	buf := codec.StartFrame(len(channel) + 80)
	return codec.EndFrame(codec.AppendUnsubscribe(buf, channel, codec.UnsubscribeServer), "")
}

func (a *Agent) unsubscribe(ref loop.Ref, s *session, channel string, told *codec.Frame) {
	sub := s.sub(channel)
	if sub == nil || s.opening != nil {
		return
	}
	a.shard.Unsubscribe(ref.Slot, channel)
	a.left(s, sub)
	s.dropSub(channel)
	a.stats.Subscriptions[s.kind&Named]--
	a.stats.Unsubscribed++
	a.sent(PushUnsubscribe, told.Len())
	a.shard.SendWithCursor(ref.Slot, told, nil)
	if !a.loop.Live(ref) {
		return // it was slow
	}
	a.schedule(s)
	a.arm(ref, s)
}

// Refresh changes when the connections that t names expire (PROTOCOL 7.7).
func (m *Manager) Refresh(ctx context.Context, t Target, cmd RefreshCommand) error {
	if err := m.hub.Arrived(ctx); err != nil {
		return err
	}
	now := time.Now().Unix()
	expired := cmd.Expired || cmd.ExpireAt > 0 && cmd.ExpireAt <= now
	var ttl uint32
	if cmd.ExpireAt > now {
		ttl = uint32(min(cmd.ExpireAt-now, 1<<32-1))
	}
	told := codec.EndFrame(codec.AppendRefresh(codec.StartFrame(48), ttl > 0, ttl), "")
	m.group.Do(func(l *loop.Loop) {
		a := m.agent(l)
		a.selectTarget(&t, func(ref loop.Ref, s *session) {
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
			a.sent(PushRefresh, told.Len())
			a.send(ref, told)
			a.schedule(s)
			a.arm(ref, s)
		})
	})
	return nil
}
