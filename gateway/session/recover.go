package session

import (
	"context"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
)

// recoverRequest is where a client says it was.
type recoverRequest struct {
	offset uint64
	epoch  string
}

// restored is what a subscriber gets of a channel's history when it subscribes
// (PROTOCOL 6.2 to 6.4).
type restored struct {
	top          broker.Position
	publications []*codec.Publication
	recovered    bool
	offset       uint64 // of the SubscribeResult
}

// restore reads the channel's history for a grant. Not from a turn.
func (m *Manager) restore(ctx context.Context, g *Grant) (restored, error) {
	q := broker.HistoryQuery{MetaTTL: g.Rules.HistoryMetaTTL}
	cache := g.Rules.ForceRecoveryMode == channel.RecoveryCache && !g.stream
	want := g.Recover != nil && g.Recoverable
	switch {
	case cache && (want || g.cacheRecover()):
		q.Limit, q.Reverse = 1, true
	case want:
		q.Since, q.Set, q.Limit = g.Recover.offset, true, m.opt.RecoveryLimit
		if q.Limit <= 0 {
			q.Limit = -1
		}
	}
	pubs, top, err := m.broker.History(ctx, g.Channel, q)
	if err != nil {
		return restored{}, err
	}
	switch {
	case q.Limit == 0:
		return restored{top: top, offset: top.Offset}, nil
	case q.Reverse:
		return restoreCache(g.Recover, pubs, top), nil
	}
	return restoreStream(*g.Recover, pubs, top), nil
}

// restoreStream decides whether pubs, the publications behind the client's
// position, are all that it missed. An empty epoch is not compared.
func restoreStream(r recoverRequest, pubs []*codec.Publication, top broker.Position) restored {
	ok := r.epoch == "" || r.epoch == top.Epoch
	if len(pubs) == 0 {
		ok = ok && r.offset == top.Offset
	} else {
		ok = ok && pubs[0].Offset == r.offset+1 && pubs[len(pubs)-1].Offset == top.Offset
	}
	if !ok {
		return restored{top: top, offset: top.Offset}
	}
	return restored{top: top, publications: pubs, recovered: true, offset: r.offset}
}

// restoreCache brings the latest publication, which is the channel's state,
// unless the client has it.
func restoreCache(r *recoverRequest, pubs []*codec.Publication, top broker.Position) restored {
	var at recoverRequest
	if r != nil {
		at = *r
	}
	if at.offset == top.Offset && at.epoch == top.Epoch && (at.offset > 0 || len(pubs) == 0) {
		return restored{top: top, recovered: true, offset: at.offset}
	}
	if len(pubs) == 1 && pubs[0].Offset == top.Offset {
		return restored{top: top, publications: pubs, recovered: true, offset: at.offset}
	}
	return restored{top: top, offset: top.Offset}
}
