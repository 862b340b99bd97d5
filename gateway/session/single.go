package session

import (
	"context"
	"slices"

	"sluice/codec"
	"sluice/gateway/loop"
)

// single is the connections of a user of whom only the newest may stay
// (single_connection). Each claims the place before it is opened, and has it when it is:
// of those that are open the last to claim it is the newest, however long each took. Why a
// claim alone ends nobody: its connection may yet fail, and then nobody would stay.
type single struct {
	last uint64 // the last claim
	held int    // claims of connections that are open or on their way
	open []standing
}

// standing is a connection that was opened and has not ended: one for each user, but for
// those that are about to be told so.
type standing struct {
	claim  uint64
	client ID
}

// newest returns the newest claim of those that are open, 0 for none.
func (one *single) newest() (claim uint64) {
	for i := range one.open {
		claim = max(claim, one.open[i].claim)
	}
	return claim
}

// claim claims the only place of a user, and reports whether others hold a claim to it.
// unclaim gives it back.
func (u *users) claim(user string) (claim uint64, others bool) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	one.last++
	one.held++
	s.singles.Set(user, one)
	return one.last, one.held > 1
}

// stand takes the place for a client with a claim, unless a newer one has it.
func (u *users) stand(user string, claim uint64, client ID) bool {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	if one.newest() > claim {
		return false
	}
	one.open = append(one.open, standing{claim, client})
	s.singles.Set(user, one)
	return true
}

// newestOpen returns the claim of who has the place of a user, 0 for nobody.
func (u *users) newestOpen(user string) uint64 {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	return one.newest()
}

// unclaim gives the claim of a client back, and the place if it has that.
func (u *users) unclaim(user string, client ID) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	if one.held <= 1 {
		s.singles.Delete(user)
		return
	}
	one.held--
	one.open = slices.DeleteFunc(one.open, func(o standing) bool { return o.client == client })
	s.singles.Set(user, one)
}

// claim claims the only place of the plan's user, which it is to have when it is open
// (PROTOCOL 5.5).
func (m *Manager) claim(ctx context.Context, p *Plan) error {
	var others bool
	p.claim, others = m.users.claim(p.User)
	stats, err := m.presence.Stats(ctx, p.evicts)
	if err != nil {
		return err
	}
	p.others = others || stats.Clients > 0
	return nil
}

// outdated reports whether a newer connection of the user has the place that a plan has
// claimed.
func (m *Manager) outdated(p *Plan) bool {
	return p.claim != 0 && m.users.newestOpen(p.User) > p.claim
}

// stand takes the place that a plan has claimed, if it has; false if it is outdated.
func (m *Manager) stand(p *Plan) bool {
	return p.claim == 0 || m.users.stand(p.User, p.claim, p.client)
}

// evictOlder has all loops end the user's other connections, once the plan's is open. Any
// goroutine, turns included.
func (m *Manager) evictOlder(p *Plan) {
	if p.claim == 0 || !p.others {
		return // who claimed the place since is newer
	}
	for _, l := range m.group.Loops {
		l.Post(&evictTask{m, p})
	}
}

// evictTask ends a user's connections on its loop but for the plan's own. It does nothing
// if that has ended, nor if a newer one is open, which does it itself. Those on their way
// find out when they are to be opened, see stand, and may be newer.
type evictTask struct {
	m *Manager
	p *Plan
}

// Run implements loop.Task.
func (t *evictTask) Run(l *loop.Loop) {
	p := t.p
	if t.m.users.newestOpen(p.User) != p.claim {
		return
	}
	a := t.m.agent(l)
	a.selectTarget(&Target{User: p.User}, func(ref loop.Ref, s *session) {
		if s.client != p.client && s.opening == nil {
			a.end(ref, loop.ReasonDisconnect, codec.DisconnectConnectionLimit, closeWithin)
		}
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
