package session

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/presence"
	"sluice/gateway/shrink"
)

// users counts the connections of each user on this node, for
// user_connection_limit, and knows the newest, for single_connection. A place is reserved before the connection is hijacked
// and given back when its session ends.
type users struct {
	// Immutable after newUsers.
	seed maphash.Seed

	stripes [64]userStripe
}

type userStripe struct {
	// Guarded by mu.
	mu      sync.Mutex
	count   shrink.Map[string, int]
	singles shrink.Map[string, single]
}

func newUsers() *users {
	return &users{seed: maphash.MakeSeed()}
}

func (u *users) stripe(user string) *userStripe {
	return &u.stripes[maphash.String(u.seed, user)%uint64(len(u.stripes))]
}

// reserve takes one of so many places for a user, unless none is left. Anonymous
// users, and all users without a limit, need none: then counted is false.
func (u *users) reserve(user string, limit int) (counted, ok bool) {
	if limit <= 0 || user == "" {
		return false, true
	}
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count.Value(user)
	if n >= limit {
		return false, false
	}
	s.count.Set(user, n+1)
	return true, true
}

// add takes a place for a user whether there is one or not.
func (u *users) add(user string) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Set(user, s.count.Value(user)+1)
}

func (u *users) release(user string) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.count.Value(user); n > 1 {
		s.count.Set(user, n-1)
	} else {
		s.count.Delete(user)
	}
}

// ErrFull is wrapped by the error of a Plan for which there is no stream left.
var ErrFull = errors.New("session: no stream more may be opened")

// Addresses are the limits by client address. Its methods may be called from
// any goroutine, turns included, and must not block.
type Addresses interface {
	// Reserve takes one of an address's places, if its limits have one.
	Reserve(addr netip.Addr) bool
	// Release gives it back.
	Release(addr netip.Addr)
	// Active reports whether there is any limit: without one nobody asks.
	Active() bool
}

// LimitsAddresses reports whether connects are to reserve their address. Any
// goroutine.
func (m *Manager) LimitsAddresses() bool { return m.opt.Addresses != nil && m.opt.Addresses.Active() }

// ReserveAddress takes a place for a connect from an address, whose zone is
// empty and which is no IPv4 in IPv6. The caller owns it until a plan does, see
// [PlanRequest], and gives it back otherwise.
func (m *Manager) ReserveAddress(addr netip.Addr) bool {
	return m.opt.Addresses == nil || m.opt.Addresses.Reserve(addr)
}

// ReleaseAddress gives back what ReserveAddress took. Any goroutine.
func (m *Manager) ReleaseAddress(addr netip.Addr) {
	if m.opt.Addresses != nil && addr.IsValid() {
		m.opt.Addresses.Release(addr)
	}
}

// ByDescriptors is Live.LimitedBy where the limit of open files allows no more streams.
const ByDescriptors = "descriptors"

// StreamLimit returns what Full goes by: 0 without a limit, and by what there is one. Any
// goroutine.
func (m *Manager) StreamLimit() (n int, by string) {
	live := m.live.Load()
	return live.StreamLimit, live.LimitedBy
}

// Full reports whether no stream more may be opened (client.connection_limit,
// uni_sse.max_streams). A later Plan decides for good.
func (m *Manager) Full() bool {
	limit := m.live.Load().StreamLimit
	return limit > 0 && m.streams.Load() >= int64(limit)
}

// reserveStream takes one of the places that Full counts.
func (m *Manager) reserveStream() bool {
	limit := m.live.Load().StreamLimit
	if m.streams.Add(1) > int64(limit) && limit > 0 {
		m.streams.Add(-1)
		return false
	}
	return true
}

// single is the connections of a user of whom only the newest may stay
// (single_connection). Each claims the place before it is opened, and has it when it is:
// of those that are open the last to claim it is the newest, however long each took. Why a
// claim alone ends nobody: its connection may yet fail, and then nobody would stay.
type single struct {
	last uint64 // the highest claim
	held int    // claims of connections that are open or on their way
	open []standing
	// elsewhere is the highest claim that was open on another node while any were
	// held here.
	elsewhere uint64
}

// standing is a connection that was opened and has not ended: one for each user, but for
// those that are about to be told so.
type standing struct {
	claim  uint64
	client ID
	// owed: the claim is one of this node alone, and is replaced by one of all nodes as
	// soon as that can be had (see settler). Until then it says nothing to other nodes.
	owed bool
}

// newest returns the newest claim of those that are open, 0 for none.
func (one *single) newest() uint64 {
	claim := one.elsewhere
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

// reclaim replaces a claim by that of all nodes, or by a newer one of this node if that is
// 0.
func (u *users) reclaim(user string, fleet uint64) (claim uint64) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	if claim = fleet; claim == 0 {
		claim = one.last + 1
	}
	one.last = max(one.last, claim)
	s.singles.Set(user, one)
	return claim
}

// claimedElsewhere notes that a connection with a claim is open on another node.
func (u *users) claimedElsewhere(user string, claim uint64) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	if one.held == 0 {
		return
	}
	one.last, one.elsewhere = max(one.last, claim), max(one.elsewhere, claim)
	s.singles.Set(user, one)
}

// standingOf returns what a client has that is open, the zero standing if it claimed
// nothing.
func (u *users) standingOf(user string, client ID) standing {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	for _, o := range one.open {
		if o.client == client {
			return o
		}
	}
	return standing{}
}

// newestHere returns who of a user is open on this node with the highest claim of all
// nodes, the zero standing for nobody.
func (u *users) newestHere(user string) (newest standing) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	for _, o := range one.open {
		if !o.owed && o.claim > newest.claim {
			newest = o
		}
	}
	return newest
}

// settle gives a client that is open the claim that it owed, and returns the newest of
// the user that is open on any node, as far as it is known; 0 if the client has ended.
func (u *users) settle(user string, client ID, claim uint64) (newest uint64) {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	for i := range one.open {
		if o := &one.open[i]; o.client == client {
			o.claim, o.owed = claim, false
			one.last = max(one.last, claim)
			s.singles.Set(user, one)
			return one.newest()
		}
	}
	return 0
}

// stand takes the place for a client, unless one with a newer claim has it.
func (u *users) stand(user string, who standing) bool {
	s := u.stripe(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.singles.Value(user)
	if one.newest() > who.claim {
		return false
	}
	one.open = append(one.open, who)
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
	p.claim, p.others = m.users.claim(p.User)
	m.claimFleet(ctx, p)
	stats, err := m.presence.Stats(ctx, p.evicts)
	if errors.Is(err, presence.ErrUnavailable) { // others of this node are known all the same
		m.alone(err)
		return nil
	}
	if err != nil {
		return err
	}
	p.others = p.others || stats.Clients > 0
	return nil
}

// outdated reports whether a newer connection of the user has the place that a plan has
// claimed.
func (m *Manager) outdated(p *Plan) bool {
	return p.claim != 0 && m.users.newestOpen(p.User) > p.claim
}

// stand takes the place that a plan has claimed, if it has; false if it is outdated.
func (m *Manager) stand(p *Plan) bool {
	if p.claim == 0 {
		return true
	}
	p.owes = m.owes(p)
	ok := m.users.stand(p.User, standing{p.claim, p.client, p.owes})
	if !ok && p.owes {
		m.owed.Add(-1)
	}
	return ok
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
	claim := t.m.users.standingOf(p.User, p.client).claim // which may have been replaced by one of all nodes
	if claim == 0 || t.m.users.newestOpen(p.User) > claim {
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
