package sse_test

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/testkit"
)

var eventStream = [2]string{"Accept", "text/event-stream"}

// try makes a connect on a connection of its own that may be turned away: a
// stream is left again.
func try(t testing.TB, addr string, r testkit.Request) (testkit.Head, string) {
	t.Helper()
	c := testkit.Dial(t, addr)
	defer c.Close()
	if r.Target == "" {
		r.Target = testkit.DefaultPath
	}
	c.Send(r.String())
	head := c.ReadHead(t)
	if head.Status == 200 && head.Get("Content-Length") == "" {
		return head, ""
	}
	var body strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := c.Body().Read(buf)
		body.Write(buf[:n])
		if err != nil {
			return head, body.String()
		}
	}
}

// expectRetry checks the answer that an EventSource is turned away with.
func expectRetry(t testing.TB, head testkit.Head, body string) time.Duration {
	t.Helper()
	require.Equal(t, 200, head.Status)
	require.Equal(t, "text/event-stream; charset=utf-8", head.Get("Content-Type"))
	require.Equal(t, "close", head.Get("Connection"))
	require.Contains(t, head.Get("Cache-Control"), "no-store")
	require.Equal(t, "no", head.Get("X-Accel-Buffering"))
	text, ok := strings.CutPrefix(body, "retry: ")
	require.True(t, ok, "%q", body)
	ms, err := strconv.Atoi(strings.TrimSuffix(text, "\n\n"))
	require.NoError(t, err, "%q", body)
	return time.Duration(ms) * time.Millisecond
}

// expectStatus checks the answer that everybody else is turned away with.
func expectStatus(t testing.TB, head testkit.Head, body string) time.Duration {
	t.Helper()
	require.Equal(t, 503, head.Status)
	require.Nil(t, head.Values("Access-Control-Allow-Origin"), "PROTOCOL 1.4")
	require.Empty(t, body)
	seconds, err := strconv.Atoi(head.Get("Retry-After"))
	require.NoError(t, err)
	return time.Duration(seconds) * time.Second
}

// A passing condition must not end an EventSource for good, which any status
// but 200 does.
func TestWhoeverReadsEventsIsToldWhenToComeBack(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.session.StreamLimit = 1
		s.sse.Origins = origins(t, "https://a.example")
		s.sse.RetryMin, s.sse.RetryMax = 3*time.Second, 9*time.Second
	})
	n.subscribe(t, nil)
	n.sessionsOpen(t, 1)
	f := func(name string, r testkit.Request, retries bool) {
		t.Run(name, func(t *testing.T) {
			head, body := try(t, n.addr, r)
			wait := time.Duration(0)
			if retries {
				wait = expectRetry(t, head, body)
			} else {
				wait = expectStatus(t, head, body)
			}
			require.GreaterOrEqual(t, wait, 3*time.Second)
			require.LessOrEqual(t, wait, 9*time.Second)
		})
	}
	get := func(h ...[2]string) testkit.Request { return testkit.Request{Headers: h} }
	f("EventSource", get(eventStream), true)
	f("a_list", get([2]string{"Accept", "text/html;q=0.5, Text/Event-Stream ; q=0.9, */*"}), true)
	f("two_lines", get([2]string{"Accept", "text/html"}, eventStream), true)
	f("HTTP_1_0", testkit.Request{Proto: "HTTP/1.0", Headers: [][2]string{eventStream}}, true)
	f("an_imitation_with_Authorization", get(eventStream, [2]string{"Authorization", "Bearer x"}), true)
	f("cross_origin", get(eventStream, [2]string{"Origin", "https://a.example"}), true)
	f("not_allowed_origin", get(eventStream, [2]string{"Origin", "https://b.example"}), false)
	f("curl", get([2]string{"Accept", "*/*"}), false)
	f("no_Accept", get(), false)
	f("a_longer_name", get([2]string{"Accept", "text/event-streams, xtext/event-stream"}), false)
	f("fetch", testkit.Request{Method: "POST", Body: "{}", Headers: [][2]string{eventStream}}, false)

	head, _ := try(t, n.addr, get(eventStream, [2]string{"Origin", "https://a.example"}))
	require.Equal(t, "https://a.example", head.Get("Access-Control-Allow-Origin"), "or the browser takes it for final")
	require.Equal(t, "true", head.Get("Access-Control-Allow-Credentials"))
	require.Equal(t, "Origin", head.Get("Vary"))
}

func TestShedByStatus(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.session.StreamLimit = 1
		s.sse.ShedByStatus = true
	})
	n.subscribe(t, nil)
	n.sessionsOpen(t, 1)
	head, body := try(t, n.addr, testkit.Request{Headers: [][2]string{eventStream}})
	expectStatus(t, head, body)
}

