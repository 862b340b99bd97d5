package redis

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/redisrig"
)

// BenchmarkCommands: 64 callers, beside redis-benchmark with as many connections.
func BenchmarkCommands(b *testing.B) {
	server := redisrig.Single(b)
	s := openWith(b, Options{Address: []string{server.Addr}}).Shards()[0]
	publish := Command("PUBLISH", []string{"c"}, "0123456789012345678901234567890123456789")
	b.Run("each", func(b *testing.B) {
		hammer(b, func(ctx context.Context) error { return s.Do(ctx, publish).Err() })
	})
	b.Run("batched", func(b *testing.B) {
		hammer(b, func(ctx context.Context) error { return s.DoBatched(ctx, time.Second, publish).Err() })
		counts := s.Stats()
		b.ReportMetric(float64(counts.Batched)/float64(counts.Batches), "commands/batch")
	})
	b.Run("redis-benchmark", func(b *testing.B) {
		out, err := exec.Command("redis-benchmark", "-p", fmt.Sprint(server.Port), "-P", "1", "-c", "64", "-n", fmt.Sprint(max(b.N, 1000)), "-q",
			"PUBLISH", "c", "0123456789012345678901234567890123456789").CombinedOutput()
		require.NoError(b, err)
		lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(string(out)), "\r", "\n"), "\n")
		b.Log(lines[len(lines)-1])
	})
}

// hammer lets 64 callers make b.N calls, and reports the CPU of this process for each.
func hammer(b *testing.B, call func(ctx context.Context) error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	before := cpuTime(b)
	for range 64 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			for left.Add(-1) >= 0 {
				if err := call(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type countHandler struct{ n atomic.Int64 }

func (h *countHandler) Message(_, _ []byte) { h.n.Add(1) }
func (h *countHandler) Lost(*Part, error)   {}
func (h *countHandler) Back(*Part, bool)    {}

// BenchmarkReader: messages to one reader, published in pipelines.
func BenchmarkReader(b *testing.B) {
	server := redisrig.Single(b)
	s := openWith(b, Options{Address: []string{server.Addr}}).Shards()[0]
	h := &countHandler{}
	r := s.NewReader("bench", h)
	require.NoError(b, r.Subscribe(soon(b), "c"))
	flood := NewScript("flood", "for i = 1, 1000 do redis.call('PUBLISH', 'c', ARGV[1]) end")
	payload := strings.Repeat("x", 128)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 1000 {
		require.NoError(b, s.Do(soon(b), flood.Cmd(nil, payload)).Err())
	}
	require.NoError(b, r.Marker(soon(b)))
	b.StopTimer()
	b.ReportMetric(float64(h.n.Load())/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkSubscribe: 100,000 channels, at first and after the connection was lost.
func BenchmarkSubscribe(b *testing.B) {
	server := redisrig.Single(b)
	s := openWith(b, Options{Address: []string{server.Addr}}).Shards()[0]
	var names []string
	for i := range 100_000 {
		names = append(names, fmt.Sprintf("centrifugo.client.room:%d", i))
	}
	h := &recorder{}
	r := s.NewReader("bench", h)
	var first, second, single time.Duration
	for range b.N {
		started := time.Now()
		require.NoError(b, r.Subscribe(soon(b), names...))
		first += time.Since(started)
		backs := h.count("back")
		started = time.Now()
		server.KillPubSub(b)
		h.await(b, "back", backs+1)
		second += time.Since(started)
		require.NoError(b, r.Unsubscribe(soon(b), names...))
		started = time.Now()
		var wg sync.WaitGroup
		for i := range 1000 { // as connects do: a few channels each
			wg.Go(func() {
				if err := r.Subscribe(soon(b), names[100*i:100*i+100]...); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		single += time.Since(started)
		require.NoError(b, r.Unsubscribe(soon(b), names...))
	}
	b.ReportMetric(first.Seconds()/float64(b.N), "s/subscribe")
	b.ReportMetric(second.Seconds()/float64(b.N), "s/again")
	b.ReportMetric(single.Seconds()/float64(b.N), "s/1000-callers")
}
