package redis

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	rds "sluice/gateway/redis"
	"sluice/gateway/testkit/redisrig"
)

// An epoch that a channel did not take is offered again; one that was taken, or may have been,
// never is.
func TestAnEpochIsOfOneLifeOfOneChannel(t *testing.T) {
	server := redisrig.Single(t)
	n := started(t, rds.Options{Address: []string{server.Addr}}, Options{ProbeEvery: time.Hour})
	var mu sync.Mutex
	made := 0
	n.newEpoch = func() string { mu.Lock(); defer mu.Unlock(); made++; return "epoch" + strconv.Itoa(made) }
	var seen sync.Map
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for life := range 20 {
				ch := "c" + strconv.Itoa(c)
				first := n.publish(ch, "1").Epoch
				if _, before := seen.LoadOrStore(first, ch); before {
					t.Errorf("channel %s, life %d: epoch %s had been of another", ch, life, first)
				}
				for range 3 {
					if again := n.publish(ch, "2").Epoch; again != first {
						t.Errorf("epoch %s expected, got %s", first, again)
					}
				}
				server.Do(t, "DEL", n.links[0].keys.StreamMeta(ch))
			}
		})
	}
	wg.Wait()

	// The outcome is unknown: whatever was offered may have been taken.
	offered := n.epochs.take(n.newEpoch)
	n.epochs.put(offered)
	server.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	n.epochs.fresh = true // none of before
	n.newEpoch = func() string { return "doubtful" }
	_, err := n.Publish(ctx, "d", &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{History: kept})
	require.ErrorIs(t, err, broker.ErrUnknown)
	server.Thaw(t)
	n.epochs.fresh = false
	for range 100 {
		require.NotEqual(t, "doubtful", n.epochs.take(func() string { return "new" }).text)
	}
}

func TestTextsOfHistoryOptionsAreBounded(t *testing.T) {
	var k keptTexts
	for range 3 {
		for i := range 2 * mostTexts {
			h := broker.HistoryOptions{Size: i + 1, TTL: 1500 * time.Millisecond}
			require.Equal(t, keptText{strconv.Itoa(i + 1), "1", "2592000"}, k.of(h))
			require.Equal(t, k.of(h), k.of(h))
		}
		require.LessOrEqual(t, len(*k.known.Load()), mostTexts)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { k.of(broker.HistoryOptions{Size: 2 * mostTexts, TTL: 1500 * time.Millisecond}) }))
}
