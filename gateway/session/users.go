package session

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"

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
