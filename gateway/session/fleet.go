package session

import (
	"context"
	"time"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/loop"
)

// Limits by user hold for all nodes together: places and claims are kept where presence
// is ([Options.Places]), and each node renews those of its sessions as it renews presence.
// While that is out of reach a node goes by what it has itself: a limit that is exceeded
// for as long as an outage lasts harms less than nobody getting in. Places that were taken
// meanwhile the others learn of with the next renewal; nobody ends for them. A connection
// that single_connection would have ended elsewhere stays until a newer one comes.

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
		m.opt.Log.Warn("connections of users are counted, and superseded, on this node only: the places of all nodes are out of reach", "error", err)
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
	p.fleet = m.askFleet(ctx, func(ctx context.Context, places cluster.Places) (err error) {
		claim, others, err = places.Claim(ctx, p.User)
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

// evictElsewhere ends them. Not from a turn.
func (m *Manager) evictElsewhere(p *Plan) {
	if m.opt.Evict == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.CallTimeout)
	defer cancel()
	if err := m.opt.Evict(ctx, p.User, p.client.String(), p.claim); err != nil {
		m.evictionsFailed.Add(1)
		m.opt.Log.Warn("older connections of a user may have stayed on other nodes", "client", p.client.String(), "error", err)
	}
}

// EvictOlder ends the connections of a user on this node whose claim is lower than one
// of another node, but for the client keep; those that never claimed anything too
// (single_connection). One that is on its way with a lower claim will not open.
func (m *Manager) EvictOlder(ctx context.Context, user, keep string, claim uint64) error {
	m.users.claimedElsewhere(user, claim)
	return m.inOrder(ctx, &Target{User: user}, func(a *Agent, ref loop.Ref, s *session) {
		if s.opening == nil && s.client.String() != keep && m.users.claimOf(user, s.client) < claim {
			a.end(ref, loop.ReasonDisconnect, codec.DisconnectConnectionLimit, closeWithin)
		}
	})
}
