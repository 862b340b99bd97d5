package sse_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// PROTOCOL 12.17: an empty channel means all channels of the target, and each is
// told by name.
func TestUnsubscribeOfAllChannels(t *testing.T) {
	n := newNode(t, kinds)
	c, _ := n.subscribe(t, subs("plain:a", "rec:b", "plain:c"))
	other := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "42", map[string]any{"channels": []string{"plain:a"}})})
	other.ExpectConnect(t)
	require.NoError(t, n.sessions.Unsubscribe(t.Context(), session.Target{}, ""))
	var told []string
	for range 3 {
		told = append(told, c.NextKind(t, "unsubscribe").Channel)
	}
	require.ElementsMatch(t, []string{"plain:a", "rec:b", "plain:c"}, told)
	n.publish(t, "plain:a", `1`)
	other.Expect(t, `{"channel":"plain:a","pub":{"data":1}}`)
	require.NoError(t, n.sessions.Unsubscribe(t.Context(), session.Target{}, "plain:a"), "nobody of this user is left in it")
}
