package hub

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

func TestAPanickingLaneGoesOn(t *testing.T) {
	r := newRig(t, 2, Options{})
	p := r.stream(0)
	p.subscribe("a", 0)
	credit, err := r.hub.AcquireCredit(t.Context(), 10)
	require.NoError(t, err)
	r.hub.Publication("a", nil, nil, credit) // a bug: encoding it panics
	r.hub.Join("a", nil, nil)
	r.publish("a", at(0))
	p.expect(event1("a", 0))
	require.EqualValues(t, 2, r.hub.Stats().LanePanics)
	require.Zero(t, r.hub.Stats().CreditUsed)
}

func TestAPanickingDeliveryEndsOneStreamOnly(t *testing.T) {
	r := newRig(t, 1, Options{})
	var members []*peer
	for range 5 {
		m := r.stream(0)
		m.subscribe("a", 0)
		members = append(members, m)
	}
	bad := members[2]
	// Its position makes the next publication a gap, and its owner panics.
	bad.do(func(s *Shard) {
		s.Activate(bad.ref, []Start{{Channel: "a", Offset: 5, Epoch: EpochTag("e"), Features: Positioned}})
	})
	r.explode = "a"
	r.publish("a", at(9))
	for i, m := range members {
		if i != 2 {
			m.expect(event1("a", 9))
		}
	}
	bad.do(func(s *Shard) { require.False(t, bad.l.Live(bad.ref)) })
	require.EqualValues(t, 1, r.group.Stats().Closes[loop.ReasonPanic])
	require.Zero(t, r.hub.Stats().CreditUsed)
	r.publish("a", at(10))
	members[0].expect(event1("a", 9), event1("a", 10))
}

func TestAHoldIsOpenedInOrderBehindItsPosition(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.hold("pos", Positioned)
	p.hold("plain", 0)
	p.hold("later", Positioned)
	for i := uint64(1); i <= 4; i++ {
		r.publish("pos", at(i))
		r.publish("plain", at(0))
		r.publish("later", at(i))
	}
	r.drain()
	require.Empty(t, p.read(), "nothing before the opening")
	e := EpochTag("e")
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "pos", Offset: 2, Epoch: e, Features: Positioned}, {Channel: "plain"}})
	})
	first := []string{
		event1("plain", 0), event1("plain", 0),
		event1("pos", 3), event1("plain", 0), event1("pos", 4), event1("plain", 0),
	}
	// Lanes differ by channel, so only the order within a channel is certain.
	within := func(events []string, ch string) (got []string) {
		for _, ev := range events {
			if strings.Contains(ev, `"`+ch+`"`) {
				got = append(got, ev)
			}
		}
		return got
	}
	testkit.EventuallyWithin(t, patience, func() bool { return strings.Count(p.read(), "\n\n") == len(first) }, "what was held")
	got := strings.Split(strings.ReplaceAll(p.read(), "data: ", ""), "\n\n")
	for _, ch := range []string{"pos", "plain"} {
		require.Equal(t, within(first, ch), within(got, ch))
	}
	require.Empty(t, within(got, "later"), "still held")
	p.got.Reset()
	r.publish("later", at(5))
	r.drain()
	require.Empty(t, p.read())
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: "later", Offset: 3, Epoch: e, Features: Positioned}})
	})
	p.expect(event1("later", 4), event1("later", 5))
	r.publish("later", at(6))
	p.expect(event1("later", 4), event1("later", 5), event1("later", 6))
}

func TestAHoldThatOverflowsIsInsufficientState(t *testing.T) {
	r := newRig(t, 1, Options{HoldMaxSize: 1000})
	p := r.stream(0)
	p.hold("a", Positioned)
	other := r.stream(0)
	other.subscribe("a", 0)
	for i := uint64(1); i <= 20; i++ {
		r.publish("a", at(i))
	}
	r.drain()
	p.expect(`{"disconnect":{"code":3010,"reason":"insufficient state"}}`)
	require.Equal(t, 20, strings.Count(other.read(), "\n\n"))
	require.Equal(t, []string{"a"}, r.insufficient)
}

