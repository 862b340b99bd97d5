package nats

import (
	"errors"
	"strings"

	"sluice/codec"
	"sluice/gateway/nats"
	"sluice/gateway/reference"
)

// intake is the engine as the handler of the feed.
type intake Engine

var _ nats.Handler = (*intake)(nil)

// Message implements nats.Handler: it decodes what came and passes it on. It waits for credit.
func (in *intake) Message(m *nats.Msg) {
	e := (*Engine)(in)
	if e.Receive(m) {
		return
	}
	if e.subj.raw {
		e.raw(m)
		return
	}
	e.push(m)
}

// push takes a Push. The channel inside decides who gets it, but for patterns, which get all that came for them.
func (e *Engine) push(m *nats.Msg) {
	inside, out, err := reference.DecodePush(m.Data, reference.Limits{JSON: e.opt.JSON, Binary: true})
	e.stats.left(out.Left)
	if err != nil {
		e.skip(m.Subject, skipFor(err), err)
		return
	}
	channel, wanted := e.wanted(m.Sub.Subject, inside)
	if !wanted {
		e.stats.skipped(skipUnwanted)
		return
	}
	if p := out.Publication; p != nil {
		if !e.opt.Binary(inside) && (p.Binary || p.Data.Len() == 0) {
			e.skip(m.Subject, skipData, reference.ErrData)
			return
		}
		// A place in a history, and what a version guards, are an engine's that keeps one.
		p.Offset, p.Epoch, p.Version = 0, "", 0
		if e.subj.wildcards {
			p.Channel = inside
		}
		e.publication(channel, p)
		return
	}
	e.joined(channel, &out)
}

// wanted returns the channel that a message is for which came by a subscription.
func (e *Engine) wanted(subscription, inside string) (channel string, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.subj.wildcards {
		if of := e.subjects[subscription]; len(of) == 1 && pattern(of[0]) {
			return of[0], true
		}
	}
	_, ok = e.channels[inside]
	return inside, ok
}

// joined delivers a join or a leave.
func (e *Engine) joined(channel string, out *reference.Payload) {
	c := out.Info
	credit, err := e.sink.Credit(e.ctx, len(c.User)+len(c.Client)+c.ConnInfo.Len()+c.ChanInfo.Len())
	if err != nil {
		return
	}
	e.intake.Lock()
	defer e.intake.Unlock()
	switch {
	case e.stopped:
		credit.Release()
	case out.Kind == reference.KindJoin:
		e.sink.Join(channel, c, credit)
	default:
		e.sink.Leave(channel, c, credit)
	}
}

// publication delivers one.
func (e *Engine) publication(channel string, p *codec.Publication) {
	credit, err := e.sink.Credit(e.ctx, p.Size())
	if err != nil {
		return
	}
	e.intake.Lock()
	defer e.intake.Unlock()
	if e.stopped {
		credit.Release()
		return
	}
	e.sink.Publication(channel, p, nil, credit)
}

// raw takes data of a publisher that knows no gateway. All channels with that subject get it.
func (e *Engine) raw(m *nats.Msg) {
	e.mu.RLock()
	channels := e.subjects[m.Sub.Subject] // never written to
	e.mu.RUnlock()
	if len(channels) == 0 {
		e.stats.skipped(skipUnwanted)
		return
	}
	for _, channel := range channels {
		p := &codec.Publication{Channel: strings.Clone(strings.TrimPrefix(m.Subject, e.subj.prefix))}
		if len(m.Data) > 0 {
			data, err := codec.Compact(m.Data, e.opt.JSON)
			// What is no JSON no stream can carry: who wants JSON is told so.
			p.Data, p.Binary = data, err != nil
		}
		e.publication(channel, p)
	}
}

// skip counts something that is no publication, and says at debug where it was.
func (e *Engine) skip(subject string, why Skip, err error) {
	e.stats.skipped(why)
	e.opt.Log.Debug("nats: skipped what is no publication", "subject", subject, "reason", why.String(), "error", err)
}

// skipFor is the reason for an error of a decoder.
func skipFor(err error) Skip {
	if errors.Is(err, reference.ErrData) {
		return skipData
	}
	return skipMalformed
}

// Dropped implements nats.Handler.
func (in *intake) Dropped(subject string) {
	in.stats.dropped.Add(1)
	if in.stats.dropTold.CompareAndSwap(false, true) { // until the next probe
		in.opt.Log.Warn("nats: a message found no room here and is lost, its streams cannot take as much as is published", "subject", subject,
			"remedy", "see the metrics of slow streams; histories, which would bring it again, need jetstream.enabled")
	}
}

// Lost implements nats.Handler.
func (in *intake) Lost(err error) {
	e := (*Engine)(in)
	e.probe.lost()
	if e.over.Err() != nil {
		return // by us
	}
	e.stats.lost.Add(1)
	e.mu.RLock()
	n := len(e.channels)
	e.mu.RUnlock()
	e.stats.unknown.Add(uint64(n))
	e.opt.Log.Warn("nats: the feed is lost: what is published until it is back is lost to the streams of this node", "channels", n, "error", err,
		"remedy", "see whether nats-server runs, cut a slow consumer (its log says so), or cannot be reached; histories, which would bring it again, need jetstream.enabled")
}

// Up implements nats.Handler.
func (in *intake) Up() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}
