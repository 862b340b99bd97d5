package hub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
)

// Behind a panic comes the rest of the delivery, and only then what tasks do: whoever
// leaves meanwhile had it, and nobody misses it or gets it twice.
func TestMembersThatLeaveBehindAPanic(t *testing.T) {
	for gone := range 8 {
		r := newRig(t, 1, Options{})
		var members []*peer
		for range 8 {
			p := r.stream(0)
			p.subscribe("a", 0)
			members = append(members, p)
		}
		const bad = 4
		members[bad].do(func(s *Shard) {
			s.Activate(members[bad].ref, []Start{{Channel: "a", Offset: 5, Epoch: EpochTag("e"), Features: Positioned}})
		})
		started, gate := make(chan struct{}), make(chan struct{})
		r.explode = "a"
		r.onInsufficient = func() {
			close(started)
			<-gate
		}
		r.publish("a", at(9))
		<-started
		if gone != bad {
			l := members[0].l
			l.Post(once(func() { r.hub.Shard(l).Unsubscribe(members[gone].ref.Slot, "a") }))
		}
		close(gate)
		r.drain()
		for i, p := range members {
			if n := strings.Count(p.read(), "\n\n"); i != bad {
				require.Equal(t, 1, n, "member %d, when %d had left", i, gone)
			}
		}
		require.EqualValues(t, 1, r.group.Stats().Closes[loop.ReasonPanic])
	}
}

// A command passes Arrived: what was published before it is in the queues then.
func TestArrivedIsNeverWrong(t *testing.T) {
	const publishers, each = 4, 1500
	r := newRig(t, 2, Options{Lanes: 3})
	var peers []*peer
	for i := range publishers {
		p := r.stream(i % 2)
		p.subscribe(fmt.Sprint("ch", i), 0)
		peers = append(peers, p)
	}
	stop := make(chan struct{})
	var readers, wg sync.WaitGroup
	readers.Go(func() { // or their sockets fill
		for {
			for _, p := range peers {
				p.read()
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i, p := range peers {
		wg.Go(func() {
			ch := fmt.Sprint("ch", i)
			for range each {
				credit, err := r.hub.AcquireCredit(context.Background(), 10)
				if err != nil {
					t.Error(err)
					return
				}
				r.hub.Publication(ch, &codec.Publication{Data: codec.QuoteJSON("x")}, nil, credit)
				if err := r.hub.Arrived(context.Background()); err != nil {
					t.Error(err)
					return
				}
				p.do(func(s *Shard) {
					// All that ch was sent is queued or written by now: it is taken out.
					if !s.Unsubscribe(p.ref.Slot, ch) {
						t.Error("expected a subscription")
					}
				})
				if err := r.hub.Acquire(context.Background(), ch, p.l.ID(), Form{}); err != nil {
					t.Error(err)
				}
				p.do(func(s *Shard) { s.Subscribe(p.ref.Slot, ch, 0) })
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	r.drain()
	for _, p := range peers {
		require.Equal(t, each, strings.Count(p.read(), "\n\n"), "what had arrived must not be missed by who leaves")
	}
}

func TestArrivedCostsNothingWhenIdle(t *testing.T) {
	r := newRig(t, 2, Options{})
	p := r.stream(0)
	p.subscribe("a", 0)
	r.publish("a", at(0))
	p.expect(event1("a", 0))
	r.drain()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := r.hub.Arrived(context.Background()); err != nil {
			t.Error(err)
		}
	}))
	// It asks nobody: not even a loop that is busy.
	started, gate := make(chan struct{}), make(chan struct{})
	p.l.Post(once(func() { close(started); <-gate }))
	<-started
	require.NoError(t, r.hub.Arrived(context.Background()))
	r.publish("a", at(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.hub.Arrived(ctx), context.Canceled, "something is on its way")
	close(gate)
	require.NoError(t, r.hub.Arrived(context.Background()))
}
