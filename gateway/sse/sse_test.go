package sse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The first stream of a loop may have no channel at all.
func TestAStreamWithoutChannelsOpens(t *testing.T) {
	for _, cursors := range []bool{false, true} {
		n := newNode(t, func(s *settings) {
			s.loops = 1
			s.session.Cursors, s.hub.Cursors, s.sse.LastEventID = cursors, cursors, cursors
		})
		_, res := n.subscribe(t, nil)
		require.Empty(t, res.Subs)
	}
}

func TestSubscriberGetsWhatIsPublished(t *testing.T) {
	n := newNode(t, nil)
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"news": {}}})
	res := c.ExpectConnect(t)
	require.Contains(t, res.Subs, "news")
	n.publish(t, "news", `{"a": 1}`)
	c.Expect(t, `{"channel":"news","pub":{"data":{"a":1}}}`)
}
