package memory

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
)

// BenchmarkMillionChannels measures what a channel costs in memory, and what a
// sweep over channels that are not due costs:
//
//	go test -run '^$' -bench MillionChannels -benchtime 1x ./gateway/broker/memory
func BenchmarkMillionChannels(b *testing.B) {
	const channels = 1_000_000
	f := func(name string, publish bool) {
		b.Run(name, func(b *testing.B) {
			data, err := codec.Compact([]byte(`"`+strings.Repeat("x", 126)+`"`), codec.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 100, TTL: time.Hour}}
			for range b.N {
				e := New(Options{EmptyMax: channels})
				e.sink = &discard{}
				before := heapInUse()
				for i := range channels {
					ch := fmt.Sprintf("news:%07d", i)
					if publish {
						_, err = e.Publish(b.Context(), ch, &codec.Publication{Data: data}, opt)
					} else {
						_, _, err = broker.Read(b.Context(), e, broker.HistoryQuery{Channel: ch})
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heapInUse()-before)/channels, "B/channel")
				began := time.Now()
				e.sweep()
				b.ReportMetric(float64(time.Since(began).Nanoseconds()), "ns/sweep")
				runtime.KeepAlive(e)
			}
		})
	}
	f("position_only", false)
	f("one_publication", true)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// discard is a sink that keeps nothing.
type discard struct{ broker.Sink }

func (*discard) Publication(string, *codec.Publication, *codec.Publication, *broker.Credit) {}

func BenchmarkPublish(b *testing.B) {
	for _, history := range []broker.HistoryOptions{{}, {Size: 100, TTL: time.Hour}} {
		b.Run(fmt.Sprint("history_", history.Size), func(b *testing.B) {
			e := New(Options{})
			e.sink = &discard{}
			data := codec.QuoteJSON("x")
			b.ReportAllocs()
			for b.Loop() {
				p := &codec.Publication{Data: data}
				if _, err := e.Publish(b.Context(), "news", p, broker.PublishOptions{History: history}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMillionResults measures what an idempotency key costs in memory.
func BenchmarkMillionResults(b *testing.B) {
	const results = 1_000_000
	for range b.N {
		e := New(Options{ResultsMax: results})
		e.sink = &discard{}
		p := &codec.Publication{Data: codec.QuoteJSON("x")}
		before := heapInUse()
		for i := range results {
			_, err := e.Publish(b.Context(), "news:"+fmt.Sprint(i%1000), p, broker.PublishOptions{IdempotencyKey: fmt.Sprintf("%036d", i)})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heapInUse()-before)/results, "B/result")
		runtime.KeepAlive(e)
	}
}
