package session

// Live are the options of a [Manager] that may change while streams are open;
// see [Manager.Set]. The keys of configuration are named where they are not
// obvious.
type Live struct {
	Insecure bool // client.insecure
	// StreamLimit is how many streams may be open on this node, 0 for no
	// limit.
	StreamLimit int
	// LimitedBy is the option that StreamLimit is of, or ByDescriptors: for the log.
	LimitedBy string
	// UserConnectionLimit is connections of one user on this node, 0 for no
	// limit.
	UserConnectionLimit int
	RecoveryLimit       int // client.recovery_max_publication_limit, not above 0: none
	Personal            Personal
}

// Set replaces the live options for connects from here on. Streams that are open
// stay as they are, even if they are more than a new limit allows; they count for
// it. Any goroutine but a turn, one at a time.
func (m *Manager) Set(live Live) {
	before := m.live.Swap(&live)
	if before.UserConnectionLimit > 0 || live.UserConnectionLimit <= 0 {
		return
	}
	// Nobody was counted so far. Whoever opens from here on is by Agent.add.
	for _, l := range m.group.Loops {
		a := m.agent(l)
		l.Post(&tableWalk{a: a, visit: func(_ uint32, s *session) { a.count(s) }})
	}
}

// count gives a session a place among its user's if it has none, whether there
// is one left or not: it is open already.
func (a *Agent) count(s *session) {
	if s.holds&holdsPlace == 0 && s.user != "" && a.m.live.Load().UserConnectionLimit > 0 {
		a.m.users.add(s.user)
		s.holds |= holdsPlace
	}
}
