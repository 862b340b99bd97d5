package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// launchStopping starts a gateway with the section shutdown; the test stops it.
func launchStopping(t *testing.T, shutdown string, p parts) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	text := fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel)
	return launch(t, strings.Replace(text, `"health":`, `"shutdown": {`+shutdown+`}, "health":`, 1))
}

// stopLater runs Stop and delivers what it returned.
func (s *server) stopLater(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Stop(ctx) }()
	return done
}

// ends waits for what stopLater delivers.
func ends(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(3 * time.Minute):
		t.Fatal("the gateway did not stop")
		return nil
	}
}

func ready(t *testing.T, addr string) int {
	t.Helper()
	head, body := roundTrip(t, addr, get("/ready"))
	require.Equal(t, "application/json", head.Get("Content-Type"))
	want := `{"ready":true}`
	if head.Status != 200 {
		want = `{"ready":false,"reason":"this node has not started yet, or is stopping"}`
	}
	require.JSONEq(t, want, body)
	return head.Status
}

// PROTOCOL 12.28. Whoever balances learns it before anything else changes.
func TestGraceGoesOnServing(t *testing.T) {
	s := launchStopping(t, `"grace": "9m", "timeout": "10m"`, parts{})
	require.Equal(t, 200, ready(t, s.addr))
	before := s.subscribe(t, "news")
	before.ExpectConnect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	done := s.stopLater(ctx)
	testkit.EventuallyWithin(t, time.Minute, func() bool { return ready(t, s.addr) == 503 }, "/ready to say no")
	head, _ := roundTrip(t, s.addr, get("/health"))
	require.Equal(t, 200, head.Status, "alive it is")
	meanwhile := s.subscribe(t, "news")
	meanwhile.ExpectConnect(t)
	s.api.Publish(t, "news", `"meanwhile"`)
	for _, c := range []*testkit.Client{before, meanwhile} {
		c.Expect(t, `{"channel":"news","pub":{"data":"meanwhile"}}`)
	}
	cancel() // a second signal does this
	require.NotErrorIs(t, ends(t, done), node.ErrShutdownTimeout)
	for _, c := range []*testkit.Client{before, meanwhile} {
		c.ExpectDisconnect(t, 3001)
	}
}

func TestWhatIsPublishedDuringTheGraceReachesEverybody(t *testing.T) {
	for _, grace := range []time.Duration{300 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
		if publishDuringGrace(t, grace) > 0 {
			return
		}
	}
	t.Fatal("nothing was published within 20 s")
}

// publishDuringGrace returns how many publications reached everybody: none if
// the grace was too short for the machine.
func publishDuringGrace(t *testing.T, grace time.Duration) (acknowledged int) {
	t.Helper()
	s := launchStopping(t, fmt.Sprintf(`"grace": %q, "timeout": "2m"`, grace), parts{})
	var clients []*testkit.Client
	for range 10 {
		c := s.subscribe(t, "news")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := s.stopLater(ctx)
	for publish(s.addr, "news", strconv.Itoa(acknowledged)) {
		acknowledged++
	}
	require.NoError(t, ends(t, done))
	require.GreaterOrEqual(t, time.Since(began), grace)
	for _, c := range clients {
		for i := range acknowledged {
			c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i))
		}
		last := c.Next(t)
		if last.Kind == "pub" { // its answer was lost with the connection
			last = c.Next(t)
		}
		require.Equal(t, "disconnect", last.Kind)
	}
	return acknowledged
}

// publish reports whether a publication was acknowledged.
func publish(addr, channel, data string) bool {
	body := fmt.Sprintf(`{"channel":%q,"data":%s}`, channel, data)
	r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/api/publish", strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("X-API-Key", testKey)
	defer http.DefaultClient.CloseIdleConnections()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return err == nil && answer.StatusCode == 200 && strings.Contains(string(text), `"result"`)
}

// Streams end at a set rate, and their clients are told to come back over the
// rest of the time that this takes.
func TestStreamsEndAtASetRate(t *testing.T) {
	const streams, rate = 60, 40
	s := launchStopping(t, fmt.Sprintf(`"rate": %d`, rate), parts{sse: `, "retry": "1s-2s"`})
	var clients []*testkit.Client
	for range streams {
		c := s.subscribe(t, "news")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	done := s.stopLater(ctx)
	require.NoError(t, ends(t, done))
	require.GreaterOrEqual(t, time.Since(began), time.Second*(streams-rate/10)/rate)
	for _, c := range clients {
		frame := string(c.NextKind(t, "disconnect").Frame)
		var ms int
		_, err := fmt.Sscanf(frame, "retry: %d\n", &ms)
		require.NoError(t, err, "%q", frame)
		require.GreaterOrEqual(t, ms, 1000)
		require.LessOrEqual(t, ms, 2000+1000*streams/rate)
		c.ExpectEnd(t)
	}
}

// shortOf is a context of which there are never more than four seconds left, and
// never less: a machine that stands still takes none of them.
type shortOf struct{ context.Context }

func (shortOf) Deadline() (time.Time, bool) { return time.Now().Add(4 * time.Second), true }

// A rate that would not keep the timeout is not kept either.
func TestStreamsEndFasterWhereTheTimeIsShort(t *testing.T) {
	const streams = 100
	s := launchStopping(t, `"rate": 1`, parts{})
	var told sync.WaitGroup
	for range streams {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Timeout: time.Minute})
		c.ExpectConnect(t)
		told.Go(func() {
			c.NextKind(t, "disconnect")
			c.Close()
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	require.NoError(t, ends(t, s.stopLater(shortOf{ctx})))
	require.Less(t, time.Since(began), streams*time.Second*3/4, "faster than the rate")
	told.Wait()
}

// Browsers open connections that they never use.
func TestAConnectionWithoutARequestHoldsUpNoStream(t *testing.T) {
	s := launchStopping(t, ``, parts{})
	idle, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer idle.Close()
	begun, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer begun.Close()
	fmt.Fprintf(begun, "POST /api/publish HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, ends(t, s.stopLater(ctx)))
	c.ExpectDisconnect(t, 3001)
}

// lingered reports that since then streams that were told to end may all have
// gone by themselves: they wait a second for their clients to go.
func lingered(since time.Time) bool { return time.Since(since) > 900*time.Millisecond }

// A client that does not read is cut when the time is over.
func TestShutdownTimeout(t *testing.T) {
	s := launchStopping(t, `"timeout": "1s"`, parts{client: `, "queue_max_size": 100000000, "queue_max_age": "1h"`})
	slow := testkit.Dial(t, s.addr)
	slow.Send(get(subscribeTarget([]string{"news"})))
	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 1 }, "the stream")
	big := `"` + strings.Repeat("x", 1<<20) + `"`
	for s.group.Stats().Blocked == 0 {
		s.api.Publish(t, "news", big)
	}
	done := make(chan error, 1)
	go func() { done <- s.StopOn(make(chan os.Signal), nil) }()
	err := ends(t, done)
	require.ErrorIs(t, err, node.ErrShutdownTimeout)
}