// What was held for a subscription has the limit of holds, not that of the stream's queue:
// it came while we were at it, not because the client does not read.
func TestAHoldMayBeMoreThanAQueue(t *testing.T) {
	r := newRig(t, 1, Options{HoldMaxSize: 16 << 20})
	p := r.stream(0)
	p.hold("a", 0)
	p.subscribe("b", 0)
	const events = 400
	large := &codec.Publication{Data: codec.QuoteJSON(strings.Repeat("x", 8<<10))}
	for range events {
		r.publish("a", large)
	}
	r.drain()
	p.do(func(s *Shard) { s.Activate(p.ref, []Start{{Channel: "a"}}) })
	r.publish("b", at(0))
	p.do(func(s *Shard) { require.True(t, p.l.Live(p.ref)) })
	for deadline := time.Now().Add(patience); strings.Count(p.read(), "\n\n") < events+1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	require.Equal(t, events, strings.Count(p.read(), `{"channel":"a"`))
	require.Zero(t, r.group.Stats().Dropped)
}

func TestUnsubscribingTheLastHeldSubscriptionForgetsTheHold(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.hold("a", 0)
	p.hold("b", 0)
	r.publish("a", at(0))
	r.drain()
	p.do(func(s *Shard) {
		require.True(t, s.Unsubscribe(p.ref.Slot, "a"))
		require.NotZero(t, s.holds.Len())
		require.True(t, s.Unsubscribe(p.ref.Slot, "b"))
		require.Zero(t, s.holds.Len())
		require.False(t, s.Unsubscribe(p.ref.Slot, "b"))
	})
	p.subscribe("c", 0)
	r.publish("c", at(0))
	p.expect(event1("c", 0))
}

func TestAFrameOlderThanTheInterestInDeltasIsNotSentInAnotherForm(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("a", Delta)
	// What a lane made when nobody wanted deltas yet.
	plain := codec.PubFrame("a", &codec.Publication{Data: codec.QuoteJSON("x")}, "")
	p.do(func(s *Shard) { s.deliver(&delivery{hub: r.hub, channel: "a", frame: plain}) })
	r.publish("a", at(0))
	p.expect(`{"channel":"a","pub":{"data":"\"p0\""}}`)
}

// Random subscriptions and ends on many streams, compared with a map.
func TestShardTablesAgreeWithAModel(t *testing.T) {
	r := newRig(t, 1, Options{})
	rnd := rand.New(rand.NewPCG(1, 2))
	channels := []string{"a", "b", "c", "d", "e"}
	var peers []*peer
	for range 30 {
		peers = append(peers, r.stream(0))
	}
	model := make(map[*peer]map[string]bool)
	alive := func(p *peer) (ok bool) {
		p.do(func(*Shard) { ok = p.l.Live(p.ref) })
		return ok
	}
	for range 2000 {
		i := rnd.IntN(len(peers))
		p, ch := peers[i], channels[rnd.IntN(len(channels))]
		if model[p] == nil {
			model[p] = make(map[string]bool)
		}
		switch k := rnd.IntN(100); {
		case k < 60 && !model[p][ch]:
			p.subscribe(ch, 0)
			model[p][ch] = true
		case k < 97:
			p.do(func(s *Shard) { require.Equal(t, model[p][ch], s.Unsubscribe(p.ref.Slot, ch)) })
			delete(model[p], ch)
		default:
			require.True(t, alive(p))
			p.do(func(*Shard) { p.l.Cut(p.ref, loop.ReasonDisconnect) })
			delete(model, p)
			peers[i] = r.stream(0)
		}
		p.do(func(s *Shard) { s.Verify() })
	}
	want := make(map[string]int)
	for _, subs := range model {
		for ch := range subs {
			want[ch]++
		}
	}
	got := make(map[string]int)
	r.hub.Channels(func(ch string, n int) bool { got[ch] = n; return true })
	require.Equal(t, want, got)
	for _, ch := range channels {
		r.publish(ch, at(0))
	}
	r.drain()
	for _, p := range peers {
		require.Equal(t, len(model[p]), strings.Count(p.read(), "\n\n"))
	}
}
