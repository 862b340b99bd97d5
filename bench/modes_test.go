//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// needDiag skips where the kernel does not tell the memory of sockets.
func needDiag(t *testing.T) {
	t.Helper()
	_, err := readSocketMemory(1)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		t.Skipf("this kernel has no sock_diag: %v", err)
	}
	require.NoError(t, err)
}

// prints checks that a report makes a table and valid JSON.
func prints(t *testing.T, r report, want ...string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, writeReport(&out, r, false))
	for _, text := range want {
		require.Contains(t, out.String(), text)
	}
	require.NotContains(t, out.String(), "%!", "a format string and its arguments differ")
	out.Reset()
	require.NoError(t, writeReport(&out, r, true))
	var fields map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &fields))
	require.Contains(t, fields, "mode")
	require.Contains(t, fields, "machine")
	require.Contains(t, fields, "config")
}

func TestChannelsBringsEveryMessageToItsOwnStream(t *testing.T) {
	r, err := measure(t, &standIn{}, func(f *fanOutFlags) {
		f.mode, f.pattern, f.ownChannels, f.streams, f.messages, f.inFlight = "channels", "burst", true, 21, 100, 4
	})
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	for _, x := range r.Rounds {
		require.EqualValues(t, 100, x.Deliveries, "one for each message")
		require.Zero(t, x.Lost+x.Duplicated+x.Reordered+x.Foreign)
	}
	prints(t, r, "on a channel each", "CPU of a publication and its delivery")
}

func TestMultiComparesManyChannelsWithOne(t *testing.T) {
	f := &multiFlags{fanOutFlags: *tinyFanOut((&standIn{}).start(t).URL), channels: 3}
	f.mode, f.conns, f.inFlight = "multi", 1, 1
	r, err := runMulti(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Len(t, r.side(ourSide), 2)
	require.Len(t, r.side(manySide), 2)
	for _, x := range r.Rounds {
		require.EqualValues(t, 20*30, x.Deliveries)
	}
	require.NotNil(t, r.Ratio)
	prints(t, r, "many ÷ one channel")
}

func TestSlowMeasuresWithAndWithoutStalledStreams(t *testing.T) {
	needDiag(t)
	f := &slowFlags{fanOutFlags: *tinyFanOut((&standIn{}).start(t).URL), percent: 20, fill: 3}
	f.mode, f.pattern, f.conns, f.inFlight, f.messages = "slow", "paced", 1, 8, 5
	r, err := runSlow(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Equal(t, 5, r.Count, "20 percent of all are 5 next to 20")
	require.Len(t, r.Turns, 4)
	stalled := 0
	for _, x := range r.Turns {
		if x.Count > 0 {
			stalled++
			require.InDelta(t, 5, x.Left, 1, "five messages close nobody")
		}
	}
	require.Equal(t, 2, stalled)
	require.Len(t, r.side(stalledSide), 2)
	require.NotNil(t, r.P99)
	prints(t, r, "kernel per stalled stream")
}

func TestPublishMeasuresFullAndHalfRate(t *testing.T) {
	f := &publishFlags{commonFlags: tiny((&standIn{}).start(t).URL), conns: 3, size: 128, rounds: 2, duration: 50 * time.Millisecond}
	r, err := runPublish(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Rounds, 2)
	for _, x := range r.Rounds {
		require.Positive(t, x.PerSecond)
		require.Positive(t, x.Half.P99)
		require.NotNil(t, x.CPU)
	}
	prints(t, r, "requests/s")

	f.key = "wrong"
	_, err = runPublish(t.Context(), f)
	require.ErrorContains(t, err, "401")
}

func TestHealthIsAskedUnderLoadAndAtRest(t *testing.T) {
	f := &healthFlags{fanOutFlags: *tinyFanOut((&standIn{}).start(t).URL), every: time.Millisecond, rest: 20 * time.Millisecond}
	f.mode, f.pattern, f.rounds, f.messages = "health", "burst", 1, 200
	r, err := runHealth(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Len(t, r.Turns, 2)
	for _, x := range r.Turns {
		require.Positive(t, x.Answers)
		require.Positive(t, x.MS.Max)
	}
	prints(t, r, "saturated")
}

func TestSoakSamplesWhileStreamsComeAndGo(t *testing.T) {
	needDiag(t)
	f := &soakFlags{
		fanOutFlags: *tinyFanOut((&standIn{}).start(t).URL), duration: 2 * time.Second, sample: 100 * time.Millisecond, churn: 5, stalled: 2, load: 0.1, calibrate: 20,
	}
	f.mode, f.pattern, f.conns, f.inFlight, f.rounds = "soak", "paced", 1, 8, 1
	r, err := runSoak(t.Context(), f)
	require.NoError(t, err)
	require.Zero(t, r.Lost+r.Duplicated+r.Foreign)
	require.NotEmpty(t, r.Samples)
	require.Len(t, r.Trends, 3)
	require.Equal(t, "threads", r.Trends[2].Name, "the stand-in has no pprof page")
	prints(t, r, "open files")

	f.duration = 200 * time.Millisecond
	_, err = runSoak(t.Context(), f)
	require.ErrorContains(t, err, "-duration")
}

func TestSoakStreamsComeAndGoAndStall(t *testing.T) {
	needDiag(t)
	f := &soakFlags{fanOutFlags: *tinyFanOut((&standIn{}).start(t).URL), churn: 5, stalled: 3}
	r, err := newRig(t.Context(), &f.commonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.close)
	x := &soakRun{f: f, r: r}
	for want := range 3 {
		require.EqualValues(t, want*5, x.churned)
		require.NoError(t, x.generation(t.Context()))
	}
	require.NoError(t, x.stall(t.Context()))
	require.NoError(t, x.stall(t.Context()), "they are replaced")
	require.NoError(t, awaitSockets(t.Context(), r.streams.Port(), 3, f.quiet))
	m, err := readSocketMemory(r.streams.Port())
	require.NoError(t, err)
	require.GreaterOrEqual(t, m.Sockets, 3)
	x.stalled.close()
}

// nchanStandIn speaks as much of nchan as bench asks for.
type nchanStandIn struct {
	mu sync.Mutex
	// Guarded by mu.
	streams map[chan string]bool
}

func (s *nchanStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /pub/bench":
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		for stream := range s.streams {
			stream <- fmt.Sprintf("id: 1:0\ndata: %s\n\n", body)
		}
		s.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "queued messages: 1")
	case "GET /sub/bench":
		mine := make(chan string, 4096)
		s.mu.Lock()
		s.streams[mine] = true
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		text := ": hi\n\n"
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
			select {
			case text = <-mine:
			case <-r.Context().Done():
			}
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestPeersTakeTurnsWithOurs(t *testing.T) {
	peer := httptest.NewServer(&nchanStandIn{streams: map[chan string]bool{}})
	t.Cleanup(peer.Close)
	f := tinyFanOut((&standIn{}).start(t).URL)
	require.NoError(t, f.check())
	r, err := newRig(t.Context(), &f.commonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.close)
	h := &host{name: nchanName, target: &target{streamURL: peer.URL + "/sub", apiURL: peer.URL + "/pub", channel: "bench", speaks: nchan{}}}
	h.streams, h.streamURL, err = resolve(t.Context(), h.target.streamURL, false)
	require.NoError(t, err)
	r.peers = append(r.peers, h)

	got, err := fanOut(t.Context(), f, r)
	require.NoError(t, err)
	require.NoError(t, got.verdict())
	require.Len(t, got.side(nchanName), 2)
	for _, x := range got.side(nchanName) {
		require.EqualValues(t, 20*30, x.Deliveries)
		require.Zero(t, x.Lost+x.Foreign)
		require.Nil(t, x.CPU, "the process is not known")
	}
	require.Len(t, got.Peers, 1)
	require.NotNil(t, got.Peers[0].Ratios.PerSecond)
	require.NotEmpty(t, got.Peers[0].Summary.Curve)
	prints(t, got, "server ÷ nchan")
}

func TestHammerSaysWhatIsWrong(t *testing.T) {
	f := func(answer, want string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}))
		t.Cleanup(srv.Close)
		addr := netip.MustParseAddrPort(srv.Listener.Addr().String())
		h, err := newHammer(addr, 1, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (&target{}).dialect().accepts, patience)
		require.NoError(t, err)
		defer h.close()
		_, err = h.run(t.Context(), time.Second, 0)
		require.ErrorContains(t, err, want)
	}
	f("", "closed a keep-alive connection")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "")
	f("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", "401 no")
	f("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"error\":{}", "error")
	f("HTTP/1.1 200 OK\r\n\r\n", "Content-Length")
}

