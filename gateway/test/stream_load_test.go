package test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Whoever reads as fast as it can is closed by no burst, and misses nothing of
// it: however large its parts are, and whether publishers wait for answers.
func TestABurstClosesNobodyWhoReads(t *testing.T) {
	f := func(name string, streams, publishers, each int, what func(p, n int) put) {
		t.Run(name, func(t *testing.T) { burstToReaders(t, scaled(streams), publishers, each, what) })
	}
	f("150 B", 150, 16, 100, always(150))
	f("16 KiB", 150, 16, 20, always(16<<10))
	f("1 MiB", 50, 8, 1, always(1<<20))
	f("mixed", 50, 8, 13, mixed)
}

func burstToReaders(t *testing.T, streams, publishers, each int, what func(p, n int) put) {
	loopModes(t, func(t *testing.T, open bool) {
		s := startBurst(t, parts{client: `, "queue_max_age": "2m"`})
		c := s.crowd(t, streams, subscribeTarget([]string{"news"}))
		acks := s.burst(t, burst{publishers, each, open, what})
		expectTaken(t, acks)
		s.expectAll(t, c, acks)
		s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
		require.Empty(t, s.closes())
	})
}

// A frame is one and the same for all streams, and its bytes count once for what
// the node may hold.
func TestFramesOfManyStreamsCountOnceForTheNode(t *testing.T) {
	const each = 40
	streams := 50
	loopModes(t, func(t *testing.T, open bool) {
		s := startBurst(t, parts{
			client: `, "queue_max_age": "1h", "queues_max_total": 16777216`,
			api:    `, "publish_inflight_max_bytes": 262144`, // which those that do not read must not hold
		})
		healthy := s.crowd(t, scaled(50), subscribeTarget([]string{"news"}))
		lagging := s.stalled(t, streams, subscribeTarget([]string{"news"}))
		acks := s.burst(t, burst{4, each / 4, open, always(16 << 10)}) // 640 KiB for each stream
		expectTaken(t, acks)
		s.expectAll(t, healthy, acks)
		require.Empty(t, s.closes(), "640 KiB in all, and as much for each stream, is no reason")
		for _, f := range lagging { // they come back to life, and have missed nothing
			go f.read(nil)
		}
		t.Cleanup(lagging.close)
		s.expectAll(t, lagging, acks)
		s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
	})
}

// One stream in ten does not read: it is slow, by bytes here, and nobody else
// is; metrics tell who ended for what. Publishers wait for none of them.
func TestABurstEndsOnlyTheStreamsThatDoNotRead(t *testing.T) {
	loopModes(t, func(t *testing.T, open bool) {
		s := startBurst(t, parts{
			client: `, "queue_max_age": "1h"`,
			api:    `, "publish_inflight_max_bytes": 524288`, // which those that do not read must not hold
		})
		streams := scaled(100)
		c := s.crowd(t, streams, subscribeTarget([]string{"news"}))
		lagging := s.stalled(t, streams/10, subscribeTarget([]string{"news"}))
		acks := s.burst(t, burst{16, 12, open, always(16 << 10)}) // 3 MiB
		expectTaken(t, acks)
		s.expectAll(t, c, acks)
		slow := float64(len(lagging))
		testkit.Eventually(t, func() bool { return s.scrape(t)[`stream_closes_total{reason="slow_bytes"}`] == slow },
			"those that do not read to be slow")
		s.expectOnlySlow(t, len(lagging))
		s.expectAll(t, c, acks)
		lagging.expectSlow(t)
		s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
	})
}

// Clients that trickle arrive for as long as a burst lasts, and each of them is waited
// for a moment: nobody who reads is closed with them, and the burst comes to its end.
func TestClientsThatTrickleEndNobodyWhoReads(t *testing.T) {
	loopModes(t, func(t *testing.T, open bool) {
		s := startBurst(t, parts{client: `, "queue_max_age": "2m"`})
		target := subscribeTarget([]string{"news"})
		c := s.crowd(t, scaled(60), target)
		stop := s.everyNow(target)
		acks := s.burst(t, burst{2, scaled(100), open, mixed})
		came := stop()
		expectTaken(t, acks)
		s.expectAll(t, c, acks)
		for _, f := range came {
			_ = f.conn.Close()
		}
		t.Logf("%d clients that trickle came; closed: %v", len(came), s.closes())
		s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
	})
}

// everyNow opens a stream of a client that trickles every 50 ms until stop, which
// returns those that came.
func (s *server) everyNow(target string) (stop func() crowd) {
	var (
		mu    sync.Mutex
		came  crowd
		wg    sync.WaitGroup
		ended = make(chan struct{})
	)
	come := func() { // in a burst it takes a while
		if f, err := follow(s.addr, target, 0, ""); err == nil {
			mu.Lock()
			came = append(came, f)
			mu.Unlock()
			go trickle(f.conn)
		}
	}
	wg.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				wg.Go(come)
			case <-ended:
				tick.Stop()
				return
			}
		}
	})
	return func() crowd {
		close(ended)
		wg.Wait()
		return came
	}
}

// trickle takes 2 KiB 50 times a second until its connection ends.
func trickle(conn net.Conn) {
	buf := make([]byte, 2048)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if _, err := conn.Read(buf); err != nil {
			tick.Stop()
			return
		}
	}
}

// Streams that do not read and have little queued end when that is too old.
func TestStreamsThatDoNotReadEndByAge(t *testing.T) {
	s := startBurst(t, parts{client: `, "queue_max_age": "1s"`})
	c := s.crowd(t, 5, subscribeTarget([]string{"news"}))
	lagging := s.stalled(t, 5, subscribeTarget([]string{"news"}))
	acks := s.burst(t, burst{1, 40, false, always(16 << 10)})
	expectTaken(t, acks)
	testkit.Eventually(t, func() bool { return s.closes()["slow_age"] == 5 }, "those that do not read to be slow")
	s.expectOnlySlow(t, 5)
	s.expectAll(t, c, acks)
	lagging.expectSlow(t)
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
}

// Where the wait for room is short, a publisher that asks for more than the node
// can write is refused with error 100: what was acknowledged reaches everybody,
// what was refused nobody.
func TestPublishersArePacedByWhatTheNodeCanWrite(t *testing.T) {
	s := startBurst(t, parts{
		client: `, "queue_max_age": "2m"`,
		api:    `, "publish_inflight_max_bytes": 131072, "publish_wait": "1ms"`,
	})
	c := s.crowd(t, scaled(200), subscribeTarget([]string{"news"}))
	acks := s.burst(t, burst{16, 20, true, always(16 << 10)})
	refused := 0
	for _, a := range acks {
		if a.code != 0 {
			require.Equal(t, 100, a.code)
			refused++
		}
	}
	s.expectAll(t, c, acks)
	require.Positive(t, refused, "320 publications at once, and room for eight")
	require.Less(t, refused, len(acks))
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
}
