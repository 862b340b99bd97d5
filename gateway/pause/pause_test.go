package pause

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPauseLastsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.True(t, For(t.Context(), time.Minute))
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.False(t, For(ctx, time.Minute))
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestAPauseEndsWhenItIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{}, 1)
		time.AfterFunc(time.Second, func() { wake <- struct{}{} })
		began := time.Now()
		require.True(t, Until(t.Context(), time.Minute, wake))
		require.Equal(t, time.Second, time.Since(began))
	})
}
