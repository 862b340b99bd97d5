package redis

import (
	"fmt"
	"testing"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

func benchEngine(b *testing.B, server *redisrig.Server) *Engine {
	e := New(Options{Redis: opened(b, rds.Options{Address: []string{server.Addr}, Prefix: redisrig.Prefix(b)}), Wait: 20 * time.Second, CallWait: time.Minute})
	if err := e.Start(brokertest.NewSink()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close(b.Context()) })
	testkit.Eventually(b, func() bool { return e.Ready() == nil }, "the engine to be ready")
	return e
}

// BenchmarkPublish is what a publication costs with 64 publishers at once; compare with
// redis-benchmark -P 1 -c 64 of the same script:
//
//	go test -run '^$' -bench Publish ./gateway/broker/redis
func BenchmarkPublish(b *testing.B) {
	f := func(name string, opt broker.PublishOptions) {
		b.Run(name, func(b *testing.B) {
			e := benchEngine(b, redisrig.Shared(b))
			b.ReportAllocs()
			b.ResetTimer()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := e.Publish(b.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("0123456789")}, opt); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	f("history", broker.PublishOptions{History: kept})
	f("plain", broker.PublishOptions{})
}

// BenchmarkManyChannels measures 100,000 channels with a position: their subscriptions, their
// first reads, and their comparisons after the connection was lost.
//
//	go test -run '^$' -bench ManyChannels -benchtime 1x ./gateway/broker/redis
func BenchmarkManyChannels(b *testing.B) {
	const many = 100_000
	server := redisrig.Single(b)
	e := benchEngine(b, server)
	names := make([]string, many)
	queries := make([]broker.HistoryQuery, many)
	for i := range names {
		names[i] = fmt.Sprintf("news:%06d", i)
		queries[i] = broker.HistoryQuery{Channel: names[i], MetaTTL: time.Hour}
	}
	for range b.N {
		began := time.Now()
		if err := e.Subscribe(b.Context(), names); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/subscribe")
		began = time.Now()
		for _, h := range e.Histories(b.Context(), queries) {
			if h.Err != nil {
				b.Fatal(h.Err)
			}
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/read")
		began = time.Now()
		server.KillPubSub(b)
		testkit.Eventually(b, func() bool { return e.Stats().Shards[0].Resynced >= many }, "the comparisons")
		b.ReportMetric(time.Since(began).Seconds(), "s/compare")
		began = time.Now()
		if err := e.Unsubscribe(b.Context(), names); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/unsubscribe")
	}
}
