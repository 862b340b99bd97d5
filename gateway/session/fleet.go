package session

import (
	"context"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/cluster"
	"sluice/gateway/loop"
)

// Limits by user hold for all nodes together: places and claims are kept where presence
// is ([Options.Places]), and each node renews those of its sessions as it renews presence.
// While that is out of reach a node goes by what it has itself: a limit that is exceeded
// for as long as an outage lasts harms less than nobody getting in. Places that were taken
// meanwhile the others learn of with the next renewal; nobody ends for them. Connections
// that single_connection would have ended elsewhere end when the places are back, see
// settler.

const (
	// placeWait is how long a connect waits for an answer about its user's places.
	placeWait = time.Second
	// placePause is how long nobody asks once there was none.
	placePause = time.Second
)

// limitsFleet reports whether user_connection_limit counts the connections of all nodes.
func (m *Manager) limitsFleet() bool { return m.opt.Places != nil && !m.opt.LimitNodeOnly }

// askFleet asks for the places of users, unless there was no answer a moment ago; false
// if there is none, and the connect has to do with what this node knows.
func (m *Manager) askFleet(ctx context.Context, ask func(ctx context.Context, places cluster.Places) error) bool {
	now := time.Now().UnixNano()
	if now < m.placesPause.Load() {
		m.placesAlone.Add(1)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, placeWait)
	defer cancel()
	err := ask(ctx, m.opt.Places)
	if err == nil {
		return true
	}
	m.alone(err)
	return false
}

// alone counts a question that nobody answered, and sees to it that the next ones are not
// asked for a while.
func (m *Manager) alone(err error) {
	m.placesAlone.Add(1)
	now := time.Now()
	if before := m.placesPause.Load(); before <= now.UnixNano() && m.placesPause.CompareAndSwap(before, now.Add(placePause).UnixNano()) {
		m.opt.Log.Warn("connections of users are counted, and superseded, on this node only: the places of all nodes are out of reach", "error", err, "remedy", advice.Remedy(err, advice.Away))
	}
}

// errDoubtful refuses whom there may be a place for in a moment: its holders may have been
// on a node that is gone. A refusal for good would keep all users of a node out that died.
var errDoubtful = &Shortage{"the user has as many connections as it may, on nodes that were not heard since", "client.user_connection_limit"}

// reserveFleet takes one of so many places that the plan's user has on all nodes, if the
// plan counts.
func (m *Manager) reserveFleet(p *Plan, limit int) error {
	if !p.counted || !m.limitsFleet() {
		return nil
	}
	place := cluster.PlaceTaken
	asked := m.askFleet(context.Background(), func(ctx context.Context, places cluster.Places) (err error) {
		place, err = places.Reserve(ctx, p.User, p.client.String(), limit)
		return err
	})
	switch {
	case !asked || place == cluster.PlaceTaken:
		return nil
	case place == cluster.PlaceDoubtful:
		return errDoubtful
	}
	return codec.DisconnectConnectionLimit
}

// vacate gives the place of a client back to all nodes, if they count. The keeper is the
// one that renewed it, if any did. Any goroutine.
func (a *Agent) vacate(user string, client ID) {
	if a.m.limitsFleet() {
		a.keeper.Post(keeperOp{kind: opVacate, info: &codec.ClientInfo{User: user, Client: client.String()}})
	}
}

// claimFleet replaces the claim of a plan by one that counts on all nodes, and notes
// whether others may have claimed the place just before.
func (m *Manager) claimFleet(ctx context.Context, p *Plan) {
	if m.opt.Places == nil {
		return
	}
	var claim uint64
	var others bool
	p.claimed = time.Now()
	p.fleet = m.askFleet(ctx, func(ctx context.Context, places cluster.Places) (err error) {
		claim, others, err = places.Claim(ctx, p.User, 0)
		return err
	})
	if !p.fleet {
		claim = 0
	}
	p.claim = m.users.reclaim(p.User, claim)
	p.others = p.others || p.fleet && others
}

// evictsElsewhere reports whether the user may have older connections on other nodes that
// end once the plan's is open.
func (p *Plan) evictsElsewhere() bool { return p.fleet && p.others }

// evictElsewhere ends them; what other nodes cannot be told now is owed to them. Not from
// a turn.
func (m *Manager) evictElsewhere(p *Plan) {
	if m.opt.Evict == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.CallTimeout)
	defer cancel()
	err := m.opt.Evict(ctx, p.User, p.client.String(), p.claim)
	if err == nil {
		return
	}
	m.opt.Log.Debug("other nodes cannot be told now that a user has a newer connection", "client", p.client.String(), "error", err)
	if m.owe() {
		m.settler.Post(debt{user: p.User, client: p.client, claim: p.claim})
	}
}

