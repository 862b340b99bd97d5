package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/broker"
)

func TestPublishDeliversWhatTheRequestSays(t *testing.T) {
	r := newRig(t, nil)
	before := time.Now().UnixMilli()
	r.expect("publish", `{"channel":"news","data":{"a" : 1},"tags":{"b":"2","a":"1"},"delta":true,"version":7,"skip_history":true}`, `{"result":{}}`)
	got := r.sink.take()
	require.Len(t, got, 1)
	require.Equal(t, "news", got[0].channel)
	p := got[0].pub
	require.Equal(t, `{"a":1}`, p.Data.String())
	require.Equal(t, []codec.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, p.Tags)
	require.True(t, p.Delta)
	require.EqualValues(t, 7, p.Version)
	require.Zero(t, p.Offset)
	require.GreaterOrEqual(t, p.Time, before)
	require.Nil(t, p.Info)
}

func TestPublishTable(t *testing.T) {
	r := newRig(t, nil)
	ok := func(body, data string) {
		t.Helper()
		r.expect("publish", body, `{"result":{}}`)
		got := r.sink.take()
		require.Len(t, got, 1, body)
		require.Equal(t, data, got[0].pub.Data.String(), body)
	}
	ok(`{"channel":"a","data":null}`, `null`)
	ok(`{"channel":"a","data":"x"}`, `"x"`)
	ok(`{"channel":"a","data":0}`, `0`)
	ok(`{"channel":"a","data":false}`, `false`)
	ok(`{"channel":"a","data":[]}`, `[]`)
	ok("{\"channel\":\"a\",\"data\":{\r\n\"x\":1}}", `{"x":1}`)
	ok(`{"CHANNEL":"a","Data":1}`, `1`)
	ok(`{"channel":"a","data":1,"data":2}`, `2`)
	ok(`{"channel":"a","b64data":"eyJhIjoxfQ=="}`, `{"a":1}`)
	ok(`{"channel":"a","b64data":"MQ==","data":{"loses":1}}`, `1`)
	ok(`{"channel":"a","b64data":"","data":3}`, `3`)
	ok(`{"channel":"`+strings.Repeat("x", 5000)+`","data":1}`, `1`)
	ok(`{"channel":"$private","data":1}`, `1`)
	ok(`{"channel":"u#1,2","data":1}`, `1`)
	ok(`{"channel":"json:a","data":"x"}`, `"x"`)
	ok(`{"channel":"obj:a","data":{}}`, `{}`)
	ok(`{"channel":"bin:a","data":{}}`, `{}`)
	ok(`{"channel":"bin:a"}`, ``)
	ok(`{"channel":"bin:a","b64data":"//79"}`, ``)

	r.refused("publish", `{}`, codec.ErrBadRequest, "channel: ")
	r.refused("publish", `{"channel":""}`, codec.ErrBadRequest, "channel: ")
	r.refused("publish", `{"channel":null,"data":1}`, codec.ErrBadRequest, "channel: ")
	r.refused("publish", `{"channel":"no:x","data":1}`, codec.ErrUnknownChannel, "channel: ")
	r.refused("publish", `{"channel":"no:x"}`, codec.ErrUnknownChannel, "channel: ")
	r.refused("publish", `{"channel":"map:x","data":1}`, codec.ErrBadRequest, "channel: ")
	r.refused("publish", `{"channel":"a"}`, codec.ErrBadRequest, "data: a JSON value expected, got nothing")
	r.refused("publish", `{"channel":"a","b64data":"%%%"}`, codec.ErrBadRequest, "b64data: standard base64 expected")
	r.refused("publish", `{"channel":"a","b64data":"e30"}`, codec.ErrBadRequest, "b64data: ")
	r.refused("publish", `{"channel":"a","b64data":"_-8="}`, codec.ErrBadRequest, "b64data: ")
	r.refused("publish", `{"channel":"a","b64data":"e2JhZH0="}`, codec.ErrBadRequest, "b64data: bad JSON at byte 1")
	r.refused("publish", `{"channel":"json:a","b64data":"aGk="}`, codec.ErrBadRequest, "b64data: bad JSON")
	r.refused("publish", `{"channel":"obj:a","data":[1]}`, codec.ErrBadRequest, "data: what the format json_object accepts")
	r.refused("publish", `{"channel":"a","data":1`+strings.Repeat("0", 2000)+`}`, codec.ErrBadRequest, "data: bad JSON at byte 0: a number longer than 1024 bytes")
	require.Empty(t, r.sink.take())
	require.Zero(t, r.credit.outstanding())
}

