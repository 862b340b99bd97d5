package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/broker"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// slowEngine is an engine whose subscriptions take time, fail, and are watched:
// calls for one channel must not overlap, nor repeat without the opposite.
type slowEngine struct {
	broker.Broker // nil: nothing else is called
	t             *testing.T

	// Guarded by mu.
	mu       sync.Mutex
	rand     *rand.Rand
	on, busy map[string]bool
	doubtful map[string]bool // the last call for it failed
	failRate int             // percent
	panics   bool
	calls    int
}

var errEngine = errors.New("the engine failed")

func (e *slowEngine) call(ctx context.Context, ch string, on bool) error {
	e.mu.Lock()
	e.calls++
	if e.busy[ch] {
		e.t.Errorf("%s: two calls at once", ch)
	}
	if e.on[ch] == on && !e.doubtful[ch] {
		e.t.Errorf("%s: is %v already", ch, on)
	}
	e.busy[ch] = true
	wait := time.Duration(e.rand.IntN(2000)) * time.Microsecond
	fail := e.rand.IntN(100) < e.failRate
	panics := e.panics
	e.mu.Unlock()
	var err error
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy[ch] = false
	if panics {
		e.doubtful[ch] = true
		panic("the engine has a bug")
	}
	if fail {
		err = errEngine
	}
	e.doubtful[ch] = err != nil
	if err == nil {
		e.on[ch] = on
	}
	return err
}

func (e *slowEngine) Abilities() broker.Abilities { return broker.Abilities{} }

func (e *slowEngine) Subscribe(ctx context.Context, channels []string) error {
	return e.callAll(ctx, channels, true)
}

func (e *slowEngine) Unsubscribe(ctx context.Context, channels []string) error {
	return e.callAll(context.WithoutCancel(ctx), channels, false) // it takes no longer than it may
}

func (e *slowEngine) callAll(ctx context.Context, channels []string, on bool) error {
	for _, ch := range channels {
		if err := e.call(ctx, ch, on); err != nil {
			return err
		}
	}
	return nil
}

func (e *slowEngine) subscribed(ch string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.on[ch]
}

func newSlowEngine(t *testing.T, failRate int) *slowEngine {
	return &slowEngine{
		t: t, rand: rand.New(rand.NewPCG(7, 7)), failRate: failRate,
		on: make(map[string]bool), busy: make(map[string]bool), doubtful: make(map[string]bool),
	}
}

// idle hub: loops that have no handler and never poll.
func newInterestHub(t *testing.T, b broker.Broker) *Hub {
	t.Helper()
	pool, err := actor.NewPool(8)
	require.NoError(t, err)
	group, err := loop.NewGroup(3, pool, loop.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		group.Stop()
		pool.Release()
	})
	return New(group, b, pool, pool, Options{})
}

// left is how many entries the table of interest has.
func (h *Hub) left() (n int) {
	for i := range h.interests {
		s := &h.interests[i]
		s.mu.RLock()
		n += s.channels.Len()
		s.mu.RUnlock()
	}
	return n
}

func TestInterestAgreesWithASlowEngineThatFails(t *testing.T) {
	e := newSlowEngine(t, 10)
	h := newInterestHub(t, e)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 150 {
				ch, id, delta := fmt.Sprint("c", r.IntN(4)), r.IntN(3), r.IntN(2) == 0
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(6000))*time.Microsecond)
				err := h.Acquire(ctx, ch, id, delta)
				cancel()
				if err != nil {
					continue
				}
				if !e.subscribed(ch) {
					t.Errorf("%s: acquired, but the engine does not deliver it", ch)
				}
				if r.IntN(3) == 0 {
					h.AcquireMore(ch, id)
					h.Release(ch, id, false)
				}
				if r.IntN(2) == 0 {
					time.Sleep(time.Duration(r.IntN(1500)) * time.Microsecond)
				}
				if !e.subscribed(ch) {
					t.Errorf("%s: held, but the engine has been told to stop", ch)
				}
				h.Release(ch, id, delta)
			}
		})
	}
	wg.Wait()
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the table of interest to be empty")
	channels, subs := h.Interest()
	require.Zero(t, channels+subs)
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch, on := range e.on {
		require.False(t, on && !e.doubtful[ch], "%s: the engine still delivers", ch)
	}
}

