package api

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/remotetest"
	"sluice/gateway/presence"
)

// brokenPresence cannot be read.
type brokenPresence struct{ presence.Manager }

func (brokenPresence) Presence(_ context.Context, _ string) ([]*codec.ClientInfo, error) {
	return nil, errors.New("redis: gone")
}

// What became of a call that an engine did not answer is said: error 100 is temporary, and
// the detail says whether something was done.
func TestOutcomesOfAnEngineOutsideTheProcess(t *testing.T) {
	server := remotetest.New(t)
	node := server.Node()
	r := newRig(t, func(o *Options) { o.Broker, o.Presence = node, brokenPresence{o.Presence} })
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
