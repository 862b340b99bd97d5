package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

func TestCommands(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Shared(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	require.NoError(t, s.Ready())
	key := s.Keys().Own("k")
	defer server.Do(t, "DEL", key)

	text, err := s.Do(soon(t), Command("SET", []string{key}, "\x00\r\n1")).Text()
	require.NoError(t, err)
	require.Equal(t, "OK", text)
	text, err = s.Do(soon(t), Command("GET", []string{key})).Text()
	require.NoError(t, err)
	require.Equal(t, "\x00\r\n1", text)
	missing := s.Do(soon(t), Command("GET", []string{key + "x"}))
	require.True(t, missing.IsNil())
	_, err = missing.Text()
	require.ErrorIs(t, err, ErrNil)

	reply := s.Do(soon(t), Command("LPUSH", []string{key}, "a"))
	require.ErrorIs(t, reply.Err(), ErrRefused)
	require.ErrorContains(t, reply.Err(), "WRONGTYPE")
	require.ErrorIs(t, s.Do(soon(t), Cmd{}).Err(), ErrRefused)
	require.ErrorIs(t, s.Do(soon(t), Command("SUBSCRIBE", []string{"x"})).Err(), ErrRefused)

	hash := key + "h"
	defer server.Do(t, "DEL", hash)
	replies := s.DoMulti(soon(t), Command("HSET", []string{hash}, "f", "7"), Command("HGETALL", []string{hash}),
		Command("NOSUCH", nil), Command("HGET", []string{hash}, "f"))
	items, err := replies[1].Array()
	require.NoError(t, err)
	require.Len(t, items, 2)
	name, err := items[0].Text()
	require.NoError(t, err)
	require.Equal(t, "f", name)
	require.ErrorIs(t, replies[2].Err(), ErrRefused)
	n, err := replies[3].Int()
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	version, ok := s.Server()
	require.True(t, ok)
	require.True(t, version.AtLeast(5, 0) && !version.AtLeast(99, 0))
}

func TestScriptsAreLoadedWhereTheyAreMissing(t *testing.T) {
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	count := NewScript("count", "return {redis.call('INCR', KEYS[1]), ARGV[1]}")
	for i := range 3 {
		items, err := s.Do(soon(t), count.Cmd([]string{"n"}, "x")).Array()
		require.NoError(t, err)
		n, err := items[0].Int()
		require.NoError(t, err)
		require.EqualValues(t, i+1, n)
	}
	server.Do(t, "SCRIPT", "FLUSH")
	replies := s.DoMulti(soon(t), count.Cmd([]string{"n"}, "a"), Command("GET", []string{"other"}), count.Cmd([]string{"n"}, "b"))
	for i, want := range []int64{4, 0, 5} {
		require.NoError(t, replies[i].Err())
		if want > 0 {
			items, err := replies[i].Array()
			require.NoError(t, err)
			n, err := items[0].Int()
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
	}
	require.ErrorIs(t, s.Do(soon(t), NewScript("bad", "return redis.call('GET')").Cmd(nil)).Err(), ErrRefused)
}

func TestAnOutageIsWaitedOutWithinTheDeadline(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	server.Stop(t)
	r := openWith(t, Options{Address: []string{server.Addr}, ConnectTimeout: 200 * time.Millisecond})
	s := r.Shards()[0]
	require.ErrorIs(t, s.Ready(), ErrUnavailable)

	err := s.Do(within(t, 100*time.Millisecond), Command("INCR", []string{"n"})).Err()
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, server.Addr)

	replies := make(chan Reply, 100)
	for range cap(replies) {
		go func() { replies <- s.Do(soon(t), Command("INCR", []string{"n"})) }()
	}
	testkit.Eventually(t, func() bool { return s.Stats().Waiting == cap(replies) }, "callers that wait")
	server.Start(t)
	for range cap(replies) {
		require.NoError(t, (<-replies).Err())
	}
	require.Equal(t, strconv.Itoa(cap(replies)), server.Do(t, "GET", "n"))
	require.NoError(t, s.Ready())
}

func TestAFrozenServerHoldsNobodyBeyondItsDeadline(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}, ConnectTimeout: 300 * time.Millisecond, IOTimeout: 500 * time.Millisecond}).Shards()[0]
	require.NoError(t, s.Do(soon(t), Command("SET", []string{"n"}, "0")).Err())
	server.Freeze(t)
	started := time.Now()
	var wg sync.WaitGroup
	errs := make(chan error, 3*mostUnderWay) // more than rueidis has places for
	for range cap(errs) {
		wg.Go(func() {
			errs <- s.Do(within(t, 100*time.Millisecond), Command("INCR", []string{"n"})).Err()
		})
	}
	wg.Wait()
	require.Less(t, time.Since(started), 10*time.Second)
	close(errs)
	kinds := map[error]int{}
	for err := range errs {
		for _, kind := range []error{ErrUnavailable, ErrUnknown, ErrRefused} {
			if errors.Is(err, kind) {
				kinds[kind]++
			}
		}
	}
	require.Positive(t, kinds[ErrUnknown]) // how many were sent in time depends on the machine
	require.Positive(t, kinds[ErrUnavailable])
	require.Equal(t, cap(errs), kinds[ErrUnavailable]+kinds[ErrUnknown])
	// Without a deadline of the caller the io_timeout counts.
	require.Error(t, s.Do(within(t, time.Hour), Command("INCR", []string{"n"})).Err())
	require.Less(t, time.Since(started), 20*time.Second)
	server.Thaw(t)
	require.NoError(t, s.Do(soon(t), Command("GET", []string{"n"}).Repeatable()).Err())
}

