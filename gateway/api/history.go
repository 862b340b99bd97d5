package api

import (
	"errors"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
)

// historyItem is what a publication takes in an answer beside what it carries.
const historyItem = 64

// history is PROTOCOL 7.9.
func (s *Server) history(c *call, r *codec.HistoryRequest) *failure {
	o, fail := s.hasHistory(r.Channel)
	if fail != nil {
		return fail
	}
	q := broker.HistoryQuery{Channel: r.Channel, Limit: int(r.Limit), Reverse: r.Reverse, MetaTTL: o.HistoryMetaTTL}
	if r.Since != nil {
		// The reference says 100 (PROTOCOL 12.20).
		if r.Reverse && r.Since.Offset == 0 {
			return refuse(codec.ErrBadRequest, "since.offset: a number above 0 expected with reverse")
		}
		q.Since, q.Set = r.Since.Offset, true
	}
	publications, top, err := broker.Read(c.ctx, s.opt.Broker, q)
	if err != nil {
		return historyFailure(err)
	}
	if r.Since != nil && r.Since.Epoch != "" && r.Since.Epoch != top.Epoch {
		return refuse(codec.ErrUnrecoverablePosition, "since.epoch: the present epoch expected")
	}
	size := 0
	for _, p := range publications {
		size += p.Size() + historyItem
	}
	if fail := c.room(size); fail != nil {
		return fail
	}
	c.dst = codec.AppendHistoryResult(c.dst, publications, top.Epoch, top.Offset)
	return nil
}

// hasHistory is lookup for channels that keep history.
func (s *Server) hasHistory(ch string) (*channel.Options, *failure) {
	o, fail := s.lookup(ch)
	if fail == nil && !o.HasHistory() {
		return nil, refuse(codec.ErrNotAvailable, "channel: a namespace with history expected")
	}
	return o, fail
}

func historyFailure(err error) *failure {
	if errors.Is(err, broker.ErrNoHistory) {
		return refuse(codec.ErrNotAvailable, "channel: an engine with history expected")
	}
	return internal(err)
}
