package hub

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
)

// goSubmitter runs turns on goroutines of the bubble that posts them, and counts
// them.
type goSubmitter struct{ turns atomic.Int64 }

func (s *goSubmitter) Submit(run func()) {
	s.turns.Add(1)
	go run()
}

// paceRig is a hub in a synctest bubble: no socket, one lane, and one subscriber
// that holds, so that what is delivered is kept where the test can see it.
type paceRig struct {
	t   *testing.T
	hub *Hub
	*goSubmitter
}

func newPaceRig(t *testing.T, opt Options) *paceRig {
	t.Helper()
	opt.Lanes, opt.HoldMaxSize = 1, 1<<30
	pool := new(goSubmitter)
	group, err := loop.NewGroup(1, pool, loop.Options{})
	require.NoError(t, err)
	r := &paceRig{t, New(group, instantEngine{}, pool, pool, opt), pool}
	require.NoError(t, r.hub.Acquire(context.Background(), "ch", 0, Form{}))
	group.Do(func(*loop.Loop) { r.hub.shards[0].Hold(0, "ch", 0) })
	t.Cleanup(func() {
		group.Do(func(*loop.Loop) { r.hub.shards[0].Drop(0) })
		group.Stop()
		require.Zero(t, r.hub.Stats().CreditUsed, "credit after the last publication")
		require.Zero(t, r.hub.Stats().LanePanics)
	})
	return r
}

// rate is a policy of that rate and key.
func rate(every time.Duration, key string) func(string) Policy {
	return func(string) Policy { return Policy{MaxRate: every, ConflateKey: key} }
}

func (r *paceRig) publish(p *codec.Publication) {
	r.t.Helper()
	credit, err := r.hub.AcquireCredit(context.Background(), p.Data.Len())
	require.NoError(r.t, err)
	r.hub.Publication("ch", p, nil, credit)
}

// number publishes {"k":"<key>","n":n}.
func (r *paceRig) number(key string, n int) {
	r.t.Helper()
	r.publish(jsonPub(r.t, fmt.Sprintf(`{"k":%q,"n":%d}`, key, n)))
}

func jsonPub(t testing.TB, text string) *codec.Publication {
	t.Helper()
	data, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return &codec.Publication{Data: data}
}

// delivered returns the data of what has come since the last call.
func (r *paceRig) delivered() (data []string) {
	synctest.Wait()
	r.hub.group.Do(func(*loop.Loop) {
		h := r.hub.shards[0].holds.Value(0)
		for _, it := range h.items {
			text := string(it.d.frame.Lines(codec.FramingClose))
			text = strings.TrimPrefix(text, `data: {"channel":"ch","pub":{"data":`)
			data = append(data, strings.TrimSuffix(text, "}}\n"))
		}
		h.items = nil
	})
	synctest.Wait()
	return data
}

func (r *paceRig) expect(data ...string) {
	r.t.Helper()
	require.Equal(r.t, data, r.delivered())
}

func kn(key string, n int) string { return fmt.Sprintf(`{"k":%q,"n":%d}`, key, n) }

func TestMaxRateLetsTheFirstPassAndThenTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{Policy: rate(100*time.Millisecond, "")})
		r.number("a", 1)
		r.expect(kn("a", 1))
		time.Sleep(30 * time.Millisecond)
		r.number("a", 2)
		r.number("b", 3)
		r.expect()
		require.Zero(t, r.hub.Stats().CreditUsed, "what waits has given its credit back")
		time.Sleep(70*time.Millisecond - 1)
		r.expect()
		time.Sleep(time.Nanosecond)
		r.expect(kn("b", 3)) // the channel is one key
		time.Sleep(99 * time.Millisecond)
		r.number("a", 4)
		r.expect()
		time.Sleep(time.Millisecond)
		r.expect(kn("a", 4))
		require.EqualValues(t, 1, r.hub.Stats().Conflated)
		// A quiet interval later it is as new, and nothing is remembered.
		time.Sleep(200 * time.Millisecond)
		r.number("a", 5)
		r.expect(kn("a", 5))
	})
}

// Any traffic: of each key at most one per interval, never an old one behind a
// newer one, and the newest in the end.
func TestMaxRateIsPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 50 * time.Millisecond
		r := newPaceRig(t, Options{Policy: rate(every, "k")})
		keys := []string{"a", "b", "c"}
		came := make(map[string][]time.Time)
		newest := make(map[string]int)
		look := func() {
			for _, text := range r.delivered() {
				var key string
				var n int
				_, err := fmt.Sscanf(text, `{"k":"%1s","n":%d}`, &key, &n)
				require.NoError(t, err)
				require.Greater(t, n, newest[key])
				newest[key] = n
				if last := len(came[key]); last > 0 {
					require.GreaterOrEqual(t, time.Since(came[key][last-1]), every)
				}
				came[key] = append(came[key], time.Now())
			}
		}
		for n := range 2000 {
			r.number(keys[n%3], n+1)
			look()
			time.Sleep(500 * time.Microsecond)
			look()
		}
		time.Sleep(2 * every)
		look()
		require.Equal(t, map[string]int{"a": 1999, "b": 2000, "c": 1998}, newest)
		for _, key := range keys {
			require.InDelta(t, 21, len(came[key]), 1, "a second has 20 intervals")
		}
		require.EqualValues(t, 2000, r.hub.Stats().Conflated+uint64(len(came["a"])+len(came["b"])+len(came["c"])))
	})
}