// Delays say the same whichever way they are told.
func TestDelaysFollowTheRate(t *testing.T) {
	n := newNode(t, func(s *settings) {
		s.sse.ConnectionRate = 1
		s.sse.RetryMin, s.sse.RetryMax, s.sse.ShedMax = 2*time.Second, 4*time.Second, 30*time.Second
	})
	events := testkit.Request{Headers: [][2]string{eventStream}}
	began := time.Now()
	// Each is told to come a second and a bit after the one before it.
	spread := func(wait time.Duration, before int) {
		t.Helper()
		least := 2*time.Second + time.Duration(before)*1050*time.Millisecond - time.Millisecond
		require.LessOrEqual(t, wait, 30*time.Second)
		require.GreaterOrEqual(t, wait+time.Since(began), least, "%d were turned away before", before)
	}
	for shed := 0; shed < 10; {
		head, body := try(t, n.addr, events)
		if head.Get("Content-Length") == "" {
			continue // admitted: a second has passed
		}
		spread(expectRetry(t, head, body), shed)
		shed++
	}
	head, body := try(t, n.addr, testkit.Request{})
	if head.Status == 503 {
		spread(expectStatus(t, head, body), 10)
	}
}

// A client that was turned away for a limit is let in once there is room.
func TestAFreedSlotIsUsableAtOnce(t *testing.T) {
	events := [][2]string{eventStream}
	f := func(name string, change func(*settings), r testkit.Request, others func(t *testing.T, n *node)) {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, change)
			var open []*testkit.Client
			for range 2 {
				open = append(open, testkit.Connect(t, n.addr, testkit.ConnectOptions{HTTPHeaders: r.Headers}))
				open[len(open)-1].ExpectConnect(t)
			}
			for range 3 { // whoever is refused takes nothing, and evicts nobody
				head, body := try(t, n.addr, r)
				expectRetry(t, head, body)
			}
			if others != nil {
				others(t, n)
			}
			require.Equal(t, 2, n.sessions.Counts().Clients)
			open[0].Close()
			testkit.Eventually(t, func() bool {
				head, _ := try(t, n.addr, r)
				return head.Get("Content-Length") == ""
			}, "the freed slot")
			n.sessionsOpen(t, 1)
		})
	}
	f("stream_limit", func(s *settings) { s.session.StreamLimit = 2 }, testkit.Request{Headers: events}, nil)
	f("address_limit", func(s *settings) {
		s.session.Addresses = &addresses{limit: 2, open: make(map[netip.Addr]int)}
		s.sse.Address = addressOf
	}, testkit.Request{Headers: append(events, [2]string{"X-Address", "192.0.2.1"})}, func(t *testing.T, n *node) {
		head, _ := try(t, n.addr, testkit.Request{Headers: append(events, [2]string{"X-Address", "192.0.2.2"})})
		require.Equal(t, "", head.Get("Content-Length"), "another address is not limited")
		n.sessionsOpen(t, 2)
	})
}

// The user's limit has a code of its own, and a freed slot is usable too.
func TestAFreedSlotOfAUserIsUsableAtOnce(t *testing.T) {
	n := newNode(t, func(s *settings) { s.session.UserConnectionLimit = 2 })
	o := testkit.ConnectOptions{Token: token(t, "1", nil), HTTPHeaders: [][2]string{eventStream}}
	first := testkit.Connect(t, n.addr, o)
	first.ExpectConnect(t)
	testkit.Connect(t, n.addr, o).ExpectConnect(t)
	n.refused(t, o, 3504, "connection limit")
	first.Close()
	n.sessionsOpen(t, 1)
	testkit.Connect(t, n.addr, o).ExpectConnect(t)
}

// addresses counts places by address, and what is given back too often.
type addresses struct {
	limit int

	// Guarded by mu.
	mu     sync.Mutex
	open   map[netip.Addr]int
	total  int // places that were taken since the start
	excess int // places that were given back and not taken
}

func (a *addresses) Reserve(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[addr] >= a.limit {
		return false
	}
	a.open[addr]++
	a.total++
	return true
}

func (a *addresses) Active() bool { return true }

func (a *addresses) Release(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[addr]--; a.open[addr] < 0 {
		a.excess++
	}
	if a.open[addr] == 0 {
		delete(a.open, addr)
	}
}

func (a *addresses) counts() (open, total, excess int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.open {
		open += n
	}
	return open, a.total, a.excess
}

// addressOf takes the address that a test names.
func addressOf(ctx *fasthttp.RequestCtx) netip.Addr {
	addr, _ := netip.ParseAddr(string(ctx.Request.Header.Peek("X-Address")))
	return addr
}

