package test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// crowdOf is crowd for streams of a coding.
func (s *server) crowdOf(t *testing.T, coding string, n int, target string) crowd {
	t.Helper()
	headers := ""
	for _, h := range accepting(coding) {
		headers = fmt.Sprintf("%s: %s\r\n", h[0], h[1])
	}
	c := make(crowd, n)
	for i := range c {
		f, err := follow(s.addr, target, 0, headers)
		require.NoError(t, err)
		go f.read(nil)
		c[i] = f
	}
	t.Cleanup(c.close)
	for _, f := range c {
		<-f.opened
	}
	return c
}

func burstToCodings(t *testing.T, channel string, open bool) {
	s := startBurst(t, parts{
		client: `, "queue_max_age": "3m", "queue_max_size": 67108864`,
		channel: `, "namespaces": [{"name": "pp", ` + compressing + `, ` + anybody + `},
			{"name": "rr", ` + compressing + `, ` + recoverable + `}]`,
	})
	target := subscribeTarget([]string{channel})
	var all crowd
	for coding := range codingsOf {
		all = append(all, s.crowdOf(t, coding, scaled(15), target)...)
		all = append(all, s.trickling(t, coding, target)...)
	}
	sizes := []int{10, 150, 2000, 700, 150, 16 << 10, 3000, 40_000}
	acks := s.burst(t, burst{8, scaled(60), open, func(p, n int) put { return put{channel: channel, size: sizes[(p*5+n)%len(sizes)]} }})
	expectTaken(t, acks)
	s.expectAll(t, all, acks)
	s.expectSettled(t, "stream_queue_bytes", "streams_blocked")
	require.Empty(t, s.closes())
}

// trickling opens streams of a coding that stop reading now and then.
func (s *server) trickling(t *testing.T, coding, target string) (c crowd) {
	t.Helper()
	headers := ""
	for _, h := range accepting(coding) {
		headers = fmt.Sprintf("%s: %s\r\n", h[0], h[1])
	}
	for range 3 {
		f, err := follow(s.addr, target, 8<<10, headers)
		require.NoError(t, err)
		go f.read(func() { time.Sleep(rand.N(5 * time.Millisecond)) })
		c = append(c, f)
	}
	t.Cleanup(c.close)
	for _, f := range c {
		<-f.opened
	}
	return c
}

// lazyIn is lazy for a stream of a coding.
func (s *server) lazyIn(t *testing.T, coding, target string) *lazy {
	t.Helper()
	nc, err := dialSmall(s.addr, lazyBuffer)
	require.NoError(t, err)
	return lazyOn(t, testkit.NewConn(t, nc), target, accepting(coding)...)
}

// What slow streams are not sent is never compressed, and what they are can be read.
func TestCompressedStreamsThatLagAreLeftOutOfTheSame(t *testing.T) {
	s := startServer(t, parts{
		client: `, "queue_max_age": "1h", "queue_max_size": 131072`,
		channel: `, "namespaces": [{"name": "plain", "slow_policy": "drop_oldest", ` + compressing + `, ` + anybody + `},
			{"name": "hist", "slow_policy": "drop_oldest", "history_size": 10, "history_ttl": "1h", ` + compressing + `, ` + anybody + `}]`,
	})
	eachCoding(t, func(t *testing.T, coding string) {
		channels := []string{"plain:" + coding, "hist:" + coding}
		lagging := s.lazyIn(t, coding, subscribeTarget(channels))
		healthy := []reader{s.reader(t, channels[0]), s.reader(t, channels[1])}
		n, next := 0, map[string]int{channels[0]: 1, channels[1]: 1}
		for range 2 {
			before := s.stats().Dropped
			n = s.publishUntil(t, channels, n, healthy, func(st loop.Stats) bool { return st.Dropped > before+50 })
			for next[channels[0]] <= n || next[channels[1]] <= n {
				lagging.account(t, next, channels[1])
			}
		}
		require.Zero(t, s.stats().Closes[loop.ReasonSlowBytes]+s.stats().Closes[loop.ReasonSlowAge])
		for _, c := range healthy {
			c.Close()
		}
	})
}

// A stream that lags gets the newest of each key in the end.
func TestCompressedStreamsAreConflated(t *testing.T) {
	s := startServer(t, parts{
		client:  `, "queue_max_age": "1h"`,
		channel: `, "namespaces": [{"name": "co", "conflate_key": "k", ` + compressing + `, ` + anybody + `}]`,
	})
	eachCoding(t, func(t *testing.T, coding string) {
		ch := "co:" + coding
		lagging := s.lazyIn(t, coding, subscribeTarget([]string{ch}))
		newest, before := map[string]int{}, s.stats().Conflated
		for n := 1; s.stats().Conflated < before+300; n++ {
			require.Less(t, n, 20000)
			key := fmt.Sprint("k", rand.IntN(12))
			newest[key] = n
			s.api.Publish(t, ch, fmt.Sprintf(`{"k":%q,"n":%d,"x":%q}`, key, n, filler))
		}
		s.api.Publish(t, ch, `{"n":0}`)
		last := map[string]int{}
		for {
			p, err := lagging.next(t)
			require.NoError(t, err)
			if p.Pub.Data.N == 0 {
				break
			}
			require.Greater(t, p.Pub.Data.N, last[p.Pub.Data.K])
			last[p.Pub.Data.K] = p.Pub.Data.N
		}
		require.Equal(t, newest, last)
	})
}
