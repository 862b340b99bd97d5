package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// clockReads are calls that take a moment and answer each key with when they began.
type clockReads struct {
	mu    sync.Mutex
	calls [][]string
	took  time.Duration
}

func (r *clockReads) read(_ context.Context, keys []string) []time.Time {
	began := time.Now()
	r.mu.Lock()
	r.calls = append(r.calls, keys)
	r.mu.Unlock()
	time.Sleep(r.took)
	answers := make([]time.Time, len(keys))
	for i := range answers {
		answers[i] = began
	}
	return answers
}

func noTime(error) time.Time { return time.Time{} }

// Whoever asks is answered by a call that began after it asked, and a storm costs few.
func TestAStormCostsFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &clockReads{took: 10 * time.Millisecond}
		f := newFlights(time.Second, r.read, noTime)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%100) * time.Millisecond)
				asked := time.Now()
				for _, began := range f.get(t.Context(), []string{"a", "b", fmt.Sprint(i % 3)}) {
					if began.Before(asked) {
						t.Error("the answer is older than the question")
					}
				}
				if took := time.Since(asked); took > 2*r.took {
					t.Errorf("it took %v", took)
				}
			})
		}
		wg.Wait()
		synctest.Wait() // for the goroutines of the calls, which end behind their answers
		require.Less(t, len(r.calls), 70, "100 ms of reads of 10 ms each, for three sets")
		require.Empty(t, f.calls)
	})
}

// What is to be had at once does not wait for what others are reading.
func TestACallThatWaitsForAnotherTakesAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &clockReads{took: time.Second}
		f := newFlights(time.Minute, r.read, noTime)
		go f.get(t.Context(), []string{"a", "b"})
		synctest.Wait()
		for range 10 {
			go f.get(t.Context(), []string{"c", "a", "b", "d"})
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ElementsMatch(t, [][]string{{"a", "b"}, {"c", "d"}, {"a", "b"}, {"c", "d"}}, r.calls)
	})
}

func TestWhoGivesUpLeavesTheCallToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errLate := errors.New("late")
		read := func(ctx context.Context, keys []string) []error {
			time.Sleep(time.Second)
			if keys[0] == "panic" {
				panic("in the engine")
			}
			return make([]error, len(keys))
		}
		f := newFlights(time.Minute, read, func(err error) error { return err })
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errLate)
		defer cancel()
		patient := make(chan error, 1)
		go func() { patient <- f.get(t.Context(), []string{"a"})[0] }()
		require.ErrorIs(t, f.get(ctx, []string{"a"})[0], errLate)
		require.NoError(t, <-patient)
		require.ErrorContains(t, f.get(t.Context(), []string{"panic"})[0], "panic in the engine")
		synctest.Wait() // for the goroutine of the call, which ends behind its answer
		require.Empty(t, f.calls)
	})
}