func TestABrokenConnectionLeavesTheOutcomeUnknown(t *testing.T) {
	server := redisrig.Shared(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}}).Shards()[0]
	key := s.Keys().Own("n")
	defer server.Do(t, "DEL", key)
	require.NoError(t, s.Do(soon(t), Command("SET", []string{key}, "1")).Err())
	proxy.Stall(true)
	once, again := make(chan error, 1), make(chan error, 1)
	go func() { once <- s.Do(soon(t), Command("INCR", []string{key})).Err() }()
	go func() { again <- s.Do(soon(t), Command("GET", []string{key}).Repeatable()).Err() }()
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == 2 }, "commands under way")
	proxy.Cut()
	proxy.Stall(false)
	require.ErrorIs(t, <-once, ErrUnknown)
	require.NoError(t, <-again)
}

func TestAReplicaIsLeft(t *testing.T) {
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	require.NoError(t, s.Do(soon(t), Command("SET", []string{"n"}, "1")).Err())
	server.ReadOnly(t)
	err := s.Do(within(t, 300*time.Millisecond), Command("SET", []string{"n"}, "2")).Err()
	require.ErrorIs(t, err, ErrUnavailable)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, ReasonReadonly, e.Reason)
	require.Error(t, s.Ready())
	server.Writable(t)
	require.NoError(t, s.Do(soon(t), Command("SET", []string{"n"}, "3")).Err())
}

func TestClosingEndsWhoWaits(t *testing.T) {
	testkit.Snapshot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer listener.Close()
	r := openWith(t, Options{Address: []string{listener.Addr().String()}, ConnectTimeout: 50 * time.Millisecond})
	done := make(chan error, 1)
	go func() { done <- r.Shards()[0].Do(soon(t), Command("GET", []string{"x"})).Err() }()
	testkit.Eventually(t, func() bool { return r.Shards()[0].Stats().Waiting == 1 }, "a caller that waits")
	r.Close()
	require.ErrorIs(t, <-done, ErrUnavailable)
}

func TestWhatWaitsIsBounded(t *testing.T) {
	s := openWith(t, Options{Address: []string{"127.0.0.1:1"}, ConnectTimeout: 100 * time.Millisecond}).Shards()[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	errs := make(chan error, mostWaiting+100)
	for range cap(errs) {
		go func() { errs <- s.Do(ctx, Command("GET", []string{"x"})).Err() }()
	}
	for range 100 { // those that are too many, at once
		var e *Error
		require.ErrorAs(t, <-errs, &e)
		require.Equal(t, ReasonBusy, e.Reason)
		require.ErrorIs(t, e, ErrUnavailable)
	}
	cancel()
	for range mostWaiting {
		require.ErrorIs(t, <-errs, ErrUnavailable)
	}
}
