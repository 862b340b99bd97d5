package sse_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	fdelta "github.com/shadowspore/fossil-delta"
	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// deltaClient applies deltas as a client does.
type deltaClient struct {
	base []byte
	seen []string
}

func (d *deltaClient) take(t *testing.T, p testkit.Publication) (delta bool) {
	t.Helper()
	var text string
	require.NoError(t, json.Unmarshal(p.Data, &text), "data of a delta subscriber is a string: %s", p.Data)
	if p.Delta {
		whole, err := fdelta.Apply(d.base, []byte(text))
		require.NoError(t, err)
		text = string(whole)
	}
	d.base = []byte(text)
	d.seen = append(d.seen, text)
	require.Empty(t, p.Epoch, "epoch and version are dropped")
	require.Zero(t, p.Version)
	return p.Delta
}

// long is a payload of which only the number changes.
func long(i int) string {
	return fmt.Sprintf(`{"long":"%s","n":%d}`, strings.Repeat("abcdefgh", 20), i)
}

func TestProtocol_2_2_DeltaSubscription(t *testing.T) {
	n := newNode(t, kinds)
	var d deltaClient
	var sent []string
	c, res := n.subscribe(t, map[string]testkit.SubscribeRequest{"delta:a": {Delta: "fossil"}})
	require.True(t, res.Subs["delta:a"].Delta)
	plain, _ := n.subscribe(t, subs("delta:a"))
	f := func(name, data string, change func(*codec.Publication, *brokerOptions), delta bool) {
		t.Run(name, func(t *testing.T) {
			n.publishWith(t, "delta:a", data, change)
			sent = append(sent, data)
			require.Equal(t, delta, d.take(t, c.ExpectPub(t, "delta:a")))
			require.Equal(t, sent, d.seen)
			require.JSONEq(t, data, string(plain.ExpectPub(t, "delta:a").Data), "others get the payload itself")
		})
	}
	f("the_first_is_whole", long(1), withDelta, false)
	f("then_deltas", long(2), withDelta, true)
	f("without_the_option_whole", long(3), nil, false)
	f("against_a_publication_without_the_option", long(4), withDelta, true)
	f("skip_history_in_between_is_whole", long(50), withoutHistory, false)
	f("after_skip_history_whole", long(5), withDelta, false)
	f("then_deltas_again", long(6), withDelta, true)
	f("no_shorter_delta_is_whole", `1`, withDelta, false)
	f("version_is_dropped", long(7), func(p *codec.Publication, _ *brokerOptions) { p.Version = 9 }, false)
	f("text_of_other_alphabets", `"`+strings.Repeat("é<", 40)+`x"`, withDelta, false)
	f("text_of_other_alphabets_again", `"`+strings.Repeat("é<", 40)+`y"`, withDelta, true)
	require.NoError(t, n.broker.RemoveHistory(t.Context(), "delta:a"))
	f("without_an_entry_before_it_whole", long(8), withDelta, false)
}

func TestProtocol_2_2_BaseOfDeltas(t *testing.T) {
	n := newNode(t, kinds)
	var d deltaClient
	c, _ := n.subscribe(t, map[string]testkit.SubscribeRequest{"delta:a": {Delta: "fossil"}})
	n.publishWith(t, "delta:a", long(8), withDelta)
	require.False(t, d.take(t, c.ExpectPub(t, "delta:a")))
	t.Run("a_later_subscriber_first_gets_a_whole_one", func(t *testing.T) {
		var late deltaClient
		lc, _ := n.subscribe(t, map[string]testkit.SubscribeRequest{"delta:a": {Delta: "fossil"}})
		n.publishWith(t, "delta:a", long(9), withDelta)
		require.True(t, d.take(t, c.ExpectPub(t, "delta:a")))
		require.False(t, late.take(t, lc.ExpectPub(t, "delta:a")))
		n.publishWith(t, "delta:a", long(10), withDelta)
		require.True(t, d.take(t, c.ExpectPub(t, "delta:a")))
		require.True(t, late.take(t, lc.ExpectPub(t, "delta:a")))
		require.Equal(t, long(10), string(late.base))
	})
	t.Run("recovered_publications_are_the_base", func(t *testing.T) {
		var back deltaClient
		top := n.publish(t, "delta:a", long(100))
		d.take(t, c.ExpectPub(t, "delta:a"))
		bc, res := n.subscribe(t, map[string]testkit.SubscribeRequest{
			"delta:a": {Delta: "fossil", Recover: true, Offset: top.Offset - 3, Epoch: top.Epoch},
		})
		sub := res.Subs["delta:a"]
		require.True(t, sub.Recovered)
		for i, p := range sub.Publications {
			require.Equal(t, i > 0, back.take(t, p), "the first is whole, the others are deltas")
		}
		require.Len(t, back.seen, 3)
		require.Equal(t, long(100), string(back.base))
		n.publishWith(t, "delta:a", long(11), withDelta)
		require.True(t, back.take(t, bc.ExpectPub(t, "delta:a")))
		require.Equal(t, long(11), string(back.base))
		d.take(t, c.ExpectPub(t, "delta:a"))
	})
	t.Run("resubscribed_by_the_API_it_stays_a_delta_subscription", func(t *testing.T) {
		top := n.publish(t, "delta:a", long(12))
		d.take(t, c.ExpectPub(t, "delta:a"))
		require.NoError(t, n.sessions.Subscribe(t.Context(), session.Target{}, session.SubscribeCommand{
			Channel: "delta:a", Since: &broker.Position{Offset: top.Offset - 1, Epoch: top.Epoch},
		}))
		require.Equal(t, "subscribe", c.Next(t).Kind)
		d.base = nil
		d.take(t, c.ExpectPub(t, "delta:a"))
		require.Equal(t, long(12), string(d.base), "what is sent after the subscribe push is in the negotiated form")
		n.publishWith(t, "delta:a", long(13), withDelta)
		d.take(t, c.ExpectPub(t, "delta:a"))
		require.Equal(t, long(13), string(d.base))
	})
}

func TestProtocol_2_2_DeltaSubscriptionWithoutHistory(t *testing.T) {
	n := newNode(t, kinds)
	c, _ := n.subscribe(t, map[string]testkit.SubscribeRequest{"loosedelta:a": {Delta: "fossil"}})
	for i := range 3 {
		n.publishWith(t, "loosedelta:a", long(i), withDelta)
		var d deltaClient
		require.False(t, d.take(t, c.ExpectPub(t, "loosedelta:a")))
		require.Equal(t, long(i), d.seen[0])
	}
}