func TestAcquireThatFailsHoldsNothing(t *testing.T) {
	e := newSlowEngine(t, 100)
	h := newInterestHub(t, e)
	require.ErrorIs(t, h.Acquire(t.Context(), "c", 0, true), errEngine)
	require.Zero(t, h.left())
	e.failRate = 0
	require.NoError(t, h.Acquire(t.Context(), "c", 0, true))
	loops, deltas := h.wanted(nil, "c")
	require.Equal(t, []int{0}, loops)
	require.True(t, deltas)
	h.Release("c", 0, true)
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 && !e.subscribed("c") }, "the engine to be told")
}

func TestAnEngineThatPanicsLocksNobodyOut(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newInterestHub(t, e)
	e.panics = true
	require.Error(t, h.Acquire(t.Context(), "c", 0, false))
	e.panics = false
	require.NoError(t, h.Acquire(t.Context(), "c", 0, false))
	e.mu.Lock()
	e.panics = true
	e.mu.Unlock()
	h.Release("c", 0, false)
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the entry to go")
	e.mu.Lock()
	e.panics = false
	e.mu.Unlock()
	require.NoError(t, h.Acquire(t.Context(), "c", 1, false))
	h.Release("c", 1, false)
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the entry to go")
	require.EqualValues(t, 2, h.Stats().LanePanics)
}

func TestCredits(t *testing.T) {
	pool, err := actor.NewPool(8)
	require.NoError(t, err)
	group, err := loop.NewGroup(1, pool, loop.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { group.Stop(); pool.Release() })
	h := New(group, newSlowEngine(t, 0), pool, pool, Options{CreditBytes: 1000, CreditWait: 50 * time.Millisecond})

	all, err := h.AcquireCredit(t.Context(), 1<<20)
	require.NoError(t, err)
	require.EqualValues(t, 1000, h.Stats().CreditUsed, "a large publication takes all there is")
	_, err = h.AcquireCredit(t.Context(), 1)
	require.ErrorIs(t, err, codec.ErrInternal, "after CreditWait")
	require.EqualValues(t, 1, h.Stats().CreditFails)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.AcquireCredit(ended, 1)
	require.ErrorIs(t, err, codec.ErrInternal)

	h.credit.wait = time.Hour
	released := make(chan *broker.Credit)
	go func() {
		n, _ := h.AcquireCredit(context.Background(), 100)
		released <- n
	}()
	testkit.EventuallyWithin(t, patience, func() bool { return h.Stats().CreditWaits == 3 }, "the publisher to wait")
	all.Release()
	got := <-released
	require.EqualValues(t, 100+creditCost, h.Stats().CreditUsed)
	for range 3 {
		got.Release() // only the first counts
	}
	require.Zero(t, h.Stats().CreditUsed)
}

// instant is an engine within the process.
type instant struct{ broker.Broker }

func (instant) Abilities() broker.Abilities {
	return broker.Abilities{Everything: true, Synchronous: true}
}

func TestWantedIsWhatHasASubscriberOrOneOnItsWay(t *testing.T) {
	h := newInterestHub(t, instant{})
	require.False(t, h.Wanted("c"))
	require.NoError(t, h.Acquire(t.Context(), "c", 1, false))
	h.AcquireMore("c", 2)
	require.True(t, h.Wanted("c"))
	require.False(t, h.Wanted("d"))
	h.Release("c", 1, false)
	require.True(t, h.Wanted("c"))
	h.Release("c", 2, false)
	require.False(t, h.Wanted("c"))
}

func TestInterestGivesItsMemoryBack(t *testing.T) {
	const n = 200_000
	h := newInterestHub(t, instant{})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range n {
		require.NoError(t, h.Acquire(t.Context(), fmt.Sprint(i), 0, false))
	}
	full := heap() - before
	for i := range n - 1000 {
		h.Release(fmt.Sprint(i), 0, false)
	}
	left := heap() - before
	require.Less(t, left, full/10, "%d of %d bytes are left", left, full)
	require.Equal(t, 1000, h.left())
}
