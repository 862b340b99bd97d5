package hub

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// credit takes some, as an engine does.
func (r *rig) credit() *broker.Credit {
	r.t.Helper()
	c, err := r.hub.AcquireCredit(context.Background(), 100)
	require.NoError(r.t, err)
	return c
}

func (r *rig) noCredit(what string) {
	r.t.Helper()
	testkit.EventuallyWithin(r.t, patience, func() bool { return r.hub.Stats().CreditUsed == 0 }, "the credit back: "+what)
}

func TestCreditComesBack(t *testing.T) {
	var explode atomic.Bool
	r := newRig(t, 2, Options{Policy: func(string) Policy {
		if explode.Load() {
			panic("the rules have a bug")
		}
		return Policy{}
	}})
	pub, info := &codec.Publication{Data: codec.QuoteJSON("x")}, &codec.ClientInfo{User: "u", Client: "c"}
	events := map[string]func(ch string){
		"publication": func(ch string) { r.hub.Publication(ch, pub, nil, r.credit()) },
		"join":        func(ch string) { r.hub.Join(ch, info, r.credit()) },
		"leave":       func(ch string) { r.hub.Leave(ch, info, r.credit()) },
	}
	for name, publish := range events {
		publish("nobody")
		r.noCredit(name + " that no loop wants")
	}
	r.hub.Publication("nobody", nil, nil, r.credit()) // is not encoded at all
	r.noCredit("nothing that nobody wants")
	require.Zero(t, r.hub.Stats().LanePanics)

	a, b := r.stream(0), r.stream(1)
	a.subscribe("ch", PushJoinLeave)
	b.subscribe("ch", 0)
	for name, publish := range events {
		publish("ch")
		r.noCredit(name + " to two loops")
	}
	r.hub.Publication("ch", nil, nil, r.credit())
	r.hub.Join("ch", nil, r.credit())
	r.hub.Leave("ch", nil, r.credit())
	r.noCredit("a panic in encode")
	require.EqualValues(t, 3, r.hub.Stats().LanePanics)
	explode.Store(true)
	r.hub.Publication("ch", pub, nil, r.credit())
	r.noCredit("a panic in the policy")
	require.EqualValues(t, 4, r.hub.Stats().LanePanics)
	explode.Store(false)

	// A subscriber whose stream is gone by the time it is delivered.
	a.do(func(*Shard) {
		r.hub.Publication("ch", pub, nil, r.credit())
		r.hub.Publication("ch", pub, nil, r.credit())
		require.NotZero(t, r.hub.Stats().CreditUsed, "the loop has not offered it")
		a.l.Cut(a.ref, loop.ReasonDisconnect)
	})
	b.do(func(*Shard) { b.l.Cut(b.ref, loop.ReasonDisconnect) })
	r.noCredit("streams that are gone")
}

// The credit is back only when both loops have offered it.
func TestCreditIsHeldUntilAllLoopsOffered(t *testing.T) {
	r := newRig(t, 2, Options{})
	a, b := r.stream(0), r.stream(1)
	a.subscribe("ch", 0)
	b.subscribe("ch", 0)
	started, gate := make(chan struct{}), make(chan struct{})
	a.l.Post(once(func() { close(started); <-gate }))
	<-started
	r.publish("ch", at(0))
	b.expect(event1("ch", 0))
	b.do(func(*Shard) {})
	require.NotZero(t, r.hub.Stats().CreditUsed)
	close(gate)
	a.expect(event1("ch", 0))
	r.noCredit("both loops")
}

// What waits for its time has given its credit back, and so has what it replaced.
func TestCreditOfWhatMaxRateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPaceRig(t, Options{Policy: rate(time.Second, "k")})
		for n := range 50 {
			r.number("a", n)
			synctest.Wait()
			require.Zero(t, r.hub.Stats().CreditUsed)
		}
		require.EqualValues(t, 48, r.hub.Stats().Conflated)
		time.Sleep(time.Second)
		r.expect(kn("a", 0), kn("a", 49))
		require.Zero(t, r.hub.Stats().CreditUsed)
	})
}

// A panic while what waited is released, or behind that, costs no credit of the
// publication that released it.
func TestCreditOfAPublicationThatReleasesOthers(t *testing.T) {
	for _, where := range []string{"released", "in hand"} {
		synctest.Test(t, func(t *testing.T) {
			var explode atomic.Bool
			rules := func(string) Policy {
				if explode.Load() {
					panic("the rules have a bug")
				}
				return Policy{MaxRate: time.Second, ConflateKey: "k"}
			}
			r := newPaceRig(t, Options{Policy: rules})
			r.number("a", 1)
			r.number("a", 2) // waits
			synctest.Wait()
			if where == "released" {
				explode.Store(true) // it is encoded under the rules of its time
				r.hub.SetPolicy(func(string) Policy { return Policy{} })
			} else {
				r.hub.SetPolicy(func(string) Policy { panic("the new rules have a bug") })
			}
			r.number("b", 3)
			synctest.Wait()
			require.EqualValues(t, 1, r.hub.panics.Swap(0))
			require.Zero(t, r.hub.Stats().CreditUsed, where)
			r.hub.SetPolicy(nil)
			r.number("c", 4)
			require.Contains(t, r.delivered(), kn("c", 4))
		})
	}
}
