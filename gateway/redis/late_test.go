package redis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// A command that its caller was told nothing happened of must not be sent when the connection that it
// waited for is there at last.
func TestWhatWasNotExecutedIsNotExecutedLater(t *testing.T) {
	server := redisrig.Shared(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}, ConnectTimeout: 20 * time.Second}).Shards()[0]
	key := s.Keys().Own("n")
	defer server.Do(t, "DEL", key)
	require.NoError(t, s.Do(soon(t), Command("SET", []string{key}, "0")).Err())
	proxy.Stall(true)
	proxy.Cut()
	testkit.Eventually(t, func() bool { _, open := s.dial.connections(); return open == 0 }, "the connection to be gone")
	err := s.Do(within(t, 300*time.Millisecond), Command("INCR", []string{key})).Err()
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, s.DoBatched(soon(t), 300*time.Millisecond, Command("INCR", []string{key})).Err(), ErrUnavailable)
	patient := make(chan error, 1)
	go func() { patient <- s.DoBatched(soon(t), time.Minute, Command("APPEND", []string{key}, "!")).Err() }()
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == 3 }, "the attempts")
	proxy.Stall(false)
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == 0 }, "the attempts to end")
	require.NoError(t, <-patient)
	require.NoError(t, s.Do(soon(t), Command("PING", nil).Repeatable()).Err())
	require.Equal(t, "0!", server.Do(t, "GET", key))
}

// That a command may be run twice does not mean that nothing happened.
func TestWhatMayBeRunTwiceIsNotToldAsNotDone(t *testing.T) {
	server := redisrig.Shared(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}}).Shards()[0]
	key := s.Keys().Own("n")
	defer server.Do(t, "DEL", key)
	set := Command("SET", []string{key}, "1").Repeatable()
	require.NoError(t, s.Do(soon(t), set).Err())
	proxy.Mute(true)
	require.ErrorIs(t, s.Do(within(t, 300*time.Millisecond), set).Err(), ErrUnknown)
	require.ErrorIs(t, s.Do(within(t, 300*time.Millisecond), Command("GET", []string{key}).Reading()).Err(), ErrUnavailable)
	// It was sent, the connection broke, and there is no other one until the deadline.
	writes, reads := make(chan error, 1), make(chan error, 1)
	go func() { writes <- s.Do(within(t, time.Second), set).Err() }()
	go func() { reads <- s.Do(within(t, time.Second), Command("GET", []string{key}).Reading()).Err() }()
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == 4 }, "two commands more under way")
	proxy.Refuse(t, true)
	proxy.Cut()
	require.ErrorIs(t, <-writes, ErrUnknown)
	require.ErrorIs(t, <-reads, ErrUnavailable)
}