func TestPublishIntoHistoryAnswersThePosition(t *testing.T) {
	r := newRig(t, nil)
	e := r.epoch("hh:a")
	position := func(n int) string { return fmt.Sprintf(`{"result":{"offset":%d,"epoch":"%s"}}`, n, e) }
	r.expect("publish", `{"channel":"hh:a","data":1}`, position(1))
	r.expect("publish", `{"channel":"hh:a","data":2}`, position(2))
	r.expect("publish", `{"channel":"hh:a","data":3,"skip_history":true}`, `{"result":{}}`)
	r.expect("publish", `{"channel":"hh:a","data":4,"idempotency_key":"k"}`, position(3))
	r.expect("publish", `{"channel":"hh:a","data":5,"idempotency_key":"k"}`, position(3))
	r.expect("publish", `{"channel":"hh:a","data":6,"version":5}`, position(4))
	r.expect("publish", `{"channel":"hh:a","data":7,"version":5}`, position(4))
	r.expect("publish", `{"channel":"hh:a","data":8,"version":4,"version_epoch":"other"}`, position(5))
	var data []string
	for _, p := range r.sink.take() {
		data = append(data, p.pub.Data.String())
	}
	require.Equal(t, []string{"1", "2", "3", "4", "6", "8"}, data)
	require.Zero(t, r.credit.outstanding(), "suppressed publications give their credit back")
}

func TestNamespaceMayPublishDeltasAlways(t *testing.T) {
	r := newRig(t, nil)
	r.post("publish", `{"channel":"delta:a","data":1}`)
	r.post("publish", `{"channel":"news","data":1}`)
	got := r.sink.take()
	require.True(t, got[0].pub.Delta)
	require.False(t, got[1].pub.Delta)
}

// A call whose body was not read is no call without a body.
func TestACallWhoseBodyWasNotReadIs100(t *testing.T) {
	decoded := 0
	r := newRig(t, func(o *Options) {
		o.Unread = func(h *fasthttp.RequestHeader) bool { return strings.HasSuffix(string(h.RequestURI()), "?unread=1") }
		o.Decoded = func(*fasthttp.Request, bool) { decoded++ }
	})
	const reply = `{"error":{"code":100,"message":"internal server error"}}`
	for _, method := range []string{"publish?unread=1", "batch?unread=1"} {
		got := r.expect(method, "", reply)
		require.Equal(t, noBodyRoom, got.head.Get(detailHeader))
		require.Less(t, len(noBodyRoom), maxDetail)
	}
	require.Equal(t, reply, r.do(http.MethodPost, "/api?unread=1", "").body)
	require.EqualValues(t, 3, r.server.Stats().Refused["no_room"])
	require.Contains(t, r.log.String(), noBodyRoom)
	require.Zero(t, decoded)
	require.Equal(t, http.StatusOK, r.post("info?unread=0", "{}").status)
	require.Equal(t, 1, decoded)
	require.Equal(t, http.StatusOK, r.do(http.MethodPost, "/api?unread=0", `{"method":"info"}`).status)
	require.Equal(t, 2, decoded)
}

func TestPublishWithoutCreditIs100AndPublishesNothing(t *testing.T) {
	r := newRig(t, nil)
	r.credit.refuse = true
	const detail = "no room came free within http_api.publish_wait (of http_api.publish_inflight_max_bytes), nothing was published"
	r.refused("publish", `{"channel":"news","data":1}`, codec.ErrInternal, detail)
	got := r.expect("broadcast", `{"channels":["a"],"data":1}`, `{"result":{"responses":[{"error":{"code":100,"message":"internal server error"}}]}}`)
	require.Equal(t, "channels.0: "+detail, got.head.Get(detailHeader))
	got = r.expect("batch", `{"commands":[{"broadcast":{"channels":["a"],"data":1}}]}`,
		`{"replies":[{"broadcast":{"responses":[{"error":{"code":100,"message":"internal server error"}}]}}]}`)
	require.Equal(t, "commands.0: channels.0: "+detail, got.head.Get(detailHeader))
	got = r.expect("batch", `{"commands":[{"publish":{"channel":"a","data":1}}]}`,
		`{"replies":[{"error":{"code":100,"message":"internal server error"}}]}`)
	require.Equal(t, "commands.0: "+detail, got.head.Get(detailHeader))
	require.Empty(t, r.sink.take())
	require.Contains(t, r.log.String(), detail)
}

