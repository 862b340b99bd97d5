package hub

import (
	"context"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

func TestATopicStaysInItsSizeClass(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(topic{}), uintptr(64), "a node has one for each channel and loop")
}

func TestRateIsOfAboutTheLastTenSeconds(t *testing.T) {
	const second = int64(time.Second)
	tp := &topic{}
	require.Zero(t, tp.rate(0))
	for i := range int64(50) {
		tp.count(30*second + i*second/5) // five a second for ten seconds
	}
	require.InDelta(t, 5, tp.rate(40*second-1), 0.001)
	require.InDelta(t, 2.5, tp.rate(45*second), 0.001, "half of the window before is within ten seconds")
	require.Zero(t, tp.rate(50*second))
	require.Zero(t, tp.rate(500*second))
	tp.count(500 * second)
	require.InDelta(t, 0.1, tp.rate(500*second), 0.001)
	tp.count(520 * second)
	require.InDelta(t, 0.1, tp.rate(520*second), 0.001, "a window in between had none")
}

func TestRatesAreThoseOfTheLoopsThatHaveTheChannel(t *testing.T) {
	r := newRig(t, 3, Options{})
	for i := range 3 {
		p := r.stream(i)
		p.subscribe("all", 0)
		p.subscribe(fmt.Sprint("of ", i), Positioned)
	}
	for range 20 {
		r.publish("all", at(0))
	}
	for i := range 3 {
		r.publish(fmt.Sprint("of ", i), at(0))
	}
	r.hub.Join("all", &codec.ClientInfo{User: "u", Client: "c"}, nil)
	r.drain()
	rates, err := r.hub.Rates(t.Context(), []string{"nobody", "all", "of 2"})
	require.NoError(t, err)
	require.Zero(t, rates[0])
	// As a window may have ended meanwhile: what is counted never is more than what came.
	require.InDelta(t, 2, rates[1], 1, "each publication once, whatever loops there are; a join is none")
	require.InDelta(t, 0.1, rates[2], 0.1)

	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errEnginePanic)
	if _, err := r.hub.Rates(ended, []string{"all"}); err != nil {
		require.ErrorIs(t, err, errEnginePanic)
	}
	none, err := r.hub.Rates(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// A look at all rates lets deliveries pass: they are not behind the whole of it.
func TestRatesDoNotHoldDeliveriesUp(t *testing.T) {
	r := newRig(t, 1, Options{})
	p := r.stream(0)
	p.subscribe("a", 0)
	names := make([]string, 200*ratesStep)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	done := make(chan []float32, 1)
	gate, reached := make(chan struct{}), make(chan struct{})
	p.l.Post(once(func() { close(reached); <-gate }))
	<-reached
	walk := &ratesWalk{shard: r.hub.shards[0], names: names, rates: make([]float32, len(names)), done: done}
	p.l.Post(walk)
	r.publish("a", at(0))
	seen := make(chan int, 1)
	testkit.EventuallyWithin(t, patience, func() bool { return r.group.Loops[0].Deliveries() > 0 }, "the publication to wait at the loop")
	p.l.Post(funcWalk{func() bool {
		if r.hub.shards[0].stats.Sent[PushPublication].Frames == 0 {
			return false
		}
		seen <- walk.next
		return true
	}, p})
	close(gate)
	require.Less(t, <-seen, len(names), "the publication was queued before the walk was over")
	<-done
	p.expect(event1("a", 0))
}

// funcWalk posts itself until f says that it is done.
type funcWalk struct {
	f func() bool
	p *peer
}

func (w funcWalk) Run(l *loop.Loop) {
	if !w.f() {
		l.Post(w)
	}
}

func BenchmarkCount(b *testing.B) {
	tp := &topic{}
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		tp.count(now)
	}
}

func BenchmarkRates(b *testing.B) {
	const channels = 20_000
	r := newRig(b, 1, Options{})
	p := r.stream(0)
	names := make([]string, channels)
	for i := range names {
		names[i] = fmt.Sprintf("channel:%d", i)
		require.NoError(b, r.hub.Acquire(context.Background(), names[i], 0, Form{}))
	}
	p.do(func(s *Shard) {
		for _, n := range names {
			s.topics.Set(n, &topic{channel: n})
		}
	})
	for b.Loop() {
		_, err := r.hub.Rates(context.Background(), names)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*channels), "ns/channel")
	p.do(func(s *Shard) {
		for _, n := range names {
			s.topics.Delete(n)
			r.hub.Release(n, 0, Form{})
		}
	})
}
