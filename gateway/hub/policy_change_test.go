package hub

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// A policy that changes takes effect with the next publication: what waited goes
// out before it, so that nothing old comes behind something new.
func TestAPolicyThatChangesOvertakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{})
		r.number("a", 1)
		r.number("a", 2)
		r.expect(kn("a", 1), kn("a", 2))
		r.hub.SetPolicy(rate(time.Hour, "k"))
		for _, key := range []string{"a", "b"} {
			for n := 3; n <= 5; n++ {
				r.number(key, n)
			}
		}
		r.expect(kn("a", 3), kn("b", 3))
		r.hub.SetPolicy(nil)
		r.expect() // not before there is a reason to
		r.number("a", 6)
		got := r.delivered()
		require.ElementsMatch(t, []string{kn("a", 5), kn("b", 5), kn("a", 6)}, got)
		require.Equal(t, kn("a", 6), got[2], "the newest last")

		// Another rate begins anew, and nothing is forgotten of what waits
		// when nothing more is published.
		r.hub.SetPolicy(rate(time.Minute, ""))
		r.number("a", 7)
		r.number("b", 8)
		r.expect(kn("a", 7))
		r.hub.SetPolicy(rate(time.Second, ""))
		time.Sleep(time.Minute)
		r.expect(kn("b", 8))
		r.number("a", 9)
		r.number("a", 10)
		r.expect(kn("a", 9))
		time.Sleep(time.Second)
		r.expect(kn("a", 10))
		require.EqualValues(t, 2, r.hub.Stats().Conflated)
	})
}

// Whoever negotiated deltas before a channel had a rate gets whole payloads
// while it has one, and never a difference to what did not come.
func TestDeltasAreWholeWhereARateLeavesSomeOut(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("ch", Delta)
	text := func(n int) *codec.Publication {
		pub := at(uint64(n))
		pub.Data = codec.QuoteJSON(strings.Repeat("the same ", 100) + fmt.Sprint(n))
		return pub
	}
	publish := func(n int) { r.hub.Publication("ch", text(n), text(n-1), nil) }
	publish(1)
	publish(2)
	r.drain()
	before := p.read()
	require.Equal(t, 1, strings.Count(before, `"delta":true`), "as it is without a rate")
	r.hub.SetPolicy(rate(time.Hour, ""))
	for n := 3; n <= 6; n++ {
		publish(n)
	}
	require.NoError(t, r.hub.Arrived(t.Context())) // what waits goes on waiting
	r.hub.SetPolicy(nil)
	publish(7)
	r.drain()
	got := strings.TrimPrefix(p.read(), before)
	require.Equal(t, 3, strings.Count(got, `data: {"channel"`), got)
	require.Equal(t, 1, strings.Count(got, `"delta":true`), got)
	require.Contains(t, got, "the same 3")
	require.Contains(t, got, "the same 6")
}

// Without a policy a publication asks nobody, and it is not asked of a channel
// more often than needed.
func TestAPublicationWithoutPolicyAsksNobody(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, 1, Options{Policy: func(string) Policy { asked.Add(1); return Policy{} }})
	r.stream(0).subscribe("ch", 0)
	r.publish("ch", at(1))
	r.drain()
	require.EqualValues(t, 2, asked.Load())
	r.hub.SetPolicy(nil)
	r.publish("ch", at(2))
	r.drain()
	require.EqualValues(t, 2, asked.Load())
}