// EvictOlder ends the connections of a user on this node whose claim is lower than one
// of another node, but for the client keep; those that never claimed anything too
// (single_connection). One that is on its way with a lower claim will not open. Where a
// newer one is open here, the other nodes are told of that.
func (m *Manager) EvictOlder(ctx context.Context, user, keep string, claim uint64) error {
	m.users.claimedElsewhere(user, claim)
	var owed atomic.Bool
	err := m.inOrder(ctx, &Target{User: user}, func(a *Agent, ref loop.Ref, s *session) {
		if s.opening != nil || s.client.String() == keep {
			return
		}
		switch has := m.users.standingOf(user, s.client); {
		case has.owed:
			owed.Store(true)
		case has.claim < claim:
			a.end(ref, loop.ReasonDisconnect, codec.DisconnectConnectionLimit, closeWithin)
		}
	})
	if owed.Load() { // which is the newer one it will show now
		m.settler.Wake()
	}
	if here := m.users.newestHere(user); err == nil && here.claim > claim && m.opt.Evict != nil {
		err = m.opt.Evict(ctx, user, here.client.String(), here.claim)
	}
	return err
}

// debt is a connection of a user of whom only the newest may stay, and of which other
// nodes were not told when it opened.
type debt struct {
	user    string
	client  ID
	claimed time.Time // when it claimed its place
	claim   uint64    // that of all nodes, 0 while it has none
	again   time.Time // when the others are told once more; zero before they were told
	settled bool
}

const (
	// maxDebts bounds the connections that other nodes are yet to be told of; those
	// beyond stay beside older ones until the user's next one comes.
	maxDebts = 1 << 14
	// settleBatch is how many of them a turn settles.
	settleBatch = 256
)

// owe takes room for one debt, if there is any.
func (m *Manager) owe() bool {
	if m.owed.Add(1) <= maxDebts {
		return true
	}
	m.owed.Add(-1)
	if m.evictionsFailed.Add(1)%maxDebts == 1 {
		m.opt.Log.Warn("older connections of users may stay on other nodes until their next connect: more connected than this node remembers while the places of all nodes were out of reach",
			"remembered", maxDebts, "remedy", advice.Away+"; the API method disconnect ends them")
	}
	return false
}

// owes reports whether the plan's claim is to be replaced by one of all nodes, and takes
// room for that.
func (m *Manager) owes(p *Plan) bool {
	return !p.fleet && m.opt.Places != nil && m.opt.Evict != nil && m.owe()
}

// settler makes good what could not be done while the places of users, or other nodes,
// were out of reach (single_connection): it gives connections that were opened then the
// claim that they would have had, and tells the other nodes, where older ones end. Who has
// a newer one there says so, see EvictOlder. It is the behavior of an actor on the blocking
// pool.
type settler struct {
	// Immutable after New.
	m *Manager

	// Owned by the turn.
	debts []debt
}

func (s *settler) Begin() {}

func (s *settler) Panicked(v any) {
	s.m.opt.Log.Error("panic in the settler", "panic", v, "stack", string(debug.Stack()))
}

func (s *settler) Handle(d debt) { s.debts = append(s.debts, d) }

// Flush settles what is due, until a call fails: the others would too.
func (s *settler) Flush() (more bool) {
	before, calls := len(s.debts), 0
	if s.m.stopping.Load() {
		s.debts = nil
	}
	now, failed := time.Now(), false
	for i := range s.debts {
		d := &s.debts[i]
		if failed || calls == settleBatch || now.Before(d.again) {
			continue
		}
		calls++
		if err := s.settle(d); err != nil {
			failed = true
			s.m.opt.Log.Debug("connections that other nodes were not told of are not made good yet", "connections", len(s.debts), "error", err)
		}
	}
	if s.debts = slices.DeleteFunc(s.debts, func(d debt) bool { return d.settled }); len(s.debts) == 0 {
		s.debts = nil // it keeps the size of its longest outage
	}
	s.m.owed.Add(int64(len(s.debts) - before))
	return calls == settleBatch && !failed
}

// settle makes one debt good, as far as that can be done now.
func (s *settler) settle(d *debt) error {
	m := s.m
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.CallTimeout)
	defer cancel()
	if d.settled = m.users.standingOf(d.user, d.client).claim == 0; d.settled {
		return nil // it has ended
	}
	if d.claim == 0 {
		claim, _, err := m.opt.Places.Claim(ctx, d.user, time.Since(d.claimed))
		if err != nil {
			return err
		}
		if newest := m.users.settle(d.user, d.client, claim); newest > claim {
			err := m.EvictOlder(ctx, d.user, "", newest)
			d.settled = err == nil
			return err
		}
		d.claim = claim
	}
	if err := m.opt.Evict(ctx, d.user, d.client.String(), d.claim); err != nil {
		return err
	}
	if d.settled = !d.again.IsZero(); !d.settled {
		m.evictionsLate.Add(1)
		d.again = time.Now().Add(m.opt.settleAgain)
	}
	return nil
}

// Settle has the settler go on, if there is anything left to do. Call it each
// [ClockLook], from one goroutine, while the loops run.
func (m *Manager) Settle() {
	if m.owed.Load() > 0 {
		m.settler.Wake()
	}
}
