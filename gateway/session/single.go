package session

import (
	"context"

	"sluice/codec"
	"sluice/gateway/loop"
)

// single is the connections of a user of whom only the newest may stay
// (single_connection). Each claims the place before it is opened, and the last to do so is
// the newest, however long each takes from then on.
type single struct {
	newest uint64 // the last claim
	held   int    // claims of connections that are open or on their way
}

// claim claims the only place of a user, and reports whether others hold a claim to it.
// unclaim gives it back.
func (u *users) claim(user string) (claim uint64, others bool) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	one.newest++
	one.held++
	s.singles.Set(user, one)
	return one.newest, one.held > 1
}

// isNewest reports whether nobody has claimed the place of a user since.
func (u *users) isNewest(user string, claim uint64) bool {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.singles.Value(user).newest == claim
}

func (u *users) unclaim(user string) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.singles.Value(user); one.held > 1 {
		one.held--
		s.singles.Set(user, one)
	} else {
		s.singles.Delete(user)
	}
}

// evict claims the only place of the plan's user, and ends the user's other connections
// (PROTOCOL 5.5). Those that are on their way find out when they are taken in: see
// outdated.
func (m *Manager) evict(ctx context.Context, p *Plan) error {
	var others bool
	p.claim, others = m.users.claim(p.User)
	stats, err := m.presence.Stats(ctx, p.evicts)
	if err != nil {
		return err
	}
	if others || stats.Clients > 0 {
		m.evictOthers(p)
	}
	return nil
}

// evictOthers ends the connections of a plan's user but for its own, for that one: not for
// a caller who published before. It does nothing once there is a newer one, which does it
// itself, and must not be ended by an older.
func (m *Manager) evictOthers(p *Plan) {
	m.group.Do(func(l *loop.Loop) {
		if m.outdated(p) {
			return
		}
		// Whoever claims the place from here on is not on this loop yet.
		a := m.agent(l)
		a.selectTarget(&Target{User: p.User}, func(ref loop.Ref, s *session) {
			if s.client != p.client {
				a.end(ref, loop.ReasonDisconnect, codec.DisconnectConnectionLimit, closeWithin)
			}
		})
	})
}

// holds returns what a session of the plan gives back.
func (p *Plan) holds() (h holding) {
	if p.counted {
		h |= holdsPlace
	}
	if p.claim != 0 {
		h |= holdsClaim
	}
	return h
}

// outdated reports whether a newer connection of the user has claimed the place that a plan
// has claimed.
func (m *Manager) outdated(p *Plan) bool {
	return p.claim != 0 && !m.users.isNewest(p.User, p.claim)
}
