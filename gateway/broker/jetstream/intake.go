package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"

	"sluice/gateway/broker"
	"sluice/gateway/broker/follow"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
)

// intake is the engine as the handler of the feed.
type intake Engine

var _ nats.Handler = (*intake)(nil)

// Message implements nats.Handler: it decodes what came and passes it on. It waits for credit.
func (in *intake) Message(m *nats.Msg) {
	e := (*Engine)(in)
	channel, ok := e.subj.channelOf(m.Subject)
	if !ok {
		if !e.Receive(m) {
			e.advised(m.Subject)
		}
		return
	}
	p, epoch := e.follow.Find(channel)
	if p == nil {
		e.stats.skipped(skipUnwanted)
		return
	}
	if msg, ok := e.live(p.Channel(), epoch, m); ok {
		e.follow.Message(e.ctx, p, msg)
	}
}

// Dropped implements nats.Handler.
func (in *intake) Dropped(subject string) {
	e := (*Engine)(in)
	e.stats.dropped.Add(1)
	if channel, ok := e.subj.channelOf(subject); ok {
		e.follow.DoubtChannel(channel)
		return
	}
	for _, s := range e.shards {
		s.doubt()
	}
}

// Lost implements nats.Handler.
func (in *intake) Lost(err error) {
	e := (*Engine)(in)
	for _, s := range e.shards {
		s.lost()
	}
	e.lanes.forgetAll() // the streams may not be what they were
	if e.over.Err() != nil {
		return // by us
	}
	e.stats.lost.Add(1)
	st := e.follow.Stats()
	if !e.stats.lossTold.Swap(true) {
		e.stats.before[0].Store(st.Replayed)
		e.stats.before[1].Store(st.Told)
	}
	e.opt.Log.Warn("jetstream: the feed is lost: what is missed will be read from the histories", "channels", st.Channels, "error", err,
		"remedy", "see whether nats-server runs, cut a slow consumer (its log says so), or cannot be reached")
}

// Up implements nats.Handler.
func (in *intake) Up() {
	for _, s := range in.shards {
		s.signal()
	}
}

// report says in the log what became of a loss, once no channel is left to be compared.
func (e *Engine) report() {
	if up, left := e.follow.CaughtUp(); !up || left > 0 || !e.stats.lossTold.CompareAndSwap(true, false) {
		return
	}
	st := e.follow.Stats()
	e.opt.Log.Info("jetstream: all channels are compared with their histories",
		"replayed", st.Replayed-e.stats.before[0].Load(), "channels_told", st.Told-e.stats.before[1].Load())
}

// Advisories of streams, which come on a subject of the account's.
const (
	advisories      = "$JS.EVENT.ADVISORY.STREAM."
	advisoryElected = advisories + "LEADER_ELECTED."
	advisoryDeleted = advisories + "DELETED."
)

// advised takes an advisory.
func (e *Engine) advised(subject string) {
	for _, s := range e.shards {
		switch subject {
		case advisoryElected + s.stream:
			s.doubt()
		case advisoryDeleted + s.stream:
			s.mu.Lock()
			s.made, s.doubted = false, true
			s.mu.Unlock()
			e.lanes.forgetAll()
			s.signal()
		}
	}
}

// advisorySubjects are what advised takes.
func (e *Engine) advisorySubjects() (subjects []string) {
	for _, s := range e.shards {
		subjects = append(subjects, advisoryElected+s.stream, advisoryDeleted+s.stream)
	}
	return subjects
}

// Slot implements follow.Source: the shard of a channel, the same on all nodes for good.
func (e *Engine) Slot(channel string) int {
	if len(e.shards) == 1 {
		return 0
	}
	return int(crc32.ChecksumIEEE([]byte(channel)) % uint32(len(e.shards)))
}

// live makes a message of what came; what is none is counted.
func (e *Engine) live(channel, epoch string, m *nats.Msg) (msg follow.Message, ok bool) {
	if stored, is := nats.Republished(m); is {
		if st, ours := readState(&stored); ours {
			if st.kind == kindState {
				return msg, false // who needs it reads it
			}
			return e.publication(channel, &stored, &st, epoch)
		}
		e.stats.skipped(skipForeign)
	}
	out, ok := e.push(channel, m.Data, epoch)
	if !ok {
		return msg, false
	}
	switch out.Kind {
	case reference.KindJoin, reference.KindLeave:
		msg.Kind, msg.Info = follow.KindJoin, out.Info
		if out.Kind == reference.KindLeave {
			msg.Kind = follow.KindLeave
		}
		c := out.Info
		msg.Size = len(c.User) + len(c.Client) + c.ConnInfo.Len() + c.ChanInfo.Len()
		return msg, true
	}
	if out.Publication == nil {
		return msg, false
	}
	msg.Pub = out.Publication
	msg.Pub.Offset, msg.Pub.Epoch = 0, "" // a place is the stream's to give
	msg.Size = msg.Pub.Size()
	return msg, true
}

// push decodes what goes through NATS; what is nothing for the channel is counted. Data that cannot be
// shown are no Publication.
func (e *Engine) push(channel string, data []byte, epoch string) (out reference.Payload, ok bool) {
	of, out, err := reference.DecodePush(data, e.limits(channel, epoch))
	e.stats.left(out.Left)
	if err == nil && of != channel {
		err = fmt.Errorf("a push for channel %q", of)
	}
	if err != nil {
		e.skip(channel, skipFor(err), err)
		out.Publication = nil
		return out, errors.Is(err, reference.ErrData)
	}
	return out, true
}

// publication makes a message of a publication that a stream keeps. One that cannot be shown has no
// Pub, and its place all the same.
func (e *Engine) publication(channel string, m *nats.Stored, st *state, epoch string) (msg follow.Message, ok bool) {
	if st.epoch == epoch {
		st.epoch = epoch // one text for all
	}
	msg.At, msg.Ref, msg.Sum = st.position(), m.Seq, follow.Sum(m.Data)
	out, ok := e.push(channel, m.Data, st.epoch)
	if p := out.Publication; ok && p != nil {
		p.Offset, p.Epoch = st.top, st.epoch
		msg.Pub, msg.Size = p, p.Size()
	}
	return msg, true
}

func (e *Engine) skip(channel string, why Skip, err error) {
	e.stats.skipped(why)
	e.opt.Log.Debug("jetstream: skipped what is no publication", "channel", channel, "reason", why.String(), "error", err)
}

// event is a join or a leave, which go past the streams.
func (e *Engine) event(ctx context.Context, payload []byte, channel string, credit *broker.Credit) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
	defer cancel()
	if err := e.nats.Calls().Send(ctx, nats.Request{Subject: e.subj.live(channel), Data: payload}); err != nil {
		return e.failed("join or leave", err)
	}
	credit.Release()
	return nil
}
