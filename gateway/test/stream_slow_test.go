package test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

func TestDropOldestKeepsTheStreamAndTellsWhatWasDropped(t *testing.T) {
	s := startServer(t, parts{
		client: `, "queue_max_age": "1h", "queue_max_size": 131072`,
		channel: `, "namespaces": [{"name": "plain", "slow_policy": "drop_oldest", ` + anybody + `},
			{"name": "hist", "slow_policy": "drop_oldest", "history_size": 10, "history_ttl": "1h", ` + anybody + `}]`,
	})
	channels := []string{"plain:a", "hist:b"}
	lagging := s.lazy(t, subscribeTarget(channels))
	healthy := []reader{s.reader(t, channels[0]), s.reader(t, channels[1])}
	next := map[string]int{channels[0]: 1, channels[1]: 1}
	n, dropped := 0, 0
	for range 3 { // it lags, catches up, and lags again
		before := s.stats().Dropped
		n = s.publishUntil(t, channels, n, healthy, func(st loop.Stats) bool { return st.Dropped > before+100 })
		for next[channels[0]] <= n || next[channels[1]] <= n {
			dropped += lagging.account(t, next, channels[1])
		}
	}
	stats := s.stats()
	require.EqualValues(t, stats.Dropped, dropped)
	require.Zero(t, stats.Closes[loop.ReasonSlowBytes]+stats.Closes[loop.ReasonSlowAge])
	s.api.Publish(t, channels[0], `{"n":-1}`)
	p, err := lagging.next(t)
	require.NoError(t, err)
	require.Equal(t, -1, p.Pub.Data.N)
}

// The default: a slow stream is ended with 3008, and its client resumes by the
// last id it has.
func TestASlowStreamIsCutAndResumes(t *testing.T) {
	s := startServer(t, parts{
		sse:     `, "recovery_max_bytes": 134217728, "recovery_max_total": 1073741824`, // it may be waited for, alone on its loop
		client:  `, "queue_max_age": "1h", "queue_max_size": 131072, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
	})
	slow := s.lazy(t, subscribeTarget([]string{"rr:a"}))
	healthy := []reader{s.reader(t, "rr:a")}
	n := s.publishUntil(t, []string{"rr:a"}, 0, healthy, func(st loop.Stats) bool { return st.Closes[loop.ReasonSlowBytes] == 1 })
	got := slow.untilEnd(t)
	require.Less(t, got, n)

	again := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Subs:        map[string]testkit.SubscribeRequest{"rr:a": {}},
		HTTPHeaders: [][2]string{{"Last-Event-ID", slow.events.LastEventID()}},
	})
	r := again.ExpectConnect(t)
	again.ExpectMissed(t, &r, map[string]int{"rr:a": n - got})
	sub := r.Subs["rr:a"]
	require.True(t, sub.WasRecovering && sub.Recovered)
	require.Len(t, sub.Publications, n-got)
	for i, p := range sub.Publications {
		require.EqualValues(t, got+1+i, p.Offset)
	}
}

// A lagging stream gets of each key fewer and fewer, never an old one behind a
// newer one, and the newest in the end; the key is a member or a tag.
func TestConflationEndsWithTheNewestOfEachKey(t *testing.T) {
	s := startServer(t, parts{
		client:  `, "queue_max_age": "1h"`,
		channel: `, "namespaces": [{"name": "co", "conflate_key": "k", ` + anybody + `}]`,
	})
	const ch, keys = "co:a", 12
	lagging := s.lazy(t, subscribeTarget([]string{ch}))
	healthy := s.reader(t, ch)
	n := 0
	newest := make(map[string]int)
	for s.stats().Conflated < 500 {
		require.Less(t, n, 20000)
		for range 50 {
			n++
			key := fmt.Sprint("k", rand.IntN(keys))
			newest[key] = n
			if key < "k5" {
				s.api.Publish(t, ch, fmt.Sprintf(`{"k":%q,"n":%d,"x":%q}`, key, n, filler))
			} else {
				s.api.MustResult(t, "publish", fmt.Sprintf(`{"channel":%q,"tags":{"k":%q},"data":{"n":%d,"x":%q}}`, ch, key, n, filler))
			}
		}
	}
	s.api.Publish(t, ch, `{"n":0}`) // without a key: behind all others
	take := func(next func() (numbered, map[string]string)) (count int) {
		last := make(map[string]int)
		for {
			data, tags := next()
			if data.N == 0 {
				require.Equal(t, newest, last)
				return count
			}
			count++
			key := data.K + tags["k"]
			require.Greater(t, data.N, last[key], "an older one of %s behind a newer one", key)
			last[key] = data.N
		}
	}
	came := take(func() (numbered, map[string]string) {
		p, err := lagging.next(t)
		require.NoError(t, err)
		require.NotNil(t, p.Pub)
		return p.Pub.Data, p.Pub.Tags
	})
	came += take(func() (numbered, map[string]string) {
		pub, data := numberOf(t, healthy.Next(t), ch)
		return data, pub.Tags
	})
	require.EqualValues(t, 2*n-came, s.stats().Conflated, "expected what did not come replaced")
}

// 2,000 events a second with 3 keys: of each at most one per interval, in order,
// and the newest.
func TestMaxRateLetsTheNewestThrough(t *testing.T) {
	const every, n = 100 * time.Millisecond, 2000
	s := startServer(t, parts{
		channel: `, "namespaces": [{"name": "mr", "max_rate": "100ms", "conflate_key": "k", ` + anybody + `}]`,
	})
	c := s.reader(t, "mr:a")
	keys := []string{"a", "b", "c"}
	last, count := make(map[string]int), make(map[string]int)
	published, total := 0, 0
	began := time.Now()
	for round := 1; slices.ContainsFunc(keys, func(key string) bool { return count[key] <= 2 }); round++ {
		require.LessOrEqual(t, round, 10, "expected more than two of each key, got %v", count)
		for due := time.Now(); published < round*n; time.Sleep(time.Until(due)) {
			published++
			s.api.Publish(t, "mr:a", fmt.Sprintf(`{"k":%q,"n":%d}`, keys[published%3], published))
			due = due.Add(time.Second / n)
			if now := time.Now(); now.Sub(due) > every {
				due = now // the machine stood still: what it missed is not made up for
			}
		}
		for last["a"] < published-2 || last["b"] < published-2 || last["c"] < published-2 {
			_, data := numberOf(t, c.Next(t), c.channel)
			require.Greater(t, data.N, last[data.K])
			last[data.K] = data.N
			count[data.K]++
			total++
		}
	}
	intervals := int(time.Since(began)/every) + 1
	for _, key := range keys {
		require.LessOrEqual(t, count[key], intervals+1)
	}
	// A loop that stood still may have replaced some, too.
	require.EqualValues(t, published-total, s.hub.Stats().Conflated+s.stats().Conflated, "every other was replaced by a newer one")
	require.Zero(t, s.hub.Stats().Unpaced)
}

// What max_rate holds back was acknowledged, so a server that stops sends it.
func TestStopDeliversWhatMaxRateHoldsBack(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, fmt.Sprintf(baseConfig, "", "", "", `, "namespaces": [{"name": "mr", "max_rate": "1h", `+anybody+`}]`))
	c := s.subscribe(t, "mr:a")
	c.ExpectConnect(t)
	for i := range 3 {
		s.api.Publish(t, "mr:a", fmt.Sprint(i))
	}
	c.Expect(t, `{"channel":"mr:a","pub":{"data":0}}`)
	s.stop(t)
	c.Expect(t, `{"channel":"mr:a","pub":{"data":2}}`)
	c.ExpectDisconnect(t, 3001)
}

func TestBinaryDataInALossyChannelIsInappropriate(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "bin", "publication_data_format": "binary",
		"slow_policy": "drop_oldest", "conflate_key": "k", "max_rate": "10ms", ` + anybody + `}]`})
	c := s.subscribe(t, "bin:a")
	c.ExpectConnect(t)
	s.api.MustResult(t, "publish", `{"channel":"bin:a","b64data":"AAEC"}`)
	c.ExpectDisconnect(t, 3506)
}

