package sse

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A reload that leaves the rate alone must not give everybody another burst, nor
// give slots away twice.
func TestARateThatStaysKeepsWhatWasUsedOfIt(t *testing.T) {
	s := New(nil, Options{Live: Live{ConnectionRate: 3}, RetryMin: time.Second, RetryMax: time.Second})
	before := s.live.Load()
	for before.rate.allow() {
	}
	s.Set(Live{ConnectionRate: 3, Insecure: true})
	now := s.live.Load()
	require.True(t, now.Insecure)
	require.Same(t, before.rate, now.rate)
	require.Same(t, before.delays, now.delays)

	s.Set(Live{ConnectionRate: 5})
	require.EqualValues(t, 5, s.live.Load().rate.limiter.Burst())
	require.Equal(t, 200*time.Millisecond+10*time.Millisecond, s.live.Load().delays.interval)
	s.Set(Live{})
	require.Nil(t, s.live.Load().rate)
	require.Zero(t, s.live.Load().delays.interval)
}
