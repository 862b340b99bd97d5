package test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// A publication above queue_max_size reaches every reader whose queue is empty,
// whatever the policy of its channel for slow streams: nobody of them is slow.
func TestAPublicationAboveTheQueueLimitReachesIdleReaders(t *testing.T) {
	const streams = 20
	s := startBurst(t, parts{
		client: `, "queue_max_age": "2m"`,
		channel: `, "namespaces": [{"name": "drop", "slow_policy": "drop_oldest", ` + anybody + `},
			{"name": "rr", ` + recoverable + `}]`,
	})
	f := func(name, channel string) {
		t.Run(name, func(t *testing.T) {
			c := s.crowd(t, streams, subscribeTarget([]string{channel}))
			var acks []acked
			for p, size := range []int{1_100_000, 100, 5_000_000} { // each to streams that are idle
				pub := &publisher{addr: s.addr, p: p}
				one, err := pub.publish(1, false, func(int) put { return put{channel: channel, size: size} })
				require.NoError(t, err)
				expectTaken(t, one)
				acks = append(acks, one...)
				s.expectAll(t, c, acks)
			}
			s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
			require.Zero(t, s.stats().Dropped)
		})
	}
	f("disconnect", "news")
	f("drop_oldest", "drop:a")
	f("recoverable", "rr:a")
	require.Zero(t, s.closes()["slow_bytes"]+s.closes()["slow_age"]+s.closes()["slow_total"])
}

// Age guards against a reader that does not take a large frame.
func TestALargeFrameThatIsNotReadEndsTheStreamByAge(t *testing.T) {
	s := startBurst(t, parts{client: `, "queue_max_age": "1s"`})
	c := s.crowd(t, 3, subscribeTarget([]string{"news"}))
	lagging := s.stalled(t, 3, subscribeTarget([]string{"news"}))
	acks := s.burst(t, burst{1, 1, false, always(8_000_000)})
	expectTaken(t, acks)
	testkit.Eventually(t, func() bool { return len(s.closes()) > 0 && s.stats().Open <= len(c) }, "those that do not read to end")
	require.Equal(t, map[string]uint64{"slow_age": 3}, s.closes())
	s.expectAll(t, c, acks)
	s.expectOnlySlow(t, 3)
	lagging.expectSlow(t)
}

// A client that reads steadily, but no faster than a poor line, gets the largest
// frame there is, though that takes far longer than queue_max_age: what counts is
// for how long its socket takes nothing.
func TestAFrameOfTwentyMegabytesReachesASlowReader(t *testing.T) {
	const age, size, steps = time.Second, 20_000_000, 25
	s := startBurst(t, parts{client: fmt.Sprintf(`, "queue_max_age": %q`, age)})
	quick := s.crowd(t, 2, subscribeTarget([]string{"news"}))
	slow, err := follow(s.addr, subscribeTarget([]string{"news"}), 64<<10, "")
	require.NoError(t, err)
	t.Cleanup(crowd{slow}.close)
	// It reads a part, waits for a tenth of the age, and so on: two and a half times
	// the age in all.
	read, began := 0, time.Now()
	slow.conn = countingConn{slow.conn, &read}
	go slow.read(func() {
		if step := time.Duration(read / (size / steps)); time.Since(began) < step*age/10 {
			time.Sleep(time.Until(began.Add(step * age / 10))) // what makes it slow
		}
	})
	<-slow.opened
	acks := s.burst(t, burst{1, 1, false, always(size)})
	expectTaken(t, acks)
	s.expectAll(t, append(quick, slow), acks)
	require.Greater(t, time.Since(began), 2*age, "the reader was slow")
	require.Empty(t, s.closes())
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
}

// countingConn counts what is read; by the goroutine that reads.
type countingConn struct {
	net.Conn
	n *int
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	*c.n += n
	return n, err
}

// failure is the part of a reply that says what went wrong.
type failure struct{ Error *struct{ Code int } }

// isTooLarge requires that a publication was refused for its size, in a field.
func (f failure) isTooLarge(t *testing.T, detail, field string) {
	t.Helper()
	require.NotNil(t, f.Error, "a publication above max_publication_size was taken")
	require.Equal(t, 107, f.Error.Code)
	require.Contains(t, detail, field)
	require.Contains(t, detail, "65536")
}

// try calls the API, which may refuse it.
func (s *server) try(t *testing.T, method, body string) (result json.RawMessage, fail failure, detail string) {
	t.Helper()
	status, head, raw := s.api.Call(t, method, body)
	require.Equal(t, 200, status)
	require.NoError(t, json.Unmarshal(raw, &fail), "%s", raw)
	var reply struct{ Result json.RawMessage }
	require.NoError(t, json.Unmarshal(raw, &reply))
	return reply.Result, fail, head.Get("X-Sluice-Detail")
}

