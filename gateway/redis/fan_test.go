package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

func TestShardedPubSubFollowsItsSlots(t *testing.T) {
	testkit.Snapshot(t)
	cluster := redisrig.Cluster(t)
	r := openWith(t, Options{ClusterAddress: []string{cluster.Masters[2].Addr}, Prefix: "p", ShardedPubSub: true})
	s := r.Shards()[0]
	require.True(t, s.Sharded())
	h := &recorder{}
	reader := s.NewReader("test", h)
	var names []string
	for i := range 300 {
		names = append(names, s.Keys().Client(fmt.Sprint(i)))
	}
	require.NoError(t, reader.Subscribe(soon(t), names...))
	h.await(t, "back", 3) // a part for each master
	published := 0
	publish := func() {
		t.Helper()
		require.NoError(t, reader.Marker(soon(t)))
		published++
		for _, name := range names {
			require.NoError(t, s.Do(soon(t), Command("SPUBLISH", []string{name}, fmt.Sprint(published))).Err())
		}
		require.NoError(t, reader.Marker(soon(t)))
		for _, name := range names {
			require.Equal(t, 1, h.count(name+" "+fmt.Sprint(published)), name)
		}
	}
	publish()
	require.Equal(t, 3, h.count("back"))
	require.Equal(t, 1, h.count("whole"))

	slot := cluster.Slot(t, names[0])
	to := cluster.Masters[0]
	if cluster.Owner(t, slot) == to {
		to = cluster.Masters[1]
	}
	cluster.MigrateSlot(t, slot, to, func() {})
	h.await(t, "lost", 2) // the slots of two masters are others
	h.await(t, "back", 5)
	h.await(t, "whole", 2)
	require.Equal(t, 2, h.count("lost"))
	publish()
	require.NoError(t, reader.Unsubscribe(soon(t), names[1:]...))
	require.NoError(t, s.Do(soon(t), Command("SPUBLISH", []string{names[1]}, "no")).Err())
	require.NoError(t, reader.Marker(soon(t)))
	require.Zero(t, h.count(names[1]+" no"))
	stats := reader.Stats()
	require.True(t, stats.Live && stats.Channels == 1 && stats.Messages == uint64(2*len(names)), "%+v", stats)
}

// A marker vouches for nothing if a slot was found to have moved before it came.
func TestAMarkerDoesNotVouchForASlotThatMoved(t *testing.T) {
	cluster := redisrig.Cluster(t)
	r := openWith(t, Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}, ShardedPubSub: true, IOTimeout: 10 * time.Second, ProbeInterval: time.Hour})
	s := r.Shards()[0]
	h := &recorder{}
	reader := s.NewReader("test", h)
	from, to := cluster.Masters[0], cluster.Masters[1]
	var names []string // two channels of the same master
	for i := 0; len(names) < 2; i++ {
		if name := s.Keys().Client(fmt.Sprint(i)); cluster.Owner(t, cluster.Slot(t, name)) == from {
			names = append(names, name)
		}
	}
	require.NoError(t, reader.Subscribe(soon(t), names...))
	h.await(t, "whole", 1)
	h.mu.Lock()
	h.block, h.entry = make(chan struct{}), make(chan struct{}, 1)
	h.mu.Unlock()
	from.Do(t, "SPUBLISH", names[0], "held up")
	<-h.entry
	cluster.MigrateSlot(t, cluster.Slot(t, names[1]), to, nil) // of which the connection tells behind that
	to.Do(t, "SPUBLISH", names[1], "unheard")
	published := func() int {
		return strings.Count(fmt.Sprint(from.Do(t, "INFO", "commandstats")), "cmdstat_spublish:calls=1,")
	}
	require.Equal(t, 1, published())
	marker := make(chan error, 1)
	go func() { marker <- reader.Marker(soon(t)) }()
	testkit.Eventually(t, func() bool { return published() == 0 }, "the marker to be behind both")
	h.mu.Lock()
	close(h.block)
	h.block = nil
	h.mu.Unlock()
	if err := <-marker; err == nil {
		require.Positive(t, h.count("lost"), "what the marker vouches for was neither delivered nor lost")
	}
	h.await(t, "whole", 2)
	require.NoError(t, reader.Marker(soon(t)))
}

// late is a handler to whom it takes time that a part is back, as it does with many channels.
type late struct{ recorder }

func (h *late) Back(p *Part, whole bool) {
	time.Sleep(100 * time.Millisecond)
	h.recorder.Back(p, whole)
}

// Slots that move one after another leave a node that has many channels time for these.
func TestSlotsThatMoveOneAfterAnotherAreGathered(t *testing.T) {
	cluster := redisrig.Cluster(t)
	s := openWith(t, Options{ClusterAddress: []string{strings.Join(cluster.Addrs(), ",")}, ShardedPubSub: true}).Shards()[0]
	h := &late{}
	reader := s.NewReader("test", h)
	from, to := cluster.Masters[0], cluster.Masters[1]
	var names []string // of the same master
	for i := 0; len(names) < 2; i++ {
		if name := s.Keys().Client(fmt.Sprint(i)); cluster.Owner(t, cluster.Slot(t, name)) == from {
			names = append(names, name)
		}
	}
	require.NoError(t, reader.Subscribe(soon(t), names...))
	for i, name := range names {
		h.await(t, "whole", 1+i)
		whole := time.Now()
		cluster.MigrateSlot(t, cluster.Slot(t, name), to, nil)
		h.await(t, "lost", 1+2*i)
		if i > 0 {
			require.Greater(t, time.Since(whole), 400*time.Millisecond, "the parts took 100 ms to come back")
		}
	}
	h.await(t, "whole", 3)
	require.NoError(t, reader.Marker(soon(t)))
}
