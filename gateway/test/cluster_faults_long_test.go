//go:build e2e

package test

import (
	"math/rand/v2"
	"testing"
	"time"

	"sluice/gateway/testkit/tcpproxy"
)

// What goes wrong with the server of an engine while three gateways publish and deliver: afterwards every
// subscriber has all publications, once and in order, or was told; no gateway is stuck; and
// no publish was called a success that was none.

// Sizes of these runs.
const (
	faultGateways    = 3
	faultSubscribers = 200
	beforeFault      = 2 * time.Second
	afterFault       = 3 * time.Second
)

// harm is what a fault may do at most, beside delays.
type harm int

const (
	harmNone harm = iota
	// harmLost: the server forgets what it acknowledged.
	harmLost
	// harmTrimmed: histories are shorter than what was missed.
	harmTrimmed
)

// fault runs a fleet on an engine while something goes wrong.
func fault(t *testing.T, engine string, most harm, wrong func(*trial)) {
	t.Helper()
	faultOf(t, startFleet(t, faultGateways, engine), most, wrong)
}

// faultOf is fault with a fleet that runs already.
func faultOf(t *testing.T, f *fleet, most harm, wrong func(*trial)) {
	t.Helper()
	namespace := "rr"
	if most == harmTrimmed {
		namespace = "short"
	}
	r := begin(t, f, namespace, faultSubscribers)
	r.loses, r.tells = most == harmLost, most == harmTrimmed
	steady(beforeFault)
	wrong(r)
	steady(afterFault)
	r.finish()
}

// sideBySide runs faults side by side, each with a server of its own.
func sideBySide(t *testing.T, faults []namedFault) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

type namedFault struct {
	name string
	run  func(t *testing.T)
}

// victim is the server that something happens to.
type victim interface {
	Start(t testing.TB)
	Stop(t testing.TB)
	Kill(t testing.TB)
	Freeze(t testing.TB)
	Thaw(t testing.TB)
}

// stopped stops the server for a while.
func stopped(t *testing.T, s victim) func(*trial) {
	return func(r *trial) {
		s.Stop(t)
		r.awaitReady(t, false)
		steady(4 * time.Second)
		s.Start(t)
		r.awaitReady(t, true)
	}
}

// frozen lets it stand still, for less and for more than a gateway notices.
func frozen(t *testing.T, s victim) func(*trial) {
	return func(r *trial) {
		for _, d := range []time.Duration{300 * time.Millisecond, 6 * time.Second} {
			s.Freeze(t)
			steady(d)
			if d > time.Second {
				r.awaitReady(t, false)
			}
			s.Thaw(t)
			r.awaitReady(t, true)
		}
	}
}

// killed kills and starts it again and again.
func killed(t *testing.T, s victim) func(*trial) {
	return func(*trial) {
		for range 3 {
			s.Kill(t)
			s.Start(t)
			steady(2 * time.Second)
		}
	}
}

// cutRandomly cuts each connection after some bytes, at the most so many.
func cutRandomly(t *testing.T, p *tcpproxy.Proxy, most int64) func(*trial) {
	return func(*trial) {
		p.CutRandomly(uint64(time.Now().UnixNano()), most)
		steady(10 * time.Second)
		p.CutAfter(tcpproxy.ToServer, -1)
		_, _, cut := p.Counts()
		t.Logf("%d connections cut", cut)
	}
}

// halfDead refuses connections, stalls them, drops what is answered and is late.
func halfDead(t *testing.T, p *tcpproxy.Proxy) func(*trial) {
	return func(*trial) {
		p.Refuse(t, true)
		p.Cut()
		steady(3 * time.Second)
		p.Refuse(t, false)
		steady(2 * time.Second)
		p.Stall(true)
		steady(4 * time.Second)
		p.Stall(false)
		steady(2 * time.Second)
		p.Mute(true)
		steady(4 * time.Second)
		p.Mute(false)
		p.Delay(20 * time.Millisecond)
		steady(2 * time.Second)
		p.Delay(0)
	}
}

// tooLong cuts three gateways off while a fourth, whose engine is not behind the proxy, goes on publishing, for more than
// histories keep. then is what happens when they are back.
func tooLong(t *testing.T, p *tcpproxy.Proxy, behind, direct string, then func(*trial)) {
	f := startFleet(t, faultGateways, behind)
	f.posts = startFleet(t, 1, direct).addrs
	faultOf(t, f, harmTrimmed, func(r *trial) {
		p.Refuse(t, true)
		p.Cut()
		steady(6 * time.Second)
		p.Refuse(t, false)
		r.awaitReady(t, true)
		then(r)
	})
}

// chaos does what the other faults do, one after another and at random, and the others that are given. Connections
// are cut after so many bytes at the most.
func chaos(t *testing.T, s victim, p *tcpproxy.Proxy, most int64, others ...func(some func(most time.Duration))) func(*trial) {
	return func(r *trial) {
		rnd := rand.New(rand.NewPCG(r.seed, 1))
		some := func(most time.Duration) { steady(time.Duration(rnd.Int64N(int64(most)))) }
		for begun := time.Now(); time.Since(begun) < 25*time.Second; some(time.Second) {
			switch n := rnd.IntN(6 + len(others)); n {
			case 0:
				s.Kill(t)
				some(time.Second)
				s.Start(t)
			case 1:
				s.Freeze(t)
				some(2 * time.Second)
				s.Thaw(t)
			case 2:
				p.Cut()
			case 3:
				p.Refuse(t, true)
				p.Cut()
				some(time.Second)
				p.Refuse(t, false)
			case 4:
				p.Stall(true)
				some(2 * time.Second)
				p.Stall(false)
			case 5:
				p.CutRandomly(rnd.Uint64(), most)
				some(2 * time.Second)
				p.CutAfter(tcpproxy.ToServer, -1)
			default:
				others[n-6](some)
			}
		}
	}
}