// TestALargestPublicationCanBeSet: above max_publication_size every way to
// publish refuses, and says why; nothing of it is delivered.
func TestALargestPublicationCanBeSet(t *testing.T) {
	s := startServer(t, parts{
		api:     `, "max_publication_size": 65536`,
		channel: `, "namespaces": [{"name": "hist", "history_size": 10, "history_ttl": "1h", ` + anybody + `}]`,
	})
	c := s.subscribe(t, "news", "hist:a")
	c.ExpectConnect(t)
	fits := string(note{1, 1, 60_000}.appendTo(nil))
	large := string(note{1, 2, 70_000}.appendTo(nil))
	encoded := `"` + strings.Repeat("QUFB", 25_000) + `"` // 75,000 bytes
	_, fail, detail := s.try(t, "publish", `{"channel": "news", "data": `+large+`}`)
	fail.isTooLarge(t, detail, "data")
	_, fail, detail = s.try(t, "publish", `{"channel": "hist:a", "data": `+large+`}`)
	fail.isTooLarge(t, detail, "data")
	_, fail, detail = s.try(t, "publish", `{"channel": "news", "b64data": `+encoded+`}`)
	fail.isTooLarge(t, detail, "b64data")

	result, fail, detail := s.try(t, "broadcast", `{"channels": ["news", "nowhere:a", "hist:a"], "data": `+large+`}`)
	require.Nil(t, fail.Error)
	var each struct{ Responses []failure }
	require.NoError(t, json.Unmarshal(result, &each))
	require.Len(t, each.Responses, 3)
	each.Responses[0].isTooLarge(t, detail, "data")
	require.Equal(t, 102, each.Responses[1].Error.Code)
	each.Responses[2].isTooLarge(t, detail, "data")
	require.Contains(t, detail, "channels.0")

	for _, parallel := range []bool{false, true} {
		status, head, raw := s.api.Call(t, "batch", fmt.Sprintf(
			`{"parallel": %v, "commands": [{"publish": {"channel": "news", "data": 1}}, {"publish": {"channel": "news", "data": %s}}]}`, parallel, large))
		require.Equal(t, 200, status)
		var replies struct{ Replies []failure }
		require.NoError(t, json.Unmarshal(raw, &replies), "%s", raw)
		require.Len(t, replies.Replies, 2)
		require.Nil(t, replies.Replies[0].Error)
		replies.Replies[1].isTooLarge(t, head.Get("X-Sluice-Detail"), "data")
		require.Contains(t, head.Get("X-Sluice-Detail"), "commands.1")
		c.Expect(t, `{"channel":"news","pub":{"data":1}}`)
	}

	s.api.Publish(t, "news", fits)
	c.Expect(t, `{"channel":"news","pub":{"data":`+fits+`}}`)
	require.EqualValues(t, 1, s.api.Publish(t, "hist:a", fits).Offset, "what was refused has no offset")
}

// Publishers that wait for credit hold little more than what they publish: the bodies
// behind theirs wait in the sockets, in an open loop too, and each arrives as it is.
func TestBodiesBehindCallsThatWaitStayInTheirSockets(t *testing.T) {
	loopModes(t, func(t *testing.T, open bool) {
		s := startBurst(t, parts{api: `, "publish_inflight_max_bytes": 1000000`, client: `, "queue_max_age": "2m"`})
		held := func() int {
			return s.Parts().Bodies.Taken(time.Hour) // none comes slowly
		}
		require.Zero(t, held())
		c := s.crowd(t, scaled(30), subscribeTarget([]string{"news"}))
		most, undelivered := 0, int64(0)
		done, looked := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(looked)
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
				most, undelivered = max(most, held()), max(undelivered, s.Undelivered())
			}
		}()
		acks := s.burst(t, burst{24, 2, open, func(p, n int) put {
			return put{channel: "news", size: 500_000 + 100_000*((p+n)%8)}
		}})
		close(done)
		<-looked
		expectTaken(t, acks)
		s.expectAll(t, c, acks)
		require.LessOrEqual(t, most, node.CallsAtOnce)
		require.Greater(t, most, node.CallsAtOnce/4, "publishers to wait")
		require.Greater(t, undelivered, int64(node.CallsAtOnce/4), "the pace of the heap to know of them")
		testkit.Eventually(t, func() bool { return held() == 0 }, "all room of bodies to come back")
		s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
	})
}

// Calls wait for no window of deliveries: what some of them send at once finds room all
// the same in the queue of a client that reads.
func TestCallsWithLargeDataEndNobodyWhoReads(t *testing.T) {
	const callers, each = 4, 8
	s := startBurst(t, parts{client: `, "queue_max_age": "2m"`})
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", subscribeTarget([]string{"news"}))
	require.NoError(t, err)
	var read atomic.Int64
	go func() {
		for buf := make([]byte, 64<<10); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			read.Add(int64(n))
		}
	}()
	testkit.Eventually(t, func() bool { return s.stats().Open == 1 }, "the stream to open")
	text := json.RawMessage(`"` + strings.Repeat("d", 900_000) + `"`)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := range each {
				ch := fmt.Sprintf("c%d-%d", i, n)
				s.api.MustResult(t, "subscribe", map[string]any{"user": "", "channel": ch, "data": text})
				s.api.MustResult(t, "unsubscribe", map[string]any{"user": "", "channel": ch})
			}
		})
	}
	wg.Wait()
	testkit.EventuallyWithin(t, loadPatience, func() bool {
		return read.Load() >= callers*each*900_000 || len(s.closes()) > 0
	}, "all to arrive")
	require.Empty(t, s.closes())
	require.Equal(t, 1, s.stats().Open)
}
