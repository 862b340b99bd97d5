package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// Each caller of a batch has the answer to its own command, also where scripts are missing and
// where the command of another is refused.
func TestCallersOfABatchHaveTheirOwnAnswers(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	echo := NewScript("echo", "redis.call('INCR', KEYS[1]) return ARGV[1]")
	const callers, each = 100, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if c%10 == 9 {
					if err := s.DoBatched(soon(t), time.Minute, Command("NOSUCH", nil)).Err(); !errors.Is(err, ErrRefused) {
						t.Errorf("a refusal expected, got %v", err)
					}
					continue
				}
				want := strconv.Itoa(c*each + i)
				got, err := s.DoBatched(soon(t), time.Minute, echo.Cmd([]string{"n"}, want)).Text()
				if err != nil || got != want {
					t.Errorf("%s expected, got %q, %v", want, got, err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, strconv.Itoa(callers*each*9/10), server.Do(t, "GET", "n"), "each once")
	stats := s.Stats()
	require.Zero(t, stats.UnderWay)
	require.GreaterOrEqual(t, stats.Batched, uint64(callers*each))
	require.Less(t, stats.Batches, stats.Batched, "some went together")
}

// The commands of one caller keep their order, as each waits for its answer.
func TestBatchesKeepTheOrderOfACaller(t *testing.T) {
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}}).Shards()[0]
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for i := range 50 {
				if err := s.DoBatched(soon(t), time.Minute, Command("RPUSH", []string{"k" + strconv.Itoa(c)}, strconv.Itoa(i))).Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for c := range 32 {
		items, err := s.Do(soon(t), Command("LRANGE", []string{"k" + strconv.Itoa(c)}, "0", "-1")).Array()
		require.NoError(t, err)
		require.Len(t, items, 50)
		for i, item := range items {
			n, err := item.Int()
			require.NoError(t, err)
			require.EqualValues(t, i, n)
		}
	}
}

// A server that does not answer holds nobody beyond its deadline; what waited behind the
// batches under way was not sent, and says so; nothing that waited is executed later.
func TestAFrozenServerAndBatches(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}, ConnectTimeout: 300 * time.Millisecond, IOTimeout: 20 * time.Second}).Shards()[0]
	require.NoError(t, s.Do(soon(t), Command("SET", []string{"n"}, "0")).Err())
	server.Freeze(t)
	started := time.Now()
	var unknown, unavailable atomic.Int64
	var wg sync.WaitGroup
	for i := range 3 * mostUnderWay {
		wg.Go(func() {
			ctx, wait := within(t, time.Hour), 100*time.Millisecond
			if i%2 == 0 { // either bound counts
				ctx, wait = within(t, 100*time.Millisecond), time.Hour
			}
			err := s.DoBatched(ctx, wait, Command("INCR", []string{"n"})).Err()
			switch {
			case errors.Is(err, ErrUnknown):
				unknown.Add(1)
			case errors.Is(err, ErrUnavailable):
				unavailable.Add(1)
			default:
				t.Errorf("an error expected, got %v", err)
			}
		})
	}
	wg.Wait()
	require.Less(t, time.Since(started), 15*time.Second)
	require.Positive(t, unknown.Load())
	require.Positive(t, unavailable.Load())
	require.LessOrEqual(t, s.Stats().UnderWay, mostBatches*mostTogether, "who gave up has no place any more")
	server.Thaw(t)
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == 0 }, "the batches to end")
	n, err := s.Do(soon(t), Command("GET", []string{"n"})).Int()
	require.NoError(t, err)
	require.LessOrEqual(t, n, unknown.Load())
	require.NoError(t, s.DoBatched(soon(t), time.Minute, Command("INCR", []string{"n"})).Err())
}

// A connection on which nothing is answered is left, though all callers gave up before that.
func TestABatchNobodyAnswers(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	s := openWith(t, Options{Address: []string{server.Addr}, ConnectTimeout: 300 * time.Millisecond, IOTimeout: 500 * time.Millisecond}).Shards()[0]
	require.NoError(t, s.Do(soon(t), Command("PING", nil)).Err())
	dials := s.Stats().Dials
	server.Freeze(t)
	stop, end := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for stop.Err() == nil {
				_ = s.DoBatched(stop, 50*time.Millisecond, Command("INCR", []string{"n"})).Err()
			}
		})
	}
	testkit.Eventually(t, func() bool { return s.Stats().Dials > dials }, "another connection")
	server.Thaw(t)
	testkit.Eventually(t, func() bool { return s.DoBatched(stop, time.Minute, Command("PING", nil)).Err() == nil }, "an answer")
	end()
	wg.Wait()
}

// What succeeded was executed, what was unavailable was not, wherever connections are cut.
func TestNoFalseSuccessOfABatch(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}}).Shards()[0]
	proxy.CutRandomly(11, 4000)
	count := NewScript("count", "return redis.call('INCR', KEYS[1])")
	var done, unknown atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 100 {
				err := s.DoBatched(within(t, time.Minute), 10*time.Second, count.Cmd([]string{"n"})).Err()
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, ErrUnknown):
					unknown.Add(1)
				}
			}
		})
	}
	wg.Wait()
	proxy.CutAfter(tcpproxy.ToClient, 1<<40) // enough
	n, err := strconv.ParseInt(server.Do(t, "GET", "n").(string), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, done.Load())
	require.LessOrEqual(t, n, done.Load()+unknown.Load())
	require.Positive(t, done.Load())
	require.Positive(t, unknown.Load())
}

func TestClosingEndsBatches(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	r := openWith(t, Options{Address: []string{server.Addr}, IOTimeout: time.Second})
	s := r.Shards()[0]
	require.NoError(t, s.Do(soon(t), Command("PING", nil)).Err())
	server.Freeze(t)
	errs := make(chan error, 500)
	for range cap(errs) {
		go func() { errs <- s.DoBatched(soon(t), time.Minute, Command("INCR", []string{"n"})).Err() }()
	}
	testkit.Eventually(t, func() bool { return s.Stats().UnderWay == cap(errs) }, "callers")
	r.Close()
	for range cap(errs) {
		require.Error(t, <-errs)
	}
}
