package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
)

// publish is PROTOCOL 7.3.
func (s *Server) publish(c *call, r *codec.PublishRequest) *failure {
	o, fail := s.publishable(r.Channel)
	if fail != nil {
		return fail
	}
	raw, fail := dataOf(&r.Content)
	if fail != nil {
		return fail
	}
	payload, fail := s.payload(&r.Content, raw, o.PublicationDataFormat)
	if fail != nil {
		return fail
	}
	pos, fail := s.publishInto(c, r.Channel, o, &outgoing{content: &r.Content, tags: r.Tags(), payload: payload}, c.began)
	if fail != nil {
		return fail
	}
	c.dst = codec.AppendPublishResult(c.dst, pos.Offset, pos.Epoch)
	return nil
}

// lookup returns the options of a channel that a request names.
func (s *Server) lookup(ch string) (*channel.Options, *failure) {
	if ch == "" {
		return nil, refuse(codec.ErrBadRequest, "channel: a name expected, got nothing")
	}
	o, err := s.opt.Rules().Lookup(ch)
	if err != nil {
		return nil, unknown(err)
	}
	return o, nil
}

// unknown says why there is no channel of a name.
func unknown(err error) *failure {
	var long *channel.TooLongError
	if errors.As(err, &long) {
		return refuse(codec.ErrBadRequest, fmt.Sprintf("channel: at most %d bytes expected (channel.server_max_length), got %d", long.Limit, long.Length))
	}
	return refuse(codec.ErrUnknownChannel, "channel: a configured namespace expected")
}

// publishable is lookup for channels to publish into.
func (s *Server) publishable(ch string) (*channel.Options, *failure) {
	o, fail := s.lookup(ch)
	if fail == nil && !o.Publishable() {
		return nil, refuse(codec.ErrBadRequest, "channel: a namespace of type stream expected")
	}
	return o, fail
}

// dataOf returns the data of a request as they were sent: of b64data and data the first
// wins. They are empty if the request has them as a value.
func dataOf(r *codec.Content) ([]byte, *failure) {
	if r.B64Data != "" {
		return unbase64("b64data", r.B64Data)
	}
	return r.Data, nil
}

// payload returns the data of a request, which are raw (see dataOf), in the form that a
// format asks for (PROTOCOL 5.7).
func (s *Server) payload(r *codec.Content, raw []byte, format channel.Format) (payload, *failure) {
	field := "data"
	value, room := r.Value()
	if r.B64Data != "" {
		field, value, room = "b64data", codec.JSON{}, nil
	}
	if most, n := s.opt.MaxPublication, max(len(raw), value.Len()); most > 0 && n > most {
		return payload{}, refuse(codec.ErrBadRequest, fmt.Sprintf("%s: at most %d bytes expected (http_api.max_publication_size), got %d", field, most, n))
	}
	if !value.IsZero() {
		p, err := channel.CheckValue(format, value)
		if err != nil {
			return payload{}, refuse(codec.ErrBadRequest, dataDetail(field, format, []byte{'0'}, err))
		}
		return payload{Payload: p, room: room}, nil
	}
	p, err := channel.CheckData(format, raw, s.opt.Limits)
	if err != nil {
		return payload{}, refuse(codec.ErrBadRequest, dataDetail(field, format, raw, err))
	}
	out := payload{Payload: p}
	if p.Binary {
		out.binary = raw
	}
	return out, nil
}

// payload is the data of a publication, and the room for its frame, if there is one.
type payload struct {
	channel.Payload
	room   *codec.Room
	binary []byte // the data if they are no JSON
}

func unbase64(field, value string) ([]byte, *failure) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, refuse(codec.ErrBadRequest, field+": standard base64 expected")
	}
	return raw, nil
}

// dataDetail says why a format does not accept data. Why not the text of err:
// it quotes the data.
func dataDetail(field string, format channel.Format, raw []byte, err error) string {
	var syntax *codec.SyntaxError
	switch {
	case len(raw) == 0:
		return field + ": a JSON value expected, got nothing"
	case errors.As(err, &syntax):
		return field + ": " + codec.Detail(syntax)
	}
	return field + ": what the format " + string(format) + " accepts expected"
}

// outgoing is what one request publishes into one or more channels.
type outgoing struct {
	content *codec.Content
	tags    []codec.Tag
	payload payload
}

// noCredit is the detail of a publish that waited in vain.
const noCredit = "no room came free within http_api.publish_wait (of http_api.publish_inflight_max_bytes), nothing was published"

// publishInto publishes into one channel, at that time. The credit is taken before anything
// happens, so a caller that is refused may try again.
func (s *Server) publishInto(c *call, ch string, o *channel.Options, out *outgoing, at time.Time) (broker.Position, *failure) {
	p, credit := newPublication(o.HistorySize > 0 && !out.content.SkipHistory)
	*p = codec.Publication{
		Data: out.payload.JSON, Binary: out.payload.Binary, Tags: out.tags, Version: out.content.Version,
		Time: at.UnixMilli(), Delta: out.content.Delta || o.DeltaPublish,
		Room: out.payload.room,
	}
	opt := broker.PublishOptions{
		IdempotencyKey: out.content.IdempotencyKey, VersionEpoch: out.content.VersionEpoch, Binary: out.payload.binary,
	}
	if !out.content.SkipHistory {
		opt.History = broker.HistoryOptions{Size: o.HistorySize, TTL: o.HistoryTTL, MetaTTL: o.HistoryMetaTTL}
	}
	err := s.opt.Credit.TakeCredit(c.ctx, p.Size()+len(opt.Binary), credit, c.waiter)
	if err != nil {
		detail := noCredit
		if c.ctx.Err() != nil {
			detail = "the call ended before there was room for it, nothing was published"
		}
		return broker.Position{}, &failure{err: codec.ErrInternal, detail: detail, cause: fmt.Errorf("api: %s: %w", detail, err)}
	}
	opt.Credit = credit
	var result broker.Result
	defer func() { // of a panic too
		if !result.CreditTaken {
			credit.Release()
		}
	}()
	result, err = s.opt.Broker.Publish(c.ctx, ch, p, opt)
	if err != nil {
		return broker.Position{}, unpublished(err, opt.IdempotencyKey)
	}
	if !result.Suppressed {
		s.accepted.Add(1)
	}
	return result.Position, nil
}

// newPublication returns memory for a publication and its credit. They are one allocation
// where the publication is not kept: a history is not to have more than it needs.
func newPublication(kept bool) (*codec.Publication, *broker.Credit) {
	if kept {
		return new(codec.Publication), new(broker.Credit)
	}
	both := new(struct {
		publication codec.Publication
		credit      broker.Credit
	})
	return &both.publication, &both.credit
}

// The details of a publish that an engine did not take, or did not answer.
const (
	publishAway    = "the engine is not available at present: nothing was published"
	publishUnknown = "the engine did not answer: it may have been published or not; "
	publishAgain   = publishUnknown + "with the same idempotency_key it may be called again"
	publishKey     = publishUnknown + "an idempotency_key makes it safe to call again"
	publishRefused = "the engine refused it, the log of the node says why: it may be in the history or not"
)

// unpublished is the failure of a publish in an engine.
func unpublished(err error, key string) *failure {
	fail := internal(err)
	switch {
	case errors.Is(err, broker.ErrUnknown) && key != "":
		fail.detail = publishAgain
	case errors.Is(err, broker.ErrUnknown):
		fail.detail = publishKey
	case errors.Is(err, broker.ErrUnavailable):
		fail.detail = publishAway
	case fail.err == codec.ErrInternal && fail.detail != "":
		fail.detail = publishRefused
	}
	return fail
}
