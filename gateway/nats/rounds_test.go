package nats

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Who comes while a round is under way waits for the next one, with all others that do.
func TestRoundsAreSharedByThoseWhoCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rounds Rounds
		began := 0
		once := func() error {
			began++
			n := began
			time.Sleep(time.Second)
			if n == 2 {
				return errors.New("second")
			}
			return nil
		}
		first := rounds.Join(once)
		synctest.Wait()
		var errs [10]error
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { errs[i], _ = rounds.Join(once).Await(t.Context()) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, ok := rounds.Join(once).Await(ctx)
		require.False(t, ok, "it does not wait longer than its context")
		err, ok := first.Await(t.Context())
		require.True(t, ok)
		require.NoError(t, err)
		wait.Wait()
		for _, err := range errs {
			require.EqualError(t, err, "second")
		}
		require.Equal(t, 2, began)
		_, _ = rounds.Join(once).Await(t.Context())
		rounds.Wait()
		require.Equal(t, 3, began, "rounds end with those who wait, and begin again")
	})
}