func TestPublishWithoutCreditWithinTheCallSaysSo(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CallTimeout = time.Millisecond })
	r.credit.waits = true
	got := r.expect("broadcast", `{"channels":["a"],"data":1}`, `{"result":{"responses":[{"error":{"code":100,"message":"internal server error"}}]}}`)
	require.Equal(t, "channels.0: the call ended before there was room for it, nothing was published", got.head.Get(detailHeader))
	require.Empty(t, r.sink.take())
}

// noting keeps the options of the last publish.
type noting struct {
	broker.Broker
	last broker.PublishOptions
}

func (n *noting) Publish(ctx context.Context, ch string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	n.last = opt
	return n.Broker.Publish(ctx, ch, p, opt)
}

func TestTheEngineGetsDataThatAreNoJSON(t *testing.T) {
	var engine *noting
	r := newRig(t, func(o *Options) { engine = &noting{Broker: o.Broker}; o.Broker = engine })
	r.expect("publish", `{"channel":"bin:a","b64data":"//79"}`, `{"result":{}}`)
	require.Equal(t, []byte{0xff, 0xfe, 0xfd}, engine.last.Binary)
	require.True(t, r.sink.take()[0].pub.Binary)
	r.expect("publish", `{"channel":"bin:a","data":{}}`, `{"result":{}}`)
	require.Nil(t, engine.last.Binary)
}

// panicking is an engine with a bug.
type panicking struct{ broker.Broker }

func (panicking) Publish(context.Context, string, *codec.Publication, broker.PublishOptions) (broker.Result, error) {
	panic("a bug of the engine")
}

func TestAPanicInTheEngineGivesTheCreditBack(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Broker = panicking{o.Broker} })
	r.refused("publish", `{"channel":"news","data":1}`, codec.ErrInternal, "")
	r.expect("broadcast", `{"channels":["a"],"data":1}`, `{"result":{"responses":[{"error":{"code":100,"message":"internal server error"}}]}}`)
	require.Zero(t, r.credit.outstanding())
}

// slowBroker is an engine that is not within the process.
type slowBroker struct {
	broker.Broker
	err      error
	inFlight atomic.Int64
	most     atomic.Int64
	together chan struct{} // closed when two calls have met
	met      atomic.Bool
}

func (b *slowBroker) Abilities() broker.Abilities { return broker.Abilities{History: true} }

func (b *slowBroker) Publish(ctx context.Context, ch string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	n := b.inFlight.Add(1)
	defer b.inFlight.Add(-1)
	for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
	}
	if n >= 2 && b.met.CompareAndSwap(false, true) {
		close(b.together)
	}
	if _, ok := ctx.Deadline(); !ok {
		return broker.Result{}, errors.New("a deadline expected")
	}
	if b.err != nil {
		return broker.Result{}, b.err
	}
	if b.together != nil {
		select {
		case <-b.together:
		case <-ctx.Done():
			return broker.Result{}, ctx.Err()
		}
	}
	return b.Broker.Publish(ctx, ch, p, opt)
}

// endless is an engine that bounds its publishing itself, as its abilities say.
type endless struct{ broker.Broker }

func (endless) Abilities() broker.Abilities { return broker.Abilities{History: true, Bounded: true} }

func (b endless) Publish(ctx context.Context, ch string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	if _, ok := ctx.Deadline(); ok {
		return broker.Result{}, errors.New("no deadline expected")
	}
	return b.Broker.Publish(ctx, ch, p, opt)
}

func TestAnEngineThatBoundsItsPublishingGetsNoDeadline(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Broker = endless{o.Broker} })
	r.expect("publish", `{"channel":"news","data":1}`, `{"result":{}}`)
}

