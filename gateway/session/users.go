package session

import (
	"hash/maphash"
	"sync"
)

// users counts the connections of each user on this node, for
// user_connection_limit. A place is reserved before the connection is hijacked
// and given back when its session ends.
type users struct {
	// Immutable after newUsers.
	limit int
	seed  maphash.Seed

	stripes [64]userStripe
}

type userStripe struct {
	// Guarded by mu.
	mu    sync.Mutex
	count map[string]int
}

func newUsers(limit int) *users {
	u := &users{limit: limit, seed: maphash.MakeSeed()}
	for i := range u.stripes {
		u.stripes[i].count = make(map[string]int)
	}
	return u
}

// reserve takes a place for a user, unless none is left. Anonymous users, and
// all users without a limit, need none: then counted is false.
func (u *users) reserve(user string) (counted, ok bool) {
	if u.limit <= 0 || user == "" {
		return false, true
	}
	s := &u.stripes[maphash.String(u.seed, user)%uint64(len(u.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[user] >= u.limit {
		return false, false
	}
	s.count[user]++
	return true, true
}

func (u *users) release(user string) {
	s := &u.stripes[maphash.String(u.seed, user)%uint64(len(u.stripes))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[user]--; s.count[user] <= 0 {
		delete(s.count, user)
	}
}

// Full reports whether no stream more may be opened (client.connection_limit,
// uni_sse.max_streams). A later Plan decides for good.
func (m *Manager) Full() bool {
	return m.opt.StreamLimit > 0 && m.streams.Load() >= int64(m.opt.StreamLimit)
}

// reserveStream takes one of the places that Full counts.
func (m *Manager) reserveStream() bool {
	if m.streams.Add(1) > int64(m.opt.StreamLimit) && m.opt.StreamLimit > 0 {
		m.streams.Add(-1)
		return false
	}
	return true
}
