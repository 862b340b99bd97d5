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
	largest  int // channels of a call
}

var errEngine = errors.New("the engine failed")

// call is one for several channels: it is done for all of them or for none, but where it
// fails that is not known.
func (e *slowEngine) call(ctx context.Context, channels []string, on bool) error {
	e.mu.Lock()
	e.calls++
	e.largest = max(e.largest, len(channels))
	for _, ch := range channels {
		if e.busy[ch] {
			e.t.Errorf("%s: two calls at once", ch)
		}
		if e.on[ch] == on && !e.doubtful[ch] {
			e.t.Errorf("%s: is %v already", ch, on)
		}
		e.busy[ch] = true
	}
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
	if fail {
		err = errEngine
	}
	for _, ch := range channels {
		e.busy[ch] = false
		e.doubtful[ch] = err != nil || panics
		if err == nil && !panics {
			e.on[ch] = on
		}
	}
	if panics {
		panic("the engine has a bug")
	}
	return err
}

func (e *slowEngine) Abilities() broker.Abilities { return broker.Abilities{} }

func (e *slowEngine) Subscribe(ctx context.Context, channels []string) error {
	return e.call(ctx, channels, true)
}

func (e *slowEngine) Unsubscribe(ctx context.Context, channels []string) error {
	return e.call(context.WithoutCancel(ctx), channels, false) // it takes no longer than it may
}

// set changes how the engine behaves.
func (e *slowEngine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
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
	h := New(group, b, pool, pool, Options{UnsubscribeAfter: time.Millisecond})
	t.Cleanup(func() {
		group.Stop()
		h.Quiet()
		pool.Release()
	})
	return h
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

// useAndRelease is a subscriber of channels that it acquired: the engine must deliver them
// all the time.
func useAndRelease(t *testing.T, h *Hub, e *slowEngine, r *rand.Rand, id int, wants []Want) {
	check := func() {
		for _, w := range wants {
			if !e.subscribed(w.Channel) {
				t.Errorf("%s: held, but the engine does not deliver it", w.Channel)
			}
		}
	}
	check()
	if r.IntN(3) == 0 {
		h.AcquireMore(wants[0].Channel, id, Form{})
		h.Release(wants[0].Channel, id, Form{})
	}
	if r.IntN(2) == 0 {
		time.Sleep(time.Duration(r.IntN(2500)) * time.Microsecond)
	}
	check()
	for _, w := range wants {
		h.Release(w.Channel, id, w.Form)
	}
}

func TestInterestAgreesWithASlowEngineThatFails(t *testing.T) {
	e := newSlowEngine(t, 10)
	h := newInterestHub(t, e)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for range 150 {
				id := r.IntN(3)
				var wants []Want
				for i := range 1 + r.IntN(3) {
					wants = append(wants, Want{fmt.Sprint("c", (r.IntN(4)+i)%4), Form{Delta: r.IntN(2) == 0}}) // some twice
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(6000))*time.Microsecond)
				err := h.AcquireAll(ctx, id, wants)
				cancel()
				if err != nil {
					continue
				}
				useAndRelease(t, h, e, r, id, wants)
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

// What failed may have been done: it holds nothing and counts for nothing, and the engine
// is told so as soon as it can be.
func TestAcquireThatFailsHoldsNothing(t *testing.T) {
	e := newSlowEngine(t, 100)
	h := newInterestHub(t, e)
	require.ErrorIs(t, h.Acquire(t.Context(), "c", 0, Form{Delta: true}), errEngine)
	channels, subs := h.Interest()
	require.Zero(t, channels+subs)
	require.Zero(t, h.Stats().Channels)
	testkit.EventuallyWithin(t, patience, func() bool { return h.Stats().UnsubscribeFails > 2 }, "the engine to be told again and again")
	e.set(func() { e.failRate = 0 })
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the engine to be told")
	require.NoError(t, h.Acquire(t.Context(), "c", 0, Form{Delta: true}))
	loops, taken := h.wanted(nil, "c")
	require.Equal(t, []int{0}, loops)
	require.True(t, taken.deltas())
	h.Release("c", 0, Form{Delta: true})
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 && !e.subscribed("c") }, "the engine to be told")
}

func TestAnEngineThatPanicsLocksNobodyOut(t *testing.T) {
	e := newSlowEngine(t, 0)
	h := newInterestHub(t, e)
	e.set(func() { e.panics = true })
	require.Error(t, h.Acquire(t.Context(), "c", 0, Form{}))
	testkit.EventuallyWithin(t, patience, func() bool { return h.Stats().LanePanics > 2 }, "calls that panic")
	e.set(func() { e.panics = false })
	require.NoError(t, h.Acquire(t.Context(), "c", 0, Form{}))
	require.True(t, e.subscribed("c"))
	h.Release("c", 0, Form{})
	testkit.EventuallyWithin(t, patience, func() bool { return h.left() == 0 }, "the entry to go")
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
	require.NoError(t, h.Acquire(t.Context(), "c", 1, Form{}))
	h.AcquireMore("c", 2, Form{})
	require.True(t, h.Wanted("c"))
	require.False(t, h.Wanted("d"))
	h.Release("c", 1, Form{})
	require.True(t, h.Wanted("c"))
	h.Release("c", 2, Form{})
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
		require.NoError(t, h.Acquire(t.Context(), fmt.Sprint(i), 0, Form{}))
	}
	full := heap() - before
	for i := range n - 1000 {
		h.Release(fmt.Sprint(i), 0, Form{})
	}
	left := heap() - before
	require.Less(t, left, full/10, "%d of %d bytes are left", left, full)
	require.Equal(t, 1000, h.left())
}
