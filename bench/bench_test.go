//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"golang.org/x/sys/unix"
	"sluice/gateway/testkit"
)

// standIn speaks just enough of the endpoint and the API to be measured.
type standIn struct {
	mangle func(n int, frame string) string // what becomes of the n-th publication
	refuse string                           // instead of the connect push
	answer func(n int) string               // to the n-th publication
	behind func(n int) string               // what the n-th stream gets behind its connect push

	mu sync.Mutex
	// Guarded by mu.
	streams map[chan string]map[string]struct{} // with their channels

	// Atomic.
	published atomic.Int64
	opened    atomic.Int64
}

func (s *standIn) start(t *testing.T) *httptest.Server {
	t.Helper()
	s.streams = map[chan string]map[string]struct{}{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connection/uni_sse", s.stream)
	mux.HandleFunc("POST /api/publish", s.publish)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func (s *standIn) publish(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Channel string
		Data    json.RawMessage
	}
	if r.Header.Get("X-API-Key") != "key" || json.NewDecoder(r.Body).Decode(&req) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	frame := fmt.Sprintf("data: {\"channel\":%q,\"pub\":{\"data\":%s}}\n\n", req.Channel, req.Data)
	n := int(s.published.Add(1))
	if s.mangle != nil {
		frame = s.mangle(n, frame)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, channels := range s.streams {
		if _, ok := channels[req.Channel]; ok {
			stream <- frame
		}
	}
	answer := `{"result":{}}`
	if s.answer != nil {
		answer = s.answer(n)
	}
	_, _ = io.WriteString(w, answer)
}

func (s *standIn) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := w.(http.Flusher)
	send := func(text string) {
		_, _ = io.WriteString(w, text)
		flusher.Flush()
	}
	send("\r\n")
	mine := make(chan string, 4096)
	var connect struct{ Subs map[string]struct{} }
	if json.Unmarshal([]byte(r.URL.Query().Get("cf_connect")), &connect) != nil {
		return
	}
	s.mu.Lock()
	s.streams[mine] = connect.Subs
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, mine)
		s.mu.Unlock()
	}()
	if s.refuse != "" {
		send(s.refuse)
		return
	}
	send("data: {\"connect\":{\"client\":\"x\"}}\n\n")
	if n := int(s.opened.Add(1)); s.behind != nil {
		send(s.behind(n))
	}
	for {
		select {
		case frame := <-mine:
			if frame != "" {
				send(frame)
			}
		case <-r.Context().Done():
			return
		}
	}
}