// The key is a top-level member of the data or, without one, a tag; what has
// neither shares one key.
func TestTheKeyIsAFieldOrATag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{Policy: rate(time.Second, "k")})
		tagged := func(data, value string) *codec.Publication {
			p := jsonPub(t, data)
			p.Tags = []codec.Tag{{Key: "other", Value: "same"}, {Key: "k", Value: value}}
			return p
		}
		r.publish(tagged(`1`, "a"))
		r.publish(tagged(`2`, "b"))
		r.publish(tagged(`{"k":7}`, "a"))
		r.publish(jsonPub(t, `{"inner":{"k":7}}`))
		require.Len(t, r.delivered(), 4)
		r.publish(tagged(`3`, "a"))
		r.publish(tagged(`4`, "a"))
		r.publish(tagged(`{"k":7,"n":5}`, "b"))
		r.publish(jsonPub(t, `6`))
		r.publish(jsonPub(t, `"k"`))
		require.Empty(t, r.delivered())
		time.Sleep(time.Second)
		got := r.delivered()
		require.Len(t, got, 3)
		require.Contains(t, got[0]+got[1]+got[2], `4,"tags"`)
		require.Contains(t, got[0]+got[1]+got[2], `{"k":7,"n":5}`)
		require.Contains(t, got[0]+got[1]+got[2], `"k"`)
	})
}

// What waits has been acknowledged: the end of the process brings it out, and no
// timer is left that would keep the hub or run in it.
func TestDrainReleasesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{Policy: rate(time.Hour, "k")})
		for n := range 3 {
			r.number("a", n)
			r.number("b", n)
		}
		r.expect(kn("a", 0), kn("b", 0))
		require.NoError(t, r.hub.Arrived(t.Context()))
		r.expect()
		require.NoError(t, r.hub.Drain(t.Context()))
		require.ElementsMatch(t, []string{kn("a", 2), kn("b", 2)}, r.delivered())
		turns, began := r.turns.Load(), time.Now()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, turns, r.turns.Load(), "a timer is left")
		r.expect()
		r.number("a", 9)
		r.number("a", 10)
		r.expect(kn("a", 9))
		require.NoError(t, r.hub.Drain(t.Context()))
		r.expect(kn("a", 10))
		require.Equal(t, 2*time.Hour, time.Since(began))
	})
}

// What waits is bounded in bytes: the newest then passes at once and nothing
// older comes behind it.
func TestMaxRateHasABoundInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{Policy: rate(time.Minute, "k"), CreditBytes: 11_000})
		big := func(key string, n int) string {
			return fmt.Sprintf(`{"k":%q,"n":%d,"x":%q}`, key, n, strings.Repeat("x", 2500))
		}
		for _, key := range []string{"a", "b", "c", "d"} {
			r.publish(jsonPub(t, big(key, 1)))
			require.Len(t, r.delivered(), 1)
		}
		for _, key := range []string{"a", "b", "c"} {
			r.publish(jsonPub(t, big(key, 2)))
			require.Empty(t, r.delivered())
		}
		r.publish(jsonPub(t, big("d", 2))) // no room
		r.expect(big("d", 2))
		r.number("b", 3) // fits, in place of its elder
		r.expect()
		r.publish(jsonPub(t, big("d", 3))) // there is room now
		r.expect()
		r.publish(jsonPub(t, big("b", 4))) // none for a larger one: it goes, the elder never
		r.expect(big("b", 4))
		require.EqualValues(t, 2, r.hub.Stats().Unpaced)
		require.EqualValues(t, 2, r.hub.Stats().Conflated)
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{big("a", 2), big("c", 2), big("d", 3)}, r.delivered())
		time.Sleep(time.Minute)
		for _, key := range []string{"a", "b", "c", "d"} { // as much fits as at first
			r.number(key, 5)
		}
		require.Len(t, r.delivered(), 4)
		for _, key := range []string{"a", "b", "c"} {
			r.publish(jsonPub(t, big(key, 6)))
			r.expect()
		}
	})
}

