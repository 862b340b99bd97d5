package sse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestSubscriberGetsWhatIsPublished(t *testing.T) {
	n := newNode(t, nil)
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"news": {}}})
	res := c.ExpectConnect(t)
	require.Contains(t, res.Subs, "news")
	n.publish(t, "news", `{"a": 1}`)
	c.Expect(t, `{"channel":"news","pub":{"data":{"a":1}}}`)
}