// A token can ask for recovery where the namespace drops publications: such a
// stream loses nothing in silence; it is ended as slow.
func TestARecoverableStreamInALossyNamespaceLosesNothing(t *testing.T) {
	s := startServer(t, parts{
		sse:    `, "recovery_max_bytes": 134217728, "recovery_max_total": 1073741824`,
		client: `, "queue_max_age": "1h", "queue_max_size": 131072, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "hist", "slow_policy": "drop_oldest", "conflate_key": "k",
			"history_size": 100000, "history_ttl": "1h", ` + anybody + `}]`,
	})
	token := testkit.HS256(t, testSecret, map[string]any{"sub": "u", "subs": map[string]any{
		"hist:a": map[string]any{"override": map[string]any{"force_recovery": map[string]any{"value": true}}},
	}})
	sure := s.lazy(t, testkit.DefaultPath+"?cf_connect="+url.QueryEscape(fmt.Sprintf(`{"token":%q}`, token)))
	lossy := s.lazy(t, subscribeTarget([]string{"hist:a"}))
	n := s.publishUntil(t, []string{"hist:a"}, 0, nil, func(st loop.Stats) bool {
		return st.Closes[loop.ReasonSlowBytes] == 1 && st.Dropped > 200
	})
	got := sure.untilEnd(t)
	for next := map[string]int{"hist:a": 1}; next["hist:a"] <= n; {
		lossy.account(t, next, "hist:a")
	}
	again := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Token: token, HTTPHeaders: [][2]string{{"Last-Event-ID", sure.events.LastEventID()}},
	})
	r := again.ExpectConnect(t)
	again.ExpectMissed(t, &r, map[string]int{"hist:a": n - got})
	sub := r.Subs["hist:a"]
	require.True(t, sub.Recovered)
	require.Len(t, sub.Publications, n-got)
}

// One stream in five does not read, in channels of either policy: the others get
// everything.
func TestStalledReadersDisturbNobody(t *testing.T) {
	const streams = 10
	s := startServer(t, parts{
		client:  `, "queue_max_age": "1h", "queue_max_size": 262144`,
		channel: `, "namespaces": [{"name": "drop", "slow_policy": "drop_oldest", ` + anybody + `}, {"name": "cut", ` + anybody + `}]`,
	})
	channels := []string{"drop:a", "cut:b"}
	var healthy []reader
	for i := range streams {
		if ch := channels[i%2]; i%5 == 0 {
			s.lazy(t, subscribeTarget([]string{ch}))
		} else {
			healthy = append(healthy, s.reader(t, ch))
		}
	}
	s.publishUntil(t, channels, 0, healthy, func(st loop.Stats) bool {
		return st.Closes[loop.ReasonSlowBytes] == streams/10 && st.Dropped > 300
	})
	require.EqualValues(t, streams/10, s.stats().Closes[loop.ReasonSlowBytes])
	require.Equal(t, streams-streams/10, s.sessions.Counts().Clients, "the others are there")
}