// Whatever becomes of a connect, its address is given back once.
func TestAnAddressIsGivenBackExactlyOnce(t *testing.T) {
	limits := &addresses{limit: 1, open: make(map[netip.Addr]int)}
	n := newNode(t, func(s *settings) {
		kinds(s)
		s.session.Addresses, s.sse.Address = limits, addressOf
		s.session.ChannelLimit = 2
		s.sse.Origins = origins(t, "https://a.example")
		s.sse.ConnectionRate = 1000
	})
	taken := 0
	f := func(name string, r testkit.Request, takes int) {
		t.Run(name, func(t *testing.T) {
			r.Headers = append(r.Headers, [2]string{"X-Address", "2001:db8::1"})
			if r.Target == "" {
				r.Target = testkit.DefaultPath
			}
			c := testkit.Dial(t, n.addr)
			c.Send(r.String())
			c.ReadHead(t)
			require.NoError(t, c.Close())
			taken += takes
			testkit.Eventually(t, func() bool {
				open, total, excess := limits.counts()
				require.Zero(t, excess)
				return open == 0 && total == taken
			}, "the address given back, and taken as often as expected")
		})
	}
	f("a_stream", testkit.Request{}, 1)
	f("a_stream_with_history", testkit.Request{Method: "POST", Body: `{"subs":{"rec:a":{},"joins:b":{}}}`}, 1)
	f("HTTP_1_0", testkit.Request{Proto: "HTTP/1.0"}, 1)
	f("not_JSON", testkit.Request{Method: "POST", Body: "{"}, 1)
	f("foreign_origin", testkit.Request{Headers: [][2]string{{"Origin", "https://b.example"}}}, 1)
	f("bad_token", testkit.Request{Method: "POST", Body: `{"token":"x"}`}, 1)
	f("unknown_namespace", testkit.Request{Method: "POST", Body: `{"subs":{"nope:a":{}}}`}, 1)
	f("too_many_channels", testkit.Request{Method: "POST", Body: `{"subs":{"a":{},"b":{},"c":{}}}`}, 1)
	f("something_behind_the_request", testkit.Request{Method: "POST", Body: "{}x", Headers: [][2]string{{"Content-Length", "2"}}}, 1)
	f("wrong_method", testkit.Request{Method: "PUT"}, 0)
	f("preflight", testkit.Request{Method: "OPTIONS"}, 0)
	f("no_address", testkit.Request{Headers: [][2]string{{"X-Address", "none"}}}, 0)

	// Many at once, of which one at a time is let in.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				try(t, n.addr, testkit.Request{Headers: [][2]string{eventStream, {"X-Address", "192.0.2.7"}}})
			}
		})
	}
	wg.Wait()
	n.sessionsOpen(t, 0)
	testkit.Eventually(t, func() bool {
		open, _, excess := limits.counts()
		require.Zero(t, excess)
		return open == 0
	}, "all addresses given back")
}

// The zone and the form of an address are not part of who it is.
func TestAddressesAreReservedInOneForm(t *testing.T) {
	limits := &addresses{limit: 1, open: make(map[netip.Addr]int)}
	n := newNode(t, func(s *settings) { s.session.Addresses, s.sse.Address = limits, addressOf })
	testkit.Connect(t, n.addr, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"X-Address", "::ffff:192.0.2.1"}}}).ExpectConnect(t)
	testkit.Connect(t, n.addr, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"X-Address", "fe80::1%eth0"}}}).ExpectConnect(t)
	for _, again := range []string{"192.0.2.1", "fe80::1", "fe80::1%eth1"} {
		head, body := try(t, n.addr, testkit.Request{Headers: [][2]string{eventStream, {"X-Address", again}}})
		expectRetry(t, head, body)
	}
}

// A node that stops turns connects away, rather than refusing them.
func TestADrainingEndpointTurnsEverybodyAway(t *testing.T) {
	n := newNode(t, nil)
	c, _ := n.subscribe(t, subs("news"))
	n.endpoint.Drain()
	head, body := try(t, n.addr, testkit.Request{Headers: [][2]string{eventStream}})
	expectRetry(t, head, body)
	head, body = try(t, n.addr, testkit.Request{Method: "POST", Body: "{}"})
	expectStatus(t, head, body)
	stats := n.endpoint.Stats()
	require.EqualValues(t, 1, stats.Admitted)
	require.EqualValues(t, 2, stats.Shed)
	n.publish(t, "news", `1`)
	c.Expect(t, `{"channel":"news","pub":{"data":1}}`)
}
