package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/console"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// withOpenConsole is a part of the section uni_sse: it ends that section and begins admin,
// with a console that nobody has to log in to.
const withOpenConsole = `}, "admin": {"enabled": true, "insecure": true`

// look asks the console of a node for something into v.
func (s *server) look(t *testing.T, path string, query url.Values, v any) {
	t.Helper()
	status, body := s.lookRaw(t, path, query)
	require.Equal(t, 200, status, "%s %s: %s", path, query.Encode(), body)
	require.NoError(t, json.Unmarshal(body, v), "%s", body)
}

func (s *server) lookRaw(t *testing.T, path string, query url.Values) (status int, body []byte) {
	t.Helper()
	head, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/admin" + path + "?" + query.Encode()})
	return head.Status, body
}

// channelsPage asks for a page of channels: pairs of parameters and values.
func (s *server) channelsPage(t *testing.T, pairs ...string) (page console.Channels) {
	t.Helper()
	s.look(t, "/channels", values(pairs), &page)
	return page
}

func (s *server) clientsPage(t *testing.T, pairs ...string) (page console.Clients) {
	t.Helper()
	s.look(t, "/clients", values(pairs), &page)
	return page
}

func values(pairs []string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// nowShown is P/now as a page reads it: figures that may be null.
type nowShown struct {
	At, From int64
	StepMS   int64 `json:"step_ms"`
	Nodes    []console.Node
	Series   map[string][]*float64
	Closes   map[string]uint64
	Latest   map[string]float64
}

func (s *server) now(t *testing.T, pairs ...string) (n nowShown) {
	t.Helper()
	s.look(t, "/now", values(pairs), &n)
	return n
}

func channelsOf(page console.Channels) (all []string) {
	for _, r := range page.Rows {
		all = append(all, r.Channel)
	}
	return all
}

func usersOf(page console.Clients) (all []string) {
	for _, r := range page.Rows {
		all = append(all, r.User)
	}
	return all
}

// consoleTexts are what clients may be called, or ask for.
var consoleTexts = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "a\"b\\c", "</script>", "\u2028\u2029", "\u202eevil", "tab\tand\nline", "ä€😀", "*?[]{}", "\x7f", " ",
}

func TestTheConsoleListsChannels(t *testing.T) {
	s := startServer(t, parts{sse: withOpenConsole, channel: `, "channel_regex": "", "namespaces": [
		{"name": "rec", "history_size": 10, "history_ttl": "300s", "force_recovery": true, ` + anybody + `}]`})
	s.subscribe(t, "b", "c", "rec:x")
	s.subscribe(t, "a", "c", "rec:x")
	s.subscribe(t, "c")
	for range 3 {
		s.api.Publish(t, "rec:x", `1`)
	}
	page := s.channelsPage(t)
	require.Equal(t, []string{"a", "b", "c", "rec:x"}, channelsOf(page))
	require.Equal(t, 4, page.Total)
	require.Equal(t, []int{1, 1, 3, 2}, []int{page.Rows[0].Subscribers, page.Rows[1].Subscribers, page.Rows[2].Subscribers, page.Rows[3].Subscribers})
	require.NotNil(t, page.Silent)
	require.False(t, page.Truncated)
	require.Equal(t, []string{"c", "rec:x", "a", "b"}, channelsOf(s.channelsPage(t, "order", "subscribers", "desc", "1")))
	require.Equal(t, []string{"c", "b"}, channelsOf(s.channelsPage(t, "desc", "1", "offset", "1", "limit", "2")))
	require.Equal(t, []string{"rec:x"}, channelsOf(s.channelsPage(t, "q", "c:")))
	require.Equal(t, []string{"a", "b", "c"}, channelsOf(s.channelsPage(t, "q", "?")))
	require.Equal(t, []string{"b", "rec:x"}, channelsOf(s.channelsPage(t, "q", "{b,rec*}")))
	require.Empty(t, channelsOf(s.channelsPage(t, "q", "B")))
	status, body := s.lookRaw(t, "/channels", url.Values{"q": {"["}})
	require.Equal(t, 400, status, "%s", body)

	// How often something is published is told of all of them and in their order, soon.
	testkit.EventuallyWithin(t, patience, func() bool {
		page := s.channelsPage(t, "order", "rate", "desc", "1")
		return page.Rows[0].Channel == "rec:x" && page.Rows[0].Rate > 0 && page.Rows[0].Rate <= 0.3 && page.Rows[1].Rate == 0
	}, "the rate of a channel")

	var ch console.Channel
	s.look(t, "/channel", url.Values{"name": {"rec:x"}}, &ch)
	require.Equal(t, "rec", ch.Namespace)
	require.Equal(t, 2, ch.Subscribers)
	require.EqualValues(t, 3, ch.Position.Offset)
	require.NotEmpty(t, ch.Position.Epoch)
	require.EqualValues(t, 10, ch.Rules["history_size"])
	require.Equal(t, "5m0s", ch.Rules["history_ttl"])
	require.Equal(t, true, ch.Rules["force_recovery"])
	s.look(t, "/channel", url.Values{"name": {"nobody *?[]{}\\ here"}}, &ch)
	require.Zero(t, ch.Subscribers)
	require.Nil(t, ch.Position)
	status, _ = s.lookRaw(t, "/channel", url.Values{"name": {"unknown:x"}})
	require.Equal(t, 400, status)
}

