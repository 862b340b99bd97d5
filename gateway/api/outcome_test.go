package api

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/advice"
	"sluice/gateway/broker"
	"sluice/gateway/broker/remotetest"
	"sluice/gateway/presence"
)

// brokenPresence cannot be read.
type brokenPresence struct {
	presence.Manager
	err error
}

func (p *brokenPresence) Presence(context.Context, string) ([]*codec.ClientInfo, error) {
	return nil, p.err
}

// What became of a call that an engine did not answer is said: error 100 is temporary, and
// the detail says whether something was done.
func TestOutcomesOfAnEngineOutsideTheProcess(t *testing.T) {
	server := remotetest.New(t)
	node := server.Node()
	away := fmt.Errorf("redis: gone: %w", presence.ErrUnavailable)
	r := newRig(t, func(o *Options) { o.Broker, o.Presence = node, &brokenPresence{o.Presence, away} })
	require.NoError(t, node.Start(r.sink))
	fault := remotetest.Works
	node.SetFaults(func(remotetest.Call) remotetest.Fault { return fault })
	const plain, keyed = `{"channel":"hh:a","data":1}`, `{"channel":"hh:a","data":1,"idempotency_key":"k"}`
	for _, c := range []struct {
		fault                     remotetest.Fault
		plain, keyed, otherDetail string
	}{
		{remotetest.Away, publishAway, publishAway, engineAway},
		{remotetest.Undone, publishKey, publishAgain, engineUnknown},
		{remotetest.Unanswered, publishKey, publishAgain, engineUnknown},
	} {
		fault = c.fault
		r.refused("publish", plain, codec.ErrInternal, c.plain)
		r.refused("publish", keyed, codec.ErrInternal, c.keyed)
		r.refused("history", `{"channel":"hh:a","limit":1}`, codec.ErrInternal, c.otherDetail)
		r.refused("history_remove", `{"channel":"hh:a"}`, codec.ErrInternal, c.otherDetail)
		got := r.expect("broadcast", `{"channels":["hh:a"],"data":1}`, `{"result":{"responses":[{"error":{"code":100,"message":"internal server error"}}]}}`)
		require.Equal(t, "channels.0: "+c.plain, got.head.Get(detailHeader))
		require.LessOrEqual(t, len("commands.50000: channels.100000: "+c.keyed), maxDetail)
	}
	require.Zero(t, r.credit.outstanding())
	fault = remotetest.Works
	top := func() broker.Position {
		h := server.Histories(t.Context(), []broker.HistoryQuery{{Channel: "hh:a"}})[0]
		require.NoError(t, h.Err)
		return h.Top
	}
	before := top()
	require.NotZero(t, before.Offset, "those that were not answered were published")
	r.post("publish", keyed)
	require.Equal(t, before, top(), "the repeat publishes nothing")
	r.post("publish", plain)
	require.Equal(t, before.Offset+1, top().Offset)
	require.Zero(t, r.credit.outstanding(), "the engine takes none with it")
	r.refused("presence", `{"channel":"hh:a"}`, codec.ErrInternal, "presence cannot be read")
}

// refusing is an engine, and presence, that refuses for good.
type refusing struct {
	broker.Broker
	err error
}

func (b *refusing) Histories(_ context.Context, queries []broker.HistoryQuery) []broker.History {
	all := make([]broker.History, len(queries))
	for i := range all {
		all[i].Err = b.err
	}
	return all
}

func (b *refusing) RemoveHistory(context.Context, string) error { return b.err }

func (b *refusing) Publish(context.Context, string, *codec.Publication, broker.PublishOptions) (broker.Result, error) {
	return broker.Result{}, b.err
}

// What an engine refuses for good is told so by every call, and is no invitation to call
// again; the log has the cause and what can be done about it.
func TestWhatAnEngineRefusesIsToldByEveryCall(t *testing.T) {
	err := errors.New("redis: NOPERM")
	r := newRig(t, func(o *Options) {
		o.Broker, o.Presence = &refusing{o.Broker, err}, &brokenPresence{o.Presence, err}
	})
	r.refused("publish", `{"channel":"hh:a","data":1}`, codec.ErrInternal, publishRefused)
	for _, method := range []string{"history", "history_remove", "presence"} {
		r.refused(method, `{"channel":"hh:a","limit":1}`, codec.ErrInternal, engineRefused)
	}
	require.Contains(t, r.log.String(), "redis: NOPERM")
	require.Contains(t, r.log.String(), advice.Away)
}
