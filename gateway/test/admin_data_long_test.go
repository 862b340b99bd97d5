//go:build e2e

package test

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/console"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// Pages over 100,000 channels and 10,000 clients: every row is on one page and no more, in
// its order, and what it takes is bounded.
func TestLongTheConsoleOverManyChannelsAndClients(t *testing.T) {
	const channels, streams = 100_000, 100
	clients := 10_000
	var lim syscall.Rlimit // of this process, which has both ends of each stream
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		clients = min(clients, int(min(lim.Max, 1<<20))/2-2000)
	}
	s := startServer(t, parts{
		sse:    `, "max_request_body_size": 1048576` + withOpenConsole + withMetrics + `}, "node": {"loops": 3`,
		client: `, "channel_limit": 1000`,
	})
	s.manyChannels(t, streams, channels/streams)
	s.crowd(t, clients, subscribeTarget([]string{"crowd"}))
	for i := range 50 {
		s.api.Publish(t, fmt.Sprintf("many-%03d-%05d", i, i), `1`)
	}
	s.pagesOfChannels(t, channels)
	s.pagesOfClients(t, clients, streams)
	testkit.EventuallyWithin(t, patience, func() bool {
		n := s.now(t)
		return n.Latest["streams"] == float64(clients+streams) && n.Latest["subscriptions"] == float64(clients+channels) && n.Latest["channels"] == channels+1
	}, "the figures")
	m := s.scrape(t)
	require.EqualValues(t, clients+streams, m["streams_open"])
}

// pagesOfChannels looks at pages of a crowded channel and of others with one subscriber
// each, of which 50 were published in.
func (s *server) pagesOfChannels(t *testing.T, channels int) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	page := s.channelsPage(t, "order", "rate", "desc", "1", "limit", "200")
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("a page by rate over %d channels on 3 loops: %s, %d KiB allocated", page.Total, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>10)
	require.Equal(t, channels+1, page.Total)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100<<20))
	for i, r := range page.Rows {
		require.Equal(t, i < 50, r.Rate > 0, "row %d", i)
	}
	began = time.Now()
	again := s.channelsPage(t, "order", "rate", "desc", "1", "limit", "200")
	t.Logf("the same again: %s", time.Since(began).Round(100*time.Microsecond))
	require.Equal(t, page.Total, again.Total)
	require.Equal(t, []string{"crowd"}, channelsOf(s.channelsPage(t, "order", "subscribers", "desc", "1", "limit", "1")))

	var all []string
	began = time.Now()
	for offset := 0; offset < channels; offset += 200 * 50 { // each fiftieth page
		page := s.channelsPage(t, "offset", fmt.Sprint(offset), "limit", "200", "q", "many")
		require.Equal(t, channels, page.Total)
		all = append(all, channelsOf(page)...)
	}
	t.Logf("%d pages by name: %s", channels/200/50, time.Since(began).Round(time.Millisecond))
	require.True(t, slices.IsSorted(all))
	require.Len(t, slices.Compact(all), channels/50)
}

// pagesOfClients looks at all pages of clients, of whom streams have a thousand channels.
func (s *server) pagesOfClients(t *testing.T, clients, streams int) {
	t.Helper()
	seen := make(map[string]bool)
	began := time.Now()
	for offset := 0; offset < clients+streams; offset += 200 {
		page := s.clientsPage(t, "offset", fmt.Sprint(offset), "limit", "200", "order", "subscriptions", "desc", "1")
		require.Equal(t, clients+streams, page.Total)
		require.False(t, page.Truncated)
		for i, r := range page.Rows {
			seen[r.Client] = true
			if offset == 0 && i < streams {
				require.Equal(t, 1000, r.Subscriptions)
			}
		}
	}
	t.Logf("all %d pages of clients: %s", (clients+streams)/200, time.Since(began).Round(time.Millisecond))
	require.Len(t, seen, clients+streams, "nobody opened or closed meanwhile")
}

// consoles starts gateways on one engine, those named with a console.
func consoles(t *testing.T, engine string, with ...bool) *fleet {
	t.Helper()
	f := &fleet{}
	for i, on := range with {
		admin := ""
		if on {
			admin = withOpenConsole
		}
		text := fmt.Sprintf(baseConfig, admin+fmt.Sprintf(`}, "node": {"name": "n%d"}, "engine": {`, i)+engine, "", "",
			`, "namespaces": [{"name": "rec", "history_size": 10, "history_ttl": "300s", "force_recovery": true, `+anybody+`}]`)
		s := launchWith(t, text, node.Options{Verify: true})
		f.gateways, f.addrs = append(f.gateways, s), append(f.addrs, s.addr)
	}
	f.awaitReady(t, true)
	return f
}