// measure runs the fan-out mode against s.
func measure(t *testing.T, s *standIn, change func(f *fanOutFlags)) (*fanOutReport, error) {
	t.Helper()
	f := tinyFanOut(s.start(t).URL)
	change(f)
	return runFanOut(t.Context(), f)
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// tiny are the flags that a running stand-in at url asks for.
func tiny(url string) (f commonFlags) {
	f.workers, f.ramp, f.quiet = 2, 8, patience
	f.url, f.api, f.key, f.anonymous, f.channel = url+"/connection/uni_sse", url+"/api", "key", true, "bench"
	f.pids = strconv.Itoa(os.Getpid())
	return f
}

func tinyFanOut(url string) *fanOutFlags {
	return &fanOutFlags{
		commonFlags: tiny(url), mode: "fan-out", streams: 20, size: 128, messages: 30, rounds: 2, rate: 500, conns: 4, inFlight: 16, pattern: "closed",
	}
}

func TestFanOutCountsEveryDeliveryOfServerAndFloor(t *testing.T) {
	testkit.NeedProgram(t, []string{"gcc"}, "apt-get install gcc libc6-dev")
	for _, p := range []pattern{patternClosed, patternBurst, patternPaced} {
		t.Run(string(p), func(t *testing.T) {
			r, err := measure(t, &standIn{}, func(f *fanOutFlags) { f.pattern, f.floor = string(p), true })
			require.NoError(t, err)
			require.Len(t, r.Rounds, 4)
			require.Equal(t, []string{"floor", "server", "server", "floor"},
				[]string{r.Rounds[0].Side, r.Rounds[1].Side, r.Rounds[2].Side, r.Rounds[3].Side}, "who goes first alternates")
			for _, x := range r.Rounds {
				require.EqualValues(t, 20*30, x.Deliveries)
				require.Zero(t, x.Lost+x.Duplicated+x.Reordered+x.Foreign)
				require.Positive(t, *x.CPU)
				require.Positive(t, x.Lag.P50)
				require.GreaterOrEqual(t, x.Lag.Max, x.LastLag.Max-0.001)
			}
			require.NotNil(t, r.Ratios.CPU)
			require.NoError(t, r.verdict())
		})
	}
}

// playBurst plays a warm-up and a round of bursts to the streams of s, and calls
// during on another goroutine, which is to return when the context ends.
func playBurst(t *testing.T, s *standIn, during func(context.Context, *side)) (*fanOutReport, error) {
	t.Helper()
	f := tinyFanOut(s.start(t).URL)
	f.pattern, f.rounds = "burst", 1
	require.NoError(t, f.check())
	r, err := newRig(t.Context(), &f.commonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.close)
	listening, err := openHost(t.Context(), f, r, &r.host, &captured{})
	require.NoError(t, err)
	t.Cleanup(listening.close)
	ctx, cancel := context.WithCancel(t.Context())
	var aside sync.WaitGroup
	aside.Go(func() { during(ctx, listening) })
	defer aside.Wait()
	defer cancel()
	report := newFanOutReport(f, r, 0)
	return report, takeTurns(t.Context(), f, r, []*side{listening}, report)
}

func TestFanOutReportsLostAndRepeatedDeliveries(t *testing.T) {
	// The first publication is the one that is captured; 3 messages warm up.
	lost := make(chan struct{})
	r, err := playBurst(t, &standIn{mangle: func(n int, frame string) string {
		switch n {
		case 10:
			close(lost)
			return ""
		case 20:
			return frame + frame
		}
		return frame
	}}, func(ctx context.Context, s *side) {
		select {
		case <-lost:
			s.goal.add(20) // nobody waits for what will not come
		case <-ctx.Done():
		}
	})
	require.NoError(t, err)
	require.EqualValues(t, 20, r.Rounds[0].Lost)
	require.EqualValues(t, 20, r.Rounds[0].Duplicated)
	require.EqualValues(t, 20*29, r.Rounds[0].Deliveries)
	require.ErrorContains(t, r.verdict(), "20 deliveries were lost and 20 repeated")
}

func TestFanOutStopsWhenTheServerEndsStreams(t *testing.T) {
	_, err := playBurst(t, &standIn{mangle: func(n int, frame string) string {
		if n == 10 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return frame
	}}, func(ctx context.Context, s *side) {
		for s.client.closed.Load() < 20 {
			if pause(ctx, time.Millisecond) != nil {
				return
			}
		}
		s.goal.add(20 * 30) // nobody waits for what will not come
	})
	require.ErrorContains(t, err, "3008")
	require.ErrorContains(t, err, "20 of 20 streams were closed")
}

func TestFanOutSaysWhyStreamsOrPublicationsAreRefused(t *testing.T) {
	_, err := measure(t, &standIn{refuse: "data: {\"disconnect\":{\"code\":3500,\"reason\":\"invalid token\"}}\n\n"}, func(*fanOutFlags) {})
	require.ErrorContains(t, err, "the server ended the stream")
	_, err = measure(t, &standIn{}, func(f *fanOutFlags) { f.key = "wrong" })
	require.ErrorContains(t, err, "401")
}

func TestIdleReadsMemoryAtEveryStep(t *testing.T) {
	s := &standIn{}
	f := &idleFlags{stepList: "10, 30", rounds: 1}
	f.workers, f.ramp, f.quiet = 1, 8, patience
	f.url, f.anonymous, f.channel = s.start(t).URL+"/connection/uni_sse", true, "bench"
	_, err := runIdle(t.Context(), f)
	require.ErrorIs(t, err, errNoPID)

	f.steps, f.pids = nil, strconv.Itoa(os.Getpid())
	r, err := runIdle(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Series, 1)
	require.Len(t, r.Series[0].Rounds, 1)
	steps := r.Series[0].Rounds[0].Steps
	require.Len(t, steps, 3)
	for i, want := range []int{0, 10, 30} {
		require.Equal(t, want, steps[i].Streams)
		require.Positive(t, steps[i].Memory.RSS)
		require.Equal(t, -1, steps[i].Goroutines, "the stand-in has no pprof page")
	}

	f.steps, f.rounds = nil, 2
	_, err = runIdle(t.Context(), f)
	require.ErrorContains(t, err, "-rounds at 1", "a running server cannot be made fresh")
}

func TestIdleStepsMustGrow(t *testing.T) {
	for _, list := range []string{"", "x", "5,5", "10,5", "0,5", "5,"} {
		require.Error(t, (&idleFlags{stepList: list, rounds: 1}).check(), list)
	}
	require.Error(t, (&idleFlags{stepList: "5", rounds: 0}).check())
	require.NoError(t, (&idleFlags{stepList: "5", rounds: 3}).check())
}

func TestEachGroupOfStreamsHasASourceAddressOfItsOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c := &client{cfg: clientConfig{addr: netip.MustParseAddrPort(l.Addr().String())}}
	f := func(stream int, want string) {
		t.Helper()
		fd, err := c.dial(stream)
		require.NoError(t, err)
		conn, err := l.Accept()
		require.NoError(t, err)
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		require.NoError(t, err)
		require.Equal(t, want, host)
		require.NoError(t, conn.Close())
		require.NoError(t, unix.Close(fd))
	}
	f(0, "127.0.0.1")
	f(streamsPerSource-1, "127.0.0.1")
	f(streamsPerSource, "127.0.0.2")
	f(300*streamsPerSource, "127.0.1.45")
	c.cfg.source = 4
	f(0, "127.0.0.5")
	f(streamsPerSource, "127.0.0.6")
	require.Equal(t, []int{1, 1, 2}, []int{sourcesOf(1), sourcesOf(streamsPerSource), sourcesOf(streamsPerSource + 1)})
}

func TestRunModeToldApartWrongUseAndFailure(t *testing.T) {
	byName := map[string]mode{}
	for _, m := range modes {
		require.NotContains(t, byName, m.name)
		byName[m.name] = m
	}
	f := func(want int, name string, args ...string) {
		t.Helper()
		require.Equal(t, want, runMode(byName[name], args), strings.Join(args, " "))
	}
	f(0, "fan-out", "-h")
	f(exitUsage, "fan-out", "-no-such-flag")
	f(exitUsage, "idle", "5000")
	f(exitFailed, "fan-out", "-pattern", "sideways")
	f(exitUsage, "resume", "10")
	f(exitFailed, "resume", "-missed", "0")
	f(exitFailed, "connect", "-rounds", "0")
	f(exitFailed, "idle", "-url", "http://192.0.2.1/x", "-anonymous")
}