func TestTheConsoleFindsClients(t *testing.T) {
	s := startServer(t, parts{sse: withOpenConsole, channel: `, "namespaces": [
		{"name": "rec", "presence": true, "join_leave": true, "history_size": 10, "history_ttl": "300s", "force_recovery": true, ` + anybody + `}]`})
	s.subscribe(t, "a")
	s.api.Publish(t, "rec:x", `1`)
	for i, user := range consoleTexts {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Token:       tokenOf(t, user, map[string]any{"info": map[string]any{"name": user}, "channels": []string{"rec:x"}}),
			HTTPHeaders: [][2]string{{"User-Agent", fmt.Sprint("agent/", i, " <b>\"", strings.Repeat("x", 400))}},
		})
		t.Cleanup(func() { c.Close() })
	}
	page := s.clientsPage(t, "limit", "200")
	require.Equal(t, len(consoleTexts)+1, page.Total)
	require.ElementsMatch(t, append([]string{""}, consoleTexts...), usersOf(page))
	for _, user := range consoleTexts {
		page := s.clientsPage(t, "q", user, "by", "user")
		require.Equal(t, []string{user}, usersOf(page))
		row := page.Rows[0]
		require.Equal(t, "127.0.0.1", row.Address)
		require.Len(t, row.UserAgent, 160)
		require.Equal(t, 1, row.Subscriptions)
		require.Equal(t, page, s.clientsPage(t, "q", row.Client, "by", "client"))

		var c console.Client
		s.look(t, "/client", url.Values{"client": {row.Client}}, &c)
		require.Equal(t, user, c.User)
		info, err := json.Marshal(map[string]any{"name": user})
		require.NoError(t, err)
		require.JSONEq(t, string(info), string(c.Info))
		require.Len(t, c.Subs, 1)
		sub := c.Subs[0]
		require.Equal(t, "rec:x", sub.Channel)
		require.True(t, sub.Positioned && sub.Recoverable && sub.Presence && sub.JoinLeave)
		require.EqualValues(t, 1, *sub.Offset)
	}
	require.Equal(t, len(consoleTexts)+1, s.clientsPage(t, "q", "127.0.0.0/8", "by", "address").Total)
	require.Zero(t, s.clientsPage(t, "q", "10.0.0.0/8", "by", "address").Total)
	status, body := s.lookRaw(t, "/clients", url.Values{"q": {"ann"}, "by": {"address"}})
	require.Equal(t, 400, status)
	require.Contains(t, string(body), "an address expected")
	status, _ = s.lookRaw(t, "/client", url.Values{"client": {"00000000-0000-4000-8000-000000000000"}})
	require.Equal(t, 404, status)
	_, raw := s.lookRaw(t, "/clients", nil)
	require.NotContains(t, string(raw), "session")
}

func TestTheConsoleShowsTheFiguresOfTheMetrics(t *testing.T) {
	s := startServer(t, parts{sse: withOpenConsole + withMetrics})
	first := s.now(t)
	require.EqualValues(t, 5000, first.StepMS)
	require.Len(t, first.Nodes, 1)
	require.True(t, first.Nodes[0].Self && first.Nodes[0].Series && !first.Nodes[0].Silent)
	for _, name := range []string{
		"streams", "users", "channels", "subscriptions", "connects", "refused", "publications", "deliveries", "sent_bytes", "closes",
		"lag_p50_ms", "lag_p99_ms", "memory_bytes", "heap_bytes", "cpu", "queue_bytes", "held_bytes", "held_max_bytes",
		"credit_used_bytes", "credit_size_bytes", "blocked", "lane_backlog", "loop_backlog",
	} {
		require.Len(t, first.Series[name], 360, name)
	}
	for range 3 {
		s.subscribe(t, "a", "b")
	}
	gone := s.subscribe(t, "a")
	s.api.Publish(t, "a", `1`)
	gone.Close()
	testkit.EventuallyWithin(t, patience, func() bool {
		n := s.now(t)
		return n.Latest["streams"] == 3 && n.Closes["client_gone"] == 1 && n.Latest["lag_p99_ms"] > 0
	}, "the next sample")
	n, m := s.now(t), s.scrape(t)
	require.Equal(t, m["streams_open"], n.Latest["streams"])
	require.Equal(t, 6.0, n.Latest["subscriptions"])
	require.Equal(t, 2.0, n.Latest["channels"])
	require.Equal(t, m["publish_credit_size_bytes"], n.Latest["credit_size_bytes"])
	require.Equal(t, m["stream_held_max_bytes"], n.Latest["held_max_bytes"])
	require.Greater(t, n.Latest["memory_bytes"], 1e6)
	total := 0.0
	for _, f := range n.Series["publications"] {
		if f != nil {
			total += *f * 5
		}
	}
	require.InDelta(t, 1, total, 0.1, "each is in one step")
	require.Nil(t, n.Series["publications"][0], "that was before this node")
	for _, step := range []struct {
		name string
		ms   int64
	}{{"6h", 60_000}, {"24h", 240_000}} {
		n := s.now(t, "range", step.name)
		require.Equal(t, step.ms, n.StepMS)
		require.InDelta(t, n.At-359*step.ms, n.From, float64(step.ms))
		require.EqualValues(t, 3, *n.Series["streams"][359])
	}
	status, _ := s.lookRaw(t, "/now", url.Values{"node": {"nobody"}})
	require.Equal(t, 404, status)
	require.Equal(t, n.Nodes[0].UID, s.now(t, "node", n.Nodes[0].UID).Nodes[0].UID)
}