func TestBudgetsJudgeEveryRowAndGoOnAfterAFailure(t *testing.T) {
	f := &budgetsFlags{rounds: 1}
	f.server, f.workers, f.ramp, f.quiet = "/nowhere", 1, 1, time.Second
	at := func(v float64) *spread { return &spread{v, v, v} }
	r, err := runBudgets(t.Context(), f, []budgetStep{
		{"first", []budgetRow{{Name: "a", Unit: "×", Must: 2, Aim: 1}, {Name: "b", Unit: "×", Must: 2, Aim: 1}, {Name: "c", Unit: "×", Must: 2}, {Name: "d", Unit: "×", Must: 2}},
			func(_ context.Context, _ *budgetsFlags, rows []budgetRow) error {
				rows[0].Got, rows[1].Got, rows[2].Got = at(0.5), at(1.5), at(2.5)
				return nil
			}},
		{"second", []budgetRow{{Name: "e", Must: 1}}, func(context.Context, *budgetsFlags, []budgetRow) error { return errors.New("it broke") }},
		{"third", []budgetRow{{Name: "f", Unit: "×", Must: 10, AtLeast: true}, {Name: "g", Must: 0, Tolerance: 0.1}},
			func(_ context.Context, _ *budgetsFlags, rows []budgetRow) error {
				rows[0].Got, rows[1].Got = at(12), at(0.05)
				return nil
			}},
	})
	require.NoError(t, err)
	var verdicts []string
	for _, b := range r.Rows {
		verdicts = append(verdicts, b.Name+" "+b.Verdict)
	}
	require.Equal(t, []string{
		"a " + budgetAim, "b " + budgetMet, "c " + budgetMissed, "d " + budgetNone, "e " + budgetFailed, "f " + budgetMet, "g " + budgetMet,
	}, verdicts)
	require.ErrorContains(t, r.verdict(), "it broke")
	r.Rows = append(r.Rows[:4:4], r.Rows[5:]...)
	require.NoError(t, r.verdict(), "a missed budget is no failure")
	prints(t, r, "4 met (1 of them the aim), 1 missed, 0 shown only (no ratio: it depends on the machine), 1 failed or not measured")
}

func TestEveryBudgetHasAMeasurement(t *testing.T) {
	for _, s := range budgetSteps {
		require.NotEmpty(t, s.budgets, s.name)
		require.NotNil(t, s.measure, s.name)
		for _, b := range s.budgets {
			require.NotEmpty(t, b.Name, s.name)
		}
	}
}