func TestEngineErrorIs100AndGivesTheCreditBack(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Broker = &slowBroker{Broker: o.Broker, err: errors.New("redis: gone")} })
	r.refused("publish", `{"channel":"news","data":1}`, codec.ErrInternal, publishRefused)
	require.Zero(t, r.credit.outstanding())
	require.Contains(t, r.log.String(), "redis: gone")
}

func TestBroadcastAnswersForEachChannelInOrder(t *testing.T) {
	r := newRig(t, nil)
	e := r.epoch("hh:a")
	got := r.expect("broadcast", `{"channels":["news","hh:a","no:x","","map:a","news"],"data":{"n":1}}`,
		`{"result":{"responses":[{"result":{}},{"result":{"offset":1,"epoch":"`+e+`"}},`+
			`{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":107,"message":"bad request"}},`+
			`{"error":{"code":107,"message":"bad request"}},{"result":{}}]}}`)
	require.Equal(t, "channels.2: channel: a configured namespace expected", got.head.Get(detailHeader))
	require.Len(t, r.sink.take(), 3)
	require.Zero(t, r.credit.outstanding())

	r.refused("broadcast", `{}`, codec.ErrBadRequest, "channels: ")
	r.refused("broadcast", `{"channels":[],"data":1}`, codec.ErrBadRequest, "channels: ")
	// Problems of the data are told for each channel.
	r.expect("broadcast", `{"channels":["news","bin:a"]}`,
		`{"result":{"responses":[{"error":{"code":107,"message":"bad request"}},{"result":{}}]}}`)
	r.expect("broadcast", `{"channels":["news","obj:a"],"data":1}`,
		`{"result":{"responses":[{"result":{}},{"error":{"code":107,"message":"bad request"}}]}}`)
	// But base64 that is none belongs to the request, as in the reference.
	r.refused("broadcast", `{"channels":["a","no:x","a"],"b64data":"%"}`, codec.ErrBadRequest, "b64data: standard base64 expected")
	r.expect("batch", `{"commands":[{"broadcast":{"channels":["a","a"],"b64data":"%"}}]}`, `{"replies":[{"error":{"code":107,"message":"bad request"}}]}`)
	require.Len(t, r.sink.take(), 2, "of those before")
	r.sink.take()
	r.expect("broadcast", `{"channels":["a","b","a"],"data":1,"idempotency_key":"k"}`, `{"result":{"responses":[{"result":{}},{"result":{}},{"result":{}}]}}`)
	require.Len(t, r.sink.take(), 2, "the key counts for each channel")
}

func TestLargeBroadcastIsConcurrentWithinItsBound(t *testing.T) {
	slow := &slowBroker{together: make(chan struct{})}
	r := newRig(t, func(o *Options) { slow.Broker, o.Broker = o.Broker, slow })
	names := make([]string, 500)
	want := make([]string, len(names))
	for i := range names {
		names[i] = fmt.Sprintf(`"c%d"`, i)
		want[i] = `{"result":{}}`
	}
	want[100] = `{"error":{"code":102,"message":"unknown channel"}}`
	names[100] = `"no:x"`
	r.expect("broadcast", `{"channels":[`+strings.Join(names, ",")+`],"data":1}`, `{"result":{"responses":[`+strings.Join(want, ",")+`]}}`)
	require.LessOrEqual(t, slow.most.Load(), int64(maxWorkers))
	require.GreaterOrEqual(t, slow.most.Load(), int64(2))
	require.Len(t, r.sink.take(), len(names)-1)
	require.Zero(t, r.credit.outstanding())
}

func TestPublicationsDoNotAliasTheBody(t *testing.T) {
	r := newRig(t, nil)
	// The connection is kept, so fasthttp reuses the memory of the body.
	for i := range 20 {
		r.post("publish", fmt.Sprintf(`{"channel":"chan%02d","data":"data%02d","tags":{"k":"tags%02d"},"idempotency_key":"%02d"}`, i, i, i, i))
	}
	for i, p := range r.sink.take() {
		require.Equal(t, fmt.Sprintf("chan%02d", i), p.channel)
		require.Equal(t, fmt.Sprintf(`"data%02d"`, i), p.pub.Data.String())
		require.Equal(t, fmt.Sprintf("tags%02d", i), p.pub.Tags[0].Value)
	}
}