// Whoever looks, deliveries go on.
func TestWalksOfTheConsoleDoNotStopDeliveries(t *testing.T) {
	const channels, streams = 10_000, 10
	s := startServer(t, parts{
		sse:    `, "max_request_body_size": 1048576` + withOpenConsole,
		client: `, "channel_limit": 1000`,
	})
	s.manyChannels(t, streams, channels/streams)
	c := s.subscribe(t, "live")
	c.ExpectConnect(t)
	done := make(chan struct{})
	var looking sync.WaitGroup
	for _, target := range []string{"/admin/channels?order=rate&q=1", "/admin/channels?order=rate&q=2", "/admin/clients?order=subscriptions", "/admin/clients?q=10.0.0.0/8"} {
		looking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					resp, err := http.Get("http://" + s.addr + target)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Errorf("%s: %d", target, resp.StatusCode)
						return
					}
				}
			}
		})
	}
	for i := range 100 {
		s.api.Publish(t, "live", fmt.Sprint(i))
		require.Equal(t, fmt.Sprint(i), string(c.ExpectPub(t, "live").Data))
	}
	close(done)
	looking.Wait()
	http.DefaultClient.CloseIdleConnections()
	page := s.channelsPage(t, "order", "rate", "desc", "1", "limit", "1")
	require.Equal(t, channels+1, page.Total)
	require.Equal(t, "live", page.Rows[0].Channel)
}

// manyChannels opens streams with so many channels each, no two the same.
func (s *server) manyChannels(t *testing.T, streams, each int) {
	t.Helper()
	for i := range streams {
		subs := make(map[string]testkit.SubscribeRequest)
		for k := range each {
			subs[fmt.Sprintf("many-%03d-%05d", i, k)] = testkit.SubscribeRequest{}
		}
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Method: "POST", Subs: subs})
		t.Cleanup(func() { c.Close() })
	}
}

// Streams of every kind are there: of the broadcast route, which have no user, and encrypted
// ones.
func TestTheConsoleFindsStreamsOfEveryKind(t *testing.T) {
	s := startServer(t, parts{
		sse:     `}, "broadcast": {"enabled": true` + withOpenConsole,
		channel: `, "namespaces": [{"name": "live", "broadcast": true, "history_size": 5, "history_ttl": "1m"}]`,
	})
	v := view(t, s.addr, "/broadcast/live:a", "User-Agent", "viewer")
	require.Equal(t, 200, v.head.Status)
	var page console.Clients
	testkit.EventuallyWithin(t, patience, func() bool {
		page = s.clientsPage(t, "by", "address", "q", "127.0.0.1")
		return len(page.Rows) == 1
	}, "the stream")
	require.Equal(t, "viewer", page.Rows[0].UserAgent)
	require.Equal(t, 1, page.Rows[0].Subscriptions)
	require.Empty(t, page.Rows[0].User)
	require.Zero(t, s.clientsPage(t, "by", "user", "q", "x").Total)
	var c console.Client
	s.look(t, "/client", url.Values{"client": {page.Rows[0].Client}}, &c)
	require.Equal(t, "live:a", c.Subs[0].Channel)
	require.JSONEq(t, `null`, string(c.Info))
}

func TestTheConsoleFindsEncryptedStreams(t *testing.T) {
	s := startTLS(t, "", "", parts{sse: withOpenConsole})
	s.stream(t, s.ca.client(), testkit.ConnectOptions{HTTPHeaders: [][2]string{{"User-Agent", "over TLS"}}}, "a")
	_, first, err := s.sessions.FindClients(t.Context(), &session.ClientQuery{Most: 5})
	require.NoError(t, err)
	require.Len(t, first, 1)
	all, err := s.sessions.Clients(t.Context(), []session.ClientRef{first[0].Ref}, false)
	require.NoError(t, err)
	require.Equal(t, "over TLS", all[0].Agent.String())
	require.Equal(t, "127.0.0.1", all[0].Address.String())
	require.Zero(t, all[0].Queued)
}
