package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// listEngine notes its calls, and answers what a test wants.
type listEngine struct {
	broker.Broker // nil: nothing else is called
	mu            sync.Mutex
	on            func(channels []string) error // under mu
	off           func(channels []string) error // under mu
}

// do runs f under mu: what a test changes before it sleeps is not before what wakes then,
// for the race detector.
func (e *listEngine) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *listEngine) Abilities() broker.Abilities { return broker.Abilities{} }

func (e *listEngine) Subscribe(_ context.Context, channels []string) (err error) {
	e.do(func() { err = e.on(channels) })
	return err
}

func (e *listEngine) Unsubscribe(_ context.Context, channels []string) (err error) {
	e.do(func() { err = e.off(channels) })
	return err
}

// spawn runs turns on goroutines of their own: in a bubble of synctest there is no pool.
type spawn struct{}

func (spawn) Submit(run func()) { go run() }

// inBubble runs f with a hub over an engine, in virtual time.
func inBubble(t *testing.T, e broker.Broker, f func(t *testing.T, h *Hub)) {
	group, err := loop.NewGroup(1, spawn{}, loop.Options{})
	require.NoError(t, err)
	t.Cleanup(group.Stop)
	synctest.Test(t, func(t *testing.T) {
		h := New(group, e, spawn{}, spawn{}, Options{})
		f(t, h)
		h.Quiet()
	})
}

func TestWhoComesBackSoonCostsNoCall(t *testing.T) {
	var calls []string
	note := func(what string) func([]string) error {
		return func(channels []string) error { calls = append(calls, fmt.Sprint(what, channels)); return nil }
	}
	inBubble(t, &listEngine{on: note("on"), off: note("off")}, func(t *testing.T, h *Hub) {
		came := func(ch string) { require.NoError(t, h.Acquire(t.Context(), ch, 0, Form{})) }
		went := func(ch string) { h.Release(ch, 0, Form{}) }
		after := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		require.NoError(t, h.AcquireAll(t.Context(), 0, []Want{{Channel: "a"}, {Channel: "b"}, {Channel: "a"}}))
		went("a")
		for range 5 { // a page after the other
			went("a")
			require.Equal(t, 1, h.Stats().Leaving)
			after(900 * time.Millisecond)
			came("a")
			require.Zero(t, h.Stats().Leaving)
		}
		require.Equal(t, []string{"on[a b]"}, calls)
		went("a")
		went("b")
		channels, _ := h.Interest()
		require.Zero(t, channels)
		require.Zero(t, h.Stats().Channels)
		after(2100 * time.Millisecond) // one of them left twice
		require.Equal(t, 0, h.left())
		require.Len(t, calls, 3)
		came("a")
		require.Equal(t, "on[a]", calls[3])
	})
}

func TestAnEngineThatIsAwayIsToldLater(t *testing.T) {
	away := fmt.Errorf("away: %w", broker.ErrUnavailable)
	var err error
	var offs []time.Time
	ons := 0
	e := &listEngine{
		on:  func([]string) error { ons++; return err },
		off: func([]string) error { offs = append(offs, time.Now()); return err },
	}
	inBubble(t, e, func(t *testing.T, h *Hub) {
		answer := func(with error) { e.do(func() { err = with }) }
		answer(away)
		require.ErrorIs(t, h.Acquire(t.Context(), "never", 0, Form{}), broker.ErrUnavailable)
		require.Zero(t, h.Stats().Channels)
		answer(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, h.left(), "whatever was done is undone")
		e.do(func() { offs = nil })
		require.NoError(t, h.AcquireAll(t.Context(), 0, []Want{{Channel: "a"}, {Channel: "b"}}))
		answer(broker.ErrUnknown)
		h.Release("a", 0, Form{})
		h.Release("b", 0, Form{})
		time.Sleep(time.Minute + 50*time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, len(offs), h.Stats().UnsubscribeFails)
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30} {
			if i+1 < len(offs) {
				require.Equal(t, want*time.Second, offs[i+1].Sub(offs[i]), "wait %d", i)
			}
		}
		require.Greater(t, len(offs), 4)
		before := ons
		answer(nil)
		require.NoError(t, h.Acquire(t.Context(), "a", 0, Form{}))
		require.Equal(t, before+1, ons, "it is not known whether the engine delivers it")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, h.left(), "b")
		h.Release("a", 0, Form{})
		time.Sleep(time.Minute)
		require.Zero(t, h.left())
	})
}

// 100,000 channels come, each connect with some, and go: the engine is told in batches.
func TestManyChannelsComeAndGoInBatches(t *testing.T) {
	const channels, each = 100_000, 100
	e := newSlowEngine(t, 0)
	h := newInterestHub(t, e)
	var wants []Want
	for i := range channels {
		wants = append(wants, Want{Channel: fmt.Sprint("channel", i)})
	}
	for i := 0; i < channels; i += each {
		require.NoError(t, h.AcquireAll(t.Context(), i%3, wants[i:i+each]))
	}
	e.set(func() { require.Equal(t, channels/each, e.calls) })
	require.Equal(t, channels, h.Stats().Channels)
	for i := range wants {
		h.Release(wants[i].Channel, i/each*each%3, Form{})
	}
	require.Zero(t, h.Stats().Channels)
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the engine to be told")
	e.set(func() {
		require.Equal(t, unsubscribeBatch, e.largest)
		require.Less(t, e.calls, channels/10)
	})
}

var _ actor.Submitter = spawn{}