func TestLongConsolesOfManyNodes(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	r := redisrig.Single(t)
	f := consoles(t, redisEngine(redisrig.Prefix(t), []string{r.Addr}, ""), true, true, false)
	a, b, bare := f.gateways[0], f.gateways[1], f.gateways[2]
	t.Cleanup(func() { a.stop(t) })
	t.Cleanup(func() { bare.stop(t) })
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			b.stop(t)
		}
	})
	for i := range 3 {
		a.subscribe(t, "both", fmt.Sprint("a", i))
	}
	for range 2 {
		c := testkit.Connect(t, b.addr, testkit.ConnectOptions{Token: tokenOf(t, `<b>"user`, map[string]any{"info": "<i>", "channels": []string{"rec:x", "both"}})})
		t.Cleanup(c.Close)
	}
	bare.subscribe(t, "both", "bare")
	for range 5 {
		b.api.Publish(t, "rec:x", `1`)
	}
	testkit.EventuallyWithin(t, patience, func() bool {
		n := a.now(t)
		return len(n.Nodes) == 3 && len(b.now(t).Nodes) == 3 && n.Latest["streams"] == 5 && n.Latest["subscriptions"] == 10
	}, "the sum of the nodes that have a console")
	t.Run("figures", func(t *testing.T) { figuresOfNodes(t, a) })
	t.Run("channels", func(t *testing.T) { channelsOfNodes(t, a, b) })
	t.Run("clients", func(t *testing.T) { clientsOfNodes(t, a) })
	t.Run("without Redis", func(t *testing.T) { alone(t, a, r) })
	t.Run("a node that stops", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, b.Stop(ctx))
		stopped = true
		testkit.EventuallyWithin(t, patience, func() bool { return len(a.now(t).Nodes) == 2 }, "the node that stopped to be gone")
		testkit.EventuallyWithin(t, patience, func() bool { return a.clientsPage(t).Total == 3 }, "its clients with it")
	})
}

// figuresOfNodes: summed, and of each; a node without a console is named.
func figuresOfNodes(t *testing.T, a *server) {
	n := a.now(t)
	require.Equal(t, "n0", n.Nodes[0].Name)
	require.True(t, n.Nodes[0].Self)
	require.Equal(t, "n1", n.Nodes[1].Name)
	require.True(t, n.Nodes[1].Series && !n.Nodes[1].Silent && !n.Nodes[1].Self)
	require.Equal(t, "n2", n.Nodes[2].Name)
	require.True(t, !n.Nodes[2].Series && !n.Nodes[2].Silent)
	require.EqualValues(t, 2, a.now(t, "node", n.Nodes[1].UID).Latest["streams"])
	require.EqualValues(t, 3, a.now(t, "node", n.Nodes[0].UID).Latest["streams"])
	require.Empty(t, a.now(t, "node", n.Nodes[2].UID).Latest)
	require.EqualValues(t, 2, *a.now(t, "node", n.Nodes[1].UID, "range", "24h").Series["streams"][359])
}

// channelsOfNodes: subscribers of all nodes, rates of those that tell them.
func channelsOfNodes(t *testing.T, a, b *server) {
	page := a.channelsPage(t)
	require.Equal(t, []string{"a0", "a1", "a2", "bare", "both", "rec:x"}, channelsOf(page))
	require.Equal(t, 6, page.Rows[4].Subscribers)
	require.Equal(t, []string{"n2"}, page.Silent)
	testkit.EventuallyWithin(t, patience, func() bool {
		b.api.Publish(t, "rec:x", `1`)
		top := a.channelsPage(t, "order", "rate", "desc", "1").Rows[0]
		return top.Channel == "rec:x" && top.Rate > 0 && top.Subscribers == 2
	}, "the rate of a channel of another node")
	var ch console.Channel
	a.look(t, "/channel", url.Values{"name": {"rec:x"}}, &ch)
	require.Equal(t, 2, ch.Subscribers)
	require.Greater(t, ch.Position.Offset, uint64(4))
}

// clientsOfNodes: of all nodes on one page, and whole.
func clientsOfNodes(t *testing.T, a *server) {
	clients := a.clientsPage(t, "order", "subscriptions", "limit", "4")
	require.Equal(t, 5, clients.Total)
	require.Len(t, clients.Rows, 4)
	require.Equal(t, []string{"n2"}, clients.Silent)
	found := a.clientsPage(t, "q", `<b>"user`, "by", "user")
	require.Equal(t, 2, found.Total)
	require.Equal(t, "n1", found.Rows[0].Node)
	var c console.Client
	a.look(t, "/client", url.Values{"client": {found.Rows[1].Client}}, &c)
	require.Equal(t, found.Rows[1].Client, c.Client)
	require.Equal(t, "n1", c.Node)
	require.JSONEq(t, `"<i>"`, string(c.Info))
	require.Len(t, c.Subs, 2)
}

// alone: without Redis a node still shows itself, and names the others.
func alone(t *testing.T, a *server, r *redisrig.Server) {
	there := a.clientsPage(t, "q", `<b>"user`, "by", "user").Rows[0].Client
	r.Freeze(t)
	var n nowShown
	testkit.EventuallyWithin(t, patience, func() bool { // what was found before stands for a moment
		n = a.now(t)
		return len(n.Nodes) == 3 && n.Nodes[1].Silent && n.Nodes[2].Silent && n.Latest["streams"] == 3
	}, "the others to be silent")
	var page console.Channels
	testkit.EventuallyWithin(t, patience, func() bool {
		page = a.channelsPage(t)
		return page.Truncated && slices.Equal(channelsOf(page), []string{"a0", "a1", "a2", "both"})
	}, "its own channels")
	require.Equal(t, []string{"n1", "n2"}, page.Silent)
	testkit.EventuallyWithin(t, patience, func() bool { return a.clientsPage(t).Total == 3 }, "its own clients")
	var ch console.Channel
	a.look(t, "/channel", url.Values{"name": {"rec:x"}}, &ch)
	require.Nil(t, ch.Position)
	status, body := a.lookRaw(t, "/client", url.Values{"client": {there}})
	require.Equal(t, 503, status, "it may be there: %s", body)
	require.Contains(t, string(body), "n1")
	r.Thaw(t)
	testkit.EventuallyWithin(t, patience, func() bool {
		n := a.now(t)
		return len(n.Nodes) == 3 && n.Latest["streams"] == 5
	}, "all to be there again")
}
