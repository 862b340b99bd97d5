package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// smallEngine is a part of the section channel: few positions of empty channels
// are kept.
const smallEngine = `, "history_empty_max": 100, "namespaces": [{"name": "rec", "history_size": 5, "history_ttl": "1h", "force_recovery": true, ` + anybody + `}]`

// flood makes positions of so many channels, as clients may.
func (s *server) flood(t *testing.T, n int) {
	t.Helper()
	for i := 0; i < n; {
		var names []string
		for range 100 {
			names = append(names, fmt.Sprintf("rec:flood%d", i))
			i++
		}
		c := s.subscribe(t, names...)
		c.ExpectConnect(t)
		c.Close()
	}
	require.Eventually(t, func() bool {
		_, subs := s.hub.Interest()
		return subs <= 1
	}, patience, time.Millisecond)
}

// Strangers name channels that nobody uses: they take no memory for long, and
// nobody else pays.
func TestPositionsOfEmptyChannelsAreBoundedAndHeldByStreams(t *testing.T) {
	s := startMetrics(t, parts{channel: smallEngine})
	asked := map[string]testkit.SubscribeRequest{"rec:left": {}, "rec:used": {}}
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: asked})
	left := c.ExpectConnect(t).Subs
	s.api.Publish(t, "rec:used", "1")
	c.ExpectPub(t, "rec:used")
	c.Close()
	held := s.subscribe(t, "rec:held")
	epoch := held.ExpectConnect(t).Subs["rec:held"].Epoch

	s.flood(t, 3000)

	var now scraped
	require.Eventually(t, func() bool { // with the next sweep
		now = s.scrape(t)
		return now[`engine_positions{channel="empty"}`] <= 100
	}, patience, time.Millisecond)
	require.EqualValues(t, 1, now[`engine_positions{channel="published"}`])
	require.Greater(t, now[`engine_forgotten_total{what="empty_position"}`], 2800.0)

	pos := s.api.Publish(t, "rec:held", "1")
	require.Equal(t, testkit.Position{Offset: 1, Epoch: epoch}, pos, "a stream stands on it")
	require.EqualValues(t, 1, held.ExpectPub(t, "rec:held").Offset)

	back := make(map[string]testkit.SubscribeRequest)
	for ch := range asked {
		back[ch] = testkit.SubscribeRequest{Recover: true, Offset: left[ch].Offset, Epoch: left[ch].Epoch}
	}
	again := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: back})
	got := again.ExpectConnect(t).Subs
	require.True(t, got["rec:used"].Recovered)
	require.Len(t, got["rec:used"].Publications, 1)
	require.True(t, got["rec:left"].WasRecovering)
	require.False(t, got["rec:left"].Recovered, "a forgotten position is told, never passed over")
	require.NotEqual(t, left["rec:left"].Epoch, got["rec:left"].Epoch)
}

func TestIdempotencyResultsAreBounded(t *testing.T) {
	s := startMetrics(t, parts{api: `, "idempotency_max_results": 10`})
	for i := range 1000 {
		s.api.MustResult(t, "publish", fmt.Sprintf(`{"channel":"c%d","data":1,"idempotency_key":"k"}`, i))
	}
	now := s.scrape(t)
	require.LessOrEqual(t, now["engine_idempotency_results"], 74.0, "one for each stripe more")
	require.Equal(t, 1000.0, now["engine_idempotency_results"]+now[`engine_forgotten_total{what="idempotency_result"}`])
	s.moves(t, scraped{`broker_publish_suppressed_count{reason="idempotency"}`: 1}, func() {
		s.api.MustResult(t, "publish", `{"channel":"c999","data":1,"idempotency_key":"k"}`)
	})
}

// What a stranger may name is at most channel.max_length; what backends name
// has a limit of its own (PROTOCOL 12.16, 12.30).
func TestLongChannelNames(t *testing.T) {
	b := newBackend(t)
	s := startServer(t, parts{channel: `, "max_length": 50, "server_max_length": 500`})
	hooked := launch(t, fmt.Sprintf(baseConfig, "", "", b.connectHook(""), `, "server_max_length": 500`))
	t.Cleanup(func() { hooked.stop(t) })
	name := func(n int) string { return strings.Repeat("n", n) }

	c := s.subscribe(t, name(50), name(51), name(501))
	subs := c.ExpectConnect(t).Subs
	require.Len(t, subs, 1)
	require.Contains(t, subs, name(50))

	f := func(n int, connect func(ch string) *testkit.Client) {
		t.Helper()
		c := connect(name(n))
		if n <= 500 {
			require.Contains(t, c.ExpectConnect(t).Subs, name(n))
			return
		}
		c.ExpectDisconnect(t, 3501)
	}
	for _, n := range []int{500, 501} {
		f(n, func(ch string) *testkit.Client {
			token := testkit.HS256(t, testSecret, map[string]any{"sub": "u", "channels": []string{ch}})
			return testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: token})
		})
		f(n, func(ch string) *testkit.Client {
			token := testkit.HS256(t, testSecret, map[string]any{"sub": "u", "subs": map[string]any{ch: map[string]any{}}})
			// A client may say where it was in what it was given.
			return testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: token, Subs: map[string]testkit.SubscribeRequest{ch: {}}})
		})
		b.say(fmt.Sprintf(`{"result":{"user":"u","channels":[%q]}}`, name(n)))
		f(n, func(string) *testkit.Client { return testkit.Connect(t, hooked.addr, testkit.ConnectOptions{}) })
		b.say(fmt.Sprintf(`{"result":{"user":"u","subs":{%q:{}}}}`, name(n)))
		f(n, func(string) *testkit.Client { return testkit.Connect(t, hooked.addr, testkit.ConnectOptions{}) })
	}
}