// A panic over one publication keeps no other from being released.
func TestAPanicHoldsNothingBack(t *testing.T) {
	for _, drain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var bad atomic.Bool
			calls := 0 // of the lane's turn
			r := newPaceRig(t, Options{Policy: func(string) Policy {
				if calls++; bad.Load() && calls%2 == 0 {
					panic("the rules have a bug")
				}
				return Policy{MaxRate: time.Second, ConflateKey: "k"}
			}})
			for _, key := range []string{"a", "b", "c", "d"} {
				r.number(key, 1)
				r.number(key, 2)
			}
			require.Len(t, r.delivered(), 4)
			bad.Store(true)
			if drain {
				require.NoError(t, r.hub.Drain(t.Context()))
			} else {
				time.Sleep(time.Second)
			}
			require.Len(t, r.delivered(), 2)
			require.EqualValues(t, 2, r.hub.panics.Swap(0))
		})
	}
}

func TestBinaryDataIsInappropriateUnderAnyPolicy(t *testing.T) {
	r := newRig(t, 1, Options{Policy: func(ch string) Policy {
		return Policy{DropOldest: true, ConflateKey: "k", MaxRate: map[string]time.Duration{"paced": time.Millisecond}[ch]}
	}})
	for _, ch := range []string{"lossy", "paced"} {
		p := r.stream(0)
		p.subscribe(ch, 0)
		r.publish(ch, &codec.Publication{Binary: true, Tags: []codec.Tag{{Key: "k", Value: "v"}}})
		r.drain()
		p.do(func(s *Shard) { require.False(t, p.l.Live(p.ref), ch) })
	}
}

// fill publishes into a channel until no stream takes more for long.
func (r *rig) fill(channel string, n int) {
	r.t.Helper()
	for i := 1; i <= n; i++ {
		p := at(uint64(i))
		p.Data = codec.QuoteJSON(fmt.Sprint("p", i, strings.Repeat("x", 16<<10)))
		r.publish(channel, p)
	}
	require.NoError(r.t, r.hub.Drain(context.Background()))
}

// lossyChannel lets publications of one channel be dropped.
func lossyChannel(ch string) Policy { return Policy{DropOldest: ch == "lossy"} }

// An override can make a member of a lossy channel a positioned one: it loses
// nothing, and is ended as slow when it does not read.
func TestPositionedMembersOfALossyChannelLoseNothing(t *testing.T) {
	r := newRig(t, 1, Options{Policy: lossyChannel, Cursors: true})
	members := map[Features]*peer{0: nil, Positioned: nil, Positioned | Recoverable: nil, Delta: nil}
	for features := range members {
		p := r.stream(0)
		members[features] = p
		p.subscribe("lossy", features)
	}
	r.fill("lossy", 200) // three times what a queue may hold
	for features, p := range members {
		p.do(func(s *Shard) { require.Equal(t, features == 0, p.l.Live(p.ref), "features %b", features) })
	}
	plain := members[0]
	require.Equal(t, 1, strings.Count(plain.drain(200), `"gap"`))
	reading := r.stream(0)
	reading.subscribe("lossy", Positioned|Recoverable)
	reading.do(func(s *Shard) {
		s.find(reading.ref.Slot, "lossy").offset = 200
		s.refreshCursor(reading.ref.Slot)
	})
	r.publish("lossy", at(201))
	r.drain()
	require.Contains(t, reading.read(), "id: ", "the id line is kept")
}

// drain reads until publication n of fill has come.
func (p *peer) drain(n int) string {
	p.r.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(p.read(), fmt.Sprintf(`"p%dx`, n)) {
		require.True(p.r.t, time.Now().Before(deadline), "publication %d did not come", n)
		time.Sleep(time.Millisecond)
	}
	return p.read()
}

// What was dropped while the stream was in the channel is told, before what is
// left of it, also when it has left the channel by then.
func TestAGapIsToldToWhoHasLeft(t *testing.T) {
	for _, others := range []bool{false, true} {
		r := newRig(t, 1, Options{Policy: lossyChannel})
		p := r.stream(0)
		p.subscribe("lossy", 0)
		if others {
			r.stream(0).subscribe("lossy", 0)
		}
		r.fill("lossy", 200)
		p.do(func(s *Shard) {
			require.True(t, s.Unsubscribe(p.ref.Slot, "lossy"))
			s.loop.Send(p.ref.Slot, codec.EndFrame(append(codec.StartFrame(8), "{}"...), ""), loop.NoID)
		})
		got := p.drain(200)
		gap := strings.Index(got, `data: {"channel":"lossy","gap":{"dropped":`)
		require.Positive(t, gap)
		var dropped, from, to int
		_, err := fmt.Sscanf(got[gap:], `data: {"channel":"lossy","gap":{"dropped":%d,"from":%d,"to":%d}}`, &dropped, &from, &to)
		require.NoError(t, err)
		require.Equal(t, dropped, to-from+1)
		require.Contains(t, got[:gap], fmt.Sprintf(`"p%dx`, from-1))
		require.Contains(t, got[gap:], fmt.Sprintf(`"p%dx`, to+1))
		require.Equal(t, 200, dropped+strings.Count(got, `"pub"`))
	}
}
