package api

import (
	"fmt"
	"time"

	"sluice/codec"
	"sluice/gateway/channel"
)

// fewChannels is how many channels a broadcast publishes into one by one even
// where the engine waits for the network.
const fewChannels = 4

// broadcastTarget is one channel of a broadcast.
type broadcastTarget struct {
	channel string
	options *channel.Options
	payload *checkedPayload // nil if fail is set
	fail    *failure
}

// checkedPayload is the data of a broadcast in one format.
type checkedPayload struct {
	format channel.Format
	out    outgoing
	fail   *failure
}

// broadcast is PROTOCOL 7.4: a response for each channel, in order. Channels
// may repeat.
func (s *Server) broadcast(c *call, r *codec.BroadcastRequest) *failure {
	if len(r.Channels) == 0 {
		return refuse(codec.ErrBadRequest, "channels: at least one name expected, got nothing")
	}
	raw, fail := dataOf(&r.Content)
	if fail != nil {
		return fail // of the request, not of a channel, as in the reference
	}
	targets := s.broadcastTargets(r, raw)
	responses := make([]codec.PublishResult, len(targets))
	one := func(i int) { responses[i] = s.broadcastInto(c, &targets[i]) }
	if s.local || len(targets) <= fewChannels {
		for i := range targets {
			one(i)
		}
	} else {
		parallel(len(targets), one)
	}
	for i := range targets {
		if fail := targets[i].fail; fail != nil && fail.detail != "" {
			c.detail = fmt.Sprintf("channels.%d: %s", i, fail.detail)
			break
		}
	}
	c.dst = codec.AppendBroadcastResult(c.dst, responses)
	return nil
}

// broadcastTargets looks up every channel and checks the data, raw, once for each
// format among them.
func (s *Server) broadcastTargets(r *codec.BroadcastRequest, raw []byte) []broadcastTarget {
	tags := r.Tags()
	targets := make([]broadcastTarget, len(r.Channels))
	var payloads []*checkedPayload
	for i, ch := range r.Channels {
		t := &targets[i]
		t.channel = ch
		if t.options, t.fail = s.publishable(ch); t.fail != nil {
			continue
		}
		for _, p := range payloads {
			if p.format == t.options.PublicationDataFormat {
				t.payload = p
				break
			}
		}
		if t.payload == nil {
			p := &checkedPayload{format: t.options.PublicationDataFormat}
			p.out = outgoing{content: &r.Content, tags: tags}
			p.out.payload, p.fail = s.payload(&r.Content, raw, p.format)
			payloads = append(payloads, p)
			t.payload = p
		}
		t.fail = t.payload.fail
	}
	return targets
}

// broadcastInto publishes into one channel. A panic costs this channel only.
func (s *Server) broadcastInto(c *call, t *broadcastTarget) (result codec.PublishResult) {
	defer func() {
		if v := recover(); v != nil {
			t.fail = panicked(v)
		}
		if t.fail != nil {
			s.note(c.id, "broadcast", t.fail)
			result = codec.PublishResult{Err: t.fail.err}
		}
	}()
	if t.fail != nil {
		return codec.PublishResult{}
	}
	pos, fail := s.publishInto(c, t.channel, t.options, &t.payload.out, time.Now())
	t.fail = fail
	return codec.PublishResult{Offset: pos.Offset, Epoch: pos.Epoch}
}
