package sse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/channel"
	"sluice/gateway/testkit"
)

// seven publishes seven times and returns the top.
func (n *node) seven(t *testing.T, ch string) broker.Position {
	t.Helper()
	var top broker.Position
	for i := 1; i <= 7; i++ {
		top = n.publish(t, ch, fmt.Sprint(i)).Position
	}
	require.EqualValues(t, 7, top.Offset)
	return top
}

// result is the entry of a channel in a connect push, normalised.
func (n *node) result(t *testing.T, ch string, r testkit.SubscribeRequest) string {
	t.Helper()
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{ch: r}})
	defer c.Close()
	push := connectPush(t, c)
	_, rest, ok := strings.Cut(push, `"subs":{"`+ch+`":`)
	require.True(t, ok, push)
	entry, _, ok := strings.Cut(rest, `},"ping"`)
	require.True(t, ok, push)
	return entry
}

// pubs is how publications from..to stand in a SubscribeResult.
func pubs(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		if i > from {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"data":%d,"offset":%d`, i, i)
		if i == 1 {
			b.WriteString(`,"epoch":"<epoch>"`)
		}
		b.WriteByte('}')
	}
	return b.String()
}

func TestProtocol_6_2_AtConnect(t *testing.T) {
	n := newNode(t, kinds)
	f := func(name, ch string, r testkit.SubscribeRequest, want string) {
		t.Run(name, func(t *testing.T) { require.Equal(t, want, n.result(t, ch, r)) })
	}
	recover := testkit.SubscribeRequest{Recover: true}
	for _, ch := range []string{"plain:a", "hist:a", "pos:a", "rec:a"} {
		n.publish(t, ch, `1`)
		n.publish(t, ch, `2`)
	}
	f("plain", "plain:a", testkit.SubscribeRequest{}, `{}`)
	f("history_only", "hist:a", testkit.SubscribeRequest{}, `{}`)
	f("force_positioning", "pos:a", testkit.SubscribeRequest{}, `{"epoch":"<epoch>","offset":2,"positioned":true}`)
	f("force_recovery", "rec:a", testkit.SubscribeRequest{}, `{"recoverable":true,"epoch":"<epoch>","offset":2,"positioned":true}`)
	f("offset_without_recover_is_nothing", "rec:a", testkit.SubscribeRequest{Offset: 1, Epoch: "x"},
		`{"recoverable":true,"epoch":"<epoch>","offset":2,"positioned":true}`)
	f("new_stream", "rec:new", testkit.SubscribeRequest{}, `{"recoverable":true,"epoch":"<epoch>","positioned":true}`)
	f("recover_on_plain", "plain:a", recover, `{"was_recovering":true}`)
	f("recover_on_history_only", "hist:a", recover, `{"was_recovering":true}`)
	f("recover_on_positioned_only", "pos:a", recover, `{"epoch":"<epoch>","offset":2,"positioned":true,"was_recovering":true}`)
}

// yes is the result of a recovery, no of one that failed at offset 7.
func yes(publications string, offset int) string {
	s := `{"recoverable":true,"epoch":"<epoch>",`
	if publications != "" {
		s += `"publications":[` + publications + `],`
	}
	s += `"recovered":true,`
	if offset != 0 {
		s += fmt.Sprintf(`"offset":%d,`, offset)
	}
	return s + `"positioned":true,"was_recovering":true}`
}

const no = `{"recoverable":true,"epoch":"<epoch>","offset":7,"positioned":true,"was_recovering":true}`

func TestProtocol_6_3_StreamRecovery(t *testing.T) {
	n := newNode(t, kinds)
	top := n.seven(t, "rec:a")
	f := func(name, ch string, offset uint64, epoch, want string) {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, want, n.result(t, ch, testkit.SubscribeRequest{Recover: true, Offset: offset, Epoch: epoch}))
		})
	}
	f("offset_5_right_epoch", "rec:a", 5, top.Epoch, yes(pubs(6, 7), 5))
	f("offset_7", "rec:a", 7, top.Epoch, yes("", 7))
	f("offset_2_the_edge", "rec:a", 2, top.Epoch, yes(pubs(3, 7), 2))
	f("offset_1", "rec:a", 1, top.Epoch, no)
	f("offset_5_bad_epoch", "rec:a", 5, "bad", no)
	f("offset_7_bad_epoch", "rec:a", 7, "bad", no)
	f("offset_5_no_epoch", "rec:a", 5, "", yes(pubs(6, 7), 5))
	f("nothing_given", "rec:a", 0, "", no)
	f("nothing_given_on_a_new_channel", "rec:new", 0, "", yes("", 0))
	f("offset_99", "rec:a", 99, top.Epoch, no)
	f("largest_offset", "rec:a", 1<<64-1, top.Epoch, no)
	f("right_offset_on_a_new_channel_with_epoch", "rec:new2", 0, "bad",
		`{"recoverable":true,"epoch":"<epoch>","positioned":true,"was_recovering":true}`)
}

func TestProtocol_6_3_AroundARecovery(t *testing.T) {
	n := newNode(t, kinds)
	top := n.seven(t, "rec:a")
	t.Run("every_field_of_a_recovered_publication", func(t *testing.T) {
		n.publishWith(t, "rec:f", `{"a":1}`, func(p *codec.Publication, _ *brokerOptions) {
			p.Tags, p.Version = []codec.Tag{{Key: "t", Value: "0"}}, 9
			p.Info = &codec.ClientInfo{User: "u", Client: "c"}
		})
		require.Equal(t, `{"recoverable":true,"epoch":"<epoch>","publications":[{"data":{"a":1},"info":{"user":"u","client":"c"},`+
			`"offset":1,"tags":{"t":"0"},"epoch":"<epoch>","version":9}],"recovered":true,"positioned":true,"was_recovering":true}`,
			n.result(t, "rec:f", testkit.SubscribeRequest{Recover: true}))
	})
	t.Run("live_delivery_goes_on_behind_it", func(t *testing.T) {
		c, _ := n.subscribe(t, recovering("rec:a", 6, top.Epoch))
		n.publish(t, "rec:a", `8`)
		c.Expect(t, `{"channel":"rec:a","pub":{"data":8,"offset":8}}`)
		d, _ := n.subscribe(t, recovering("rec:a", 1, top.Epoch)) // not recovered
		n.publish(t, "rec:a", `9`)
		d.Expect(t, `{"channel":"rec:a","pub":{"data":9,"offset":9}}`)
	})
	t.Run("publications_without_history_do_not_count", func(t *testing.T) {
		at := n.publish(t, "rec:s", `1`)
		n.publishWith(t, "rec:s", `"live only"`, withoutHistory)
		n.publish(t, "rec:s", `2`)
		require.Equal(t, yes(pubs(2, 2), 1), n.result(t, "rec:s", testkit.SubscribeRequest{Recover: true, Offset: 1, Epoch: at.Epoch}))
	})
	t.Run("history_remove", func(t *testing.T) {
		at := n.publish(t, "rec:r", `1`)
		n.publish(t, "rec:r", `2`)
		live, _ := n.subscribe(t, subs("rec:r"))
		require.NoError(t, n.broker.RemoveHistory(t.Context(), "rec:r"))
		require.Equal(t, `{"recoverable":true,"epoch":"<epoch>","offset":2,"positioned":true,"was_recovering":true}`,
			n.result(t, "rec:r", testkit.SubscribeRequest{Recover: true, Offset: 1, Epoch: at.Epoch}))
		require.Equal(t, yes("", 2), n.result(t, "rec:r", testkit.SubscribeRequest{Recover: true, Offset: 2, Epoch: at.Epoch}))
		n.publish(t, "rec:r", `3`)
		live.Expect(t, `{"channel":"rec:r","pub":{"data":3,"offset":3}}`)
	})
	t.Run("recovery_max_publication_limit", func(t *testing.T) {
		for limit, want := range map[int]bool{2: false, 3: true, 0: true, -1: true} {
			n := newNode(t, func(s *settings) { kinds(s); s.session.RecoveryLimit = limit })
			top := n.seven(t, "rec:a")
			got := n.result(t, "rec:a", testkit.SubscribeRequest{Recover: true, Offset: 4, Epoch: top.Epoch})
			if want {
				require.Equal(t, yes(pubs(5, 7), 4), got)
			} else {
				require.Equal(t, no, got)
			}
		}
	})
}

// short keeps publications and positions for little time.
func short(list, meta time.Duration) func(*settings) {
	return func(s *settings) {
		s.channels.Namespaces = []channel.Namespace{open("rec", channel.Options{
			HistorySize: 5, HistoryTTL: list, HistoryMetaTTL: meta, ForceRecovery: true,
		})}
		s.session.RecoveryLimit = 300
	}
}

func TestProtocol_6_3_ListExpiry(t *testing.T) {
	n := newNode(t, short(time.Second, time.Hour))
	top := n.seven(t, "rec:a")
	testkit.Eventually(t, func() bool {
		list, _, err := broker.Read(t.Context(), n.broker, broker.HistoryQuery{Channel: "rec:a", Limit: -1})
		return err == nil && len(list) == 0
	}, "the publications to expire")
	require.Equal(t, `{"recoverable":true,"epoch":"<epoch>","offset":7,"positioned":true,"was_recovering":true}`,
		n.result(t, "rec:a", testkit.SubscribeRequest{Recover: true, Offset: 5, Epoch: top.Epoch}))
	require.Equal(t, `{"recoverable":true,"epoch":"<epoch>","recovered":true,"offset":7,"positioned":true,"was_recovering":true}`,
		n.result(t, "rec:a", testkit.SubscribeRequest{Recover: true, Offset: 7, Epoch: top.Epoch}))
}

func TestProtocol_6_3_MetaExpiry(t *testing.T) {
	n := newNode(t, short(time.Hour, time.Hour))
	// A second for this one alone: what comes behind it shall last.
	top := n.publishWith(t, "rec:a", `1`, func(_ *codec.Publication, o *brokerOptions) {
		o.History.TTL, o.History.MetaTTL = time.Second, time.Second
	})
	// Only the time is looked at: to look at the channel would prolong it.
	over := time.Now().Add(1100 * time.Millisecond)
	testkit.Eventually(t, func() bool { return time.Now().After(over) }, "history_meta_ttl to pass")
	c, res := n.subscribe(t, recovering("rec:a", top.Offset, top.Epoch))
	sub := res.Subs["rec:a"]
	require.False(t, sub.Recovered)
	require.True(t, sub.WasRecovering)
	require.Zero(t, sub.Offset)
	require.NotEqual(t, top.Epoch, sub.Epoch)
	n.publish(t, "rec:a", `1`)
	require.Equal(t, sub.Epoch, c.ExpectPub(t, "rec:a").Epoch)
}

func TestProtocol_6_4_CacheRecovery(t *testing.T) {
	n := newNode(t, kinds)
	top := n.seven(t, "cache:a")
	n.seven(t, "auto:a")
	n.seven(t, "cache:gone")
	n.seven(t, "auto:gone")
	gone, err := topOf(t, n, "cache:gone")
	require.NoError(t, err)
	require.NoError(t, n.broker.RemoveHistory(t.Context(), "cache:gone"))
	require.NoError(t, n.broker.RemoveHistory(t.Context(), "auto:gone"))
	empty, err := topOf(t, n, "cache:empty")
	require.NoError(t, err)
	const begin, end = `{"recoverable":true,"epoch":"<epoch>",`, `"positioned":true,"was_recovering":true}`
	latest := `"publications":[` + pubs(7, 7) + `],"recovered":true,`
	f := func(name, ch string, r testkit.SubscribeRequest, want string) {
		t.Run(name, func(t *testing.T) { require.Equal(t, want, n.result(t, ch, r)) })
	}
	at := func(offset uint64, epoch string) testkit.SubscribeRequest {
		return testkit.SubscribeRequest{Recover: true, Offset: offset, Epoch: epoch}
	}
	f("any_position", "cache:a", at(5, top.Epoch), begin+latest+`"offset":5,`+end)
	f("no_position", "cache:a", at(0, ""), begin+latest+end)
	f("epoch_mismatch_does_not_matter", "cache:a", at(5, "bad"), begin+latest+`"offset":5,`+end)
	f("beyond_the_top", "cache:a", at(99, top.Epoch), begin+latest+`"offset":99,`+end)
	f("at_the_top", "cache:a", at(7, top.Epoch), begin+`"recovered":true,"offset":7,`+end)
	f("at_the_top_of_another_epoch", "cache:a", at(7, "bad"), begin+latest+`"offset":7,`+end)
	f("at_the_top_without_epoch", "cache:a", at(7, ""), begin+latest+`"offset":7,`+end)
	f("without_recover", "cache:a", testkit.SubscribeRequest{}, begin+`"offset":7,"positioned":true}`)
	f("none_retained", "cache:gone", at(5, gone.Epoch), begin+`"offset":7,`+end)
	f("none_retained_at_the_top", "cache:gone", at(7, gone.Epoch), begin+`"recovered":true,"offset":7,`+end)
	f("none_ever_published", "cache:empty", at(0, ""), begin+end)
	f("none_ever_published_at_the_top", "cache:empty", at(0, empty.Epoch), begin+`"recovered":true,`+end)
	f("auto_without_recover", "auto:a", testkit.SubscribeRequest{}, begin+latest+end)
	f("auto_with_recover", "auto:a", at(5, ""), begin+latest+`"offset":5,`+end)
	f("auto_none_retained", "auto:gone", testkit.SubscribeRequest{}, begin+`"offset":7,`+end)
	f("auto_none_ever_published", "auto:new", testkit.SubscribeRequest{}, begin+end)
	t.Run("live_delivery_goes_on_behind_it", func(t *testing.T) {
		c, _ := n.subscribe(t, subs("auto:a"))
		n.publish(t, "auto:a", `8`)
		c.Expect(t, `{"channel":"auto:a","pub":{"data":8,"offset":8}}`)
	})
}

func topOf(t *testing.T, n *node, ch string) (broker.Position, error) {
	t.Helper()
	_, top, err := broker.Read(t.Context(), n.broker, broker.HistoryQuery{Channel: ch})
	return top, err
}
