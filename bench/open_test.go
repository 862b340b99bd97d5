//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// skimmed feeds the pieces to a splitter that keeps little of each event.
func skimmed(keep int, pieces ...string) (events []string, err error) {
	s := &splitter{}
	s.events.keep = keep
	for _, p := range pieces {
		buf := []byte(p)
		err = s.feed(buf, func(data []byte) { events = append(events, string(data)) })
		for i := range buf {
			buf[i] = '#'
		}
		if err != nil {
			return events, err
		}
	}
	return events, nil
}

func TestSkimmedEventsBeginAsTheWholeOnesDo(t *testing.T) {
	long := strings.Repeat("z", 40)
	wire := testHead + chunked("\r\n", "data: short\n\n", "id: 1\ndata: a"+long+"\n", "id: 2\n\n", ": hello\ndata: b"+long+"\r\n\r\n", "da", "ta: c", long, "\n\n", "data: {}\n\n")
	whole, _, err := split(wire)
	require.NoError(t, err)
	require.Len(t, whole, 5)
	f := func(pieces ...string) {
		t.Helper()
		events, err := skimmed(12, pieces...)
		require.NoError(t, err)
		require.Len(t, events, len(whole))
		for i, e := range events {
			// The field's name and colon are kept too.
			require.GreaterOrEqual(t, len(e), min(len(whole[i]), 12-len("data: ")))
			require.True(t, strings.HasPrefix(whole[i], e), "%q of %q", e, whole[i])
		}
	}
	f(wire)
	for i := range len(wire) + 1 {
		f(wire[:i], wire[i:])
	}
	f(strings.Split(wire, "")...)
}

func TestSkippableBytesEndBeforeTheEndOfTheirChunk(t *testing.T) {
	s := &splitter{}
	s.events.keep = 8
	var events []string
	emit := func(data []byte) { events = append(events, string(data)) }
	require.NoError(t, s.feed([]byte(testHead+"64\r\ndata: ab"), emit))
	require.Equal(t, 100-8-2, s.skippable())
	s.skipped(50)
	require.Equal(t, 40, s.skippable())
	s.skipped(40)
	require.Zero(t, s.skippable())
	require.NoError(t, s.feed([]byte("\n\n\r\n"+"a\r\ndata: cd\n\n\r\n"), emit))
	require.Equal(t, []string{"ab", "cd"}, events)
	require.Zero(t, s.skippable())
}

func tinyOpen(url string) *openFlags {
	return &openFlags{commonFlags: tiny(url), streams: 20, messages: 40, size: 200, conns: 4, rounds: 2}
}

func TestOpenBringsEveryMessageToEveryReader(t *testing.T) {
	f := tinyOpen((&standIn{}).start(t).URL)
	f.settle = time.Millisecond
	r, err := runOpen(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	var kinds []string
	for _, x := range r.Turns {
		kinds = append(kinds, x.Kind)
		require.Equal(t, 40, x.Accepted)
		require.EqualValues(t, 20*40, x.Deliveries)
		require.Zero(t, x.Closed+x.Lost+x.Duplicated+x.Reordered+x.Foreign+x.Ghosts)
		require.Positive(t, x.Seconds)
		require.Positive(t, x.Peak)
		require.LessOrEqual(t, x.InFlight, 40*200.0/(1<<20)+1e-9)
		require.InDelta(t, x.InFlight+32+20*2/1024.0, x.PeakBudget, 1e-9)
	}
	require.Equal(t, []string{"open", "closed", "closed", "open"}, kinds, "which comes first alternates")
	require.NotNil(t, r.Time)
	require.NotNil(t, r.Idle)
	prints(t, r, "closed 0, lost 0  budget ≤ 0: kept", "open ÷ closed loop", "RSS per idle stream")
}

func TestOpenDropsMostOfALargeMessageUnread(t *testing.T) {
	f := tinyOpen((&standIn{}).start(t).URL)
	f.streams, f.messages, f.size, f.conns, f.rounds = 5, 6, 1<<20, 2, 1
	r, err := runOpen(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	for _, x := range r.Turns {
		require.EqualValues(t, 5*6, x.Deliveries)
	}
}

func TestOpenCountsClosedReadersAndGoesOn(t *testing.T) {
	r, err := runOpen(t.Context(), tinyOpen((&standIn{mangle: func(n int, frame string) string {
		if n == openWarmUp+10 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return frame
	}}).start(t).URL))
	require.NoError(t, err)
	x := r.Turns[0]
	require.Equal(t, openLoop, x.Kind)
	require.EqualValues(t, 20, x.Closed)
	require.Equal(t, map[string]int64{"3008 slow": 20}, x.Reasons)
	require.Equal(t, 40, x.Accepted)
	require.InDelta(t, 20*(40-9), x.Missed, 20*4, "the publishers' order is not quite the streams'")
	require.Zero(t, x.Lost, "of closed streams nothing is lost")
	for _, x := range r.Turns[1:] {
		require.Zero(t, x.Closed)
		require.EqualValues(t, 20*40, x.Deliveries, "the streams were opened again")
	}
	require.NotNil(t, r.Time, "of the second round")
	require.ErrorContains(t, r.verdict(), "20 streams that read were closed")
	prints(t, r, "20 × 3008 slow", "closed 20, lost 0  budget ≤ 0: MISSED")
}

// forgetful is a server that refuses the n-th publication behind the warm-up,
// and delivers neither it nor the lost ones.
func forgetful(n int, lost ...int) *standIn {
	return &standIn{
		mangle: func(k int, frame string) string {
			if k -= openWarmUp; k == n || slices.Contains(lost, k) {
				return ""
			}
			return frame
		},
		answer: func(k int) string {
			if k == openWarmUp+n {
				return `{"error":{"code":100,"message":"internal server error"}}`
			}
			return `{"result":{}}`
		},
	}
}

func TestOpenTellsLostFromRefused(t *testing.T) {
	f := tinyOpen(forgetful(3, 4).start(t).URL)
	f.rounds, f.quiet = 1, 200*time.Millisecond
	r, err := runOpen(t.Context(), f)
	require.NoError(t, err)
	x := r.Turns[0]
	require.Equal(t, 39, x.Accepted)
	require.Equal(t, map[string]int{"error 100 internal server error": 1}, x.Refused)
	require.EqualValues(t, 20, x.Lost, "one message that was acknowledged")
	require.ErrorContains(t, r.verdict(), "20 deliveries of acknowledged messages")
	prints(t, r, "1 × error 100")

	f.commonFlags, f.retries = tiny(forgetful(3).start(t).URL), 1
	r, err = runOpen(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Equal(t, 40, r.Turns[0].Accepted, "the refused one was published again")
	require.EqualValues(t, 20*40, r.Turns[0].Deliveries)
}

func TestOpenLooksWhatBecameOfStalledStreams(t *testing.T) {
	f := tinyOpen((&standIn{}).start(t).URL)
	f.stalled, f.rounds = 25, 1
	r, err := runOpen(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	for _, x := range r.Turns {
		require.Equal(t, 15, x.Streams)
		require.Equal(t, &openStalled{Open: 5, Closed: map[string]int64{}}, x.Stalled)
	}
	prints(t, r, "of the stalled 5 open")
}

func TestOpenCountsReadersThatTrickleApart(t *testing.T) {
	needDiag(t)
	s := &standIn{behind: func(n int) string {
		if n > 20 && n%2 == 0 {
			return "data: {\"disconnect\":{\"code\":3008,\"reason\":\"slow\"}}\n\n"
		}
		return ""
	}}
	// The middle of a turn waits until some came.
	s.mangle = func(n int, frame string) string {
		if n > openWarmUp && (n-openWarmUp)%40 == 20 {
			for want := s.opened.Load() + 4; s.opened.Load() < want; {
				if pause(t.Context(), time.Millisecond) != nil {
					break
				}
			}
		}
		return frame
	}
	f := tinyOpen(s.start(t).URL)
	f.trickle, f.rounds = time.Millisecond, 1
	r, err := runOpen(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Nil(t, r.WarmUp.Trickled)
	var came, cut int64
	for _, x := range r.Turns {
		require.EqualValues(t, 20*40, x.Deliveries, "those that trickle are no readers")
		require.Zero(t, x.Closed+x.Lost+x.Foreign)
		require.GreaterOrEqual(t, x.Trickled.Came, int64(4))
		require.GreaterOrEqual(t, x.Trickled.Cut, int64(2))
		require.Equal(t, map[string]int64{"3008 slow": x.Trickled.Cut}, x.Trickled.Closed)
		require.Positive(t, x.Trickled.Open)
		require.LessOrEqual(t, x.Trickled.Cut+int64(x.Trickled.Open), x.Trickled.Came)
		came, cut = came+x.Trickled.Came, cut+x.Trickled.Cut
	}
	require.Equal(t, came, r.Trickled.Came)
	require.Equal(t, cut, r.Trickled.Cut)
	prints(t, r, "while one more that trickles comes every 1ms", fmt.Sprintf("of %d streams that trickle the server closed %d\n", came, cut))
}

func TestASipIsASmallRead(t *testing.T) {
	event := "data: " + strings.Repeat("z", 200<<10) + "\n\n"
	f := tinyOpen((&standIn{behind: func(int) string { return event }}).start(t).URL)
	r, err := newRig(t.Context(), &f.commonFlags, 64)
	require.NoError(t, err)
	t.Cleanup(r.close)
	x := &opens{f: f, r: r}
	requests, err := r.requests(1)
	require.NoError(t, err)
	s, err := x.newTrickling(requests)
	require.NoError(t, err)
	defer s.client.close()
	require.NoError(t, s.client.open(t.Context(), 1, patience))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for taken := int64(0); taken < int64(len(event)); {
		require.NoError(t, pause(ctx, time.Millisecond))
		before := taken
		s.client.onWorkers(func(int) {
			before = s.client.taken(0)
			s.client.sip(0)
			taken = s.client.taken(0)
		})
		require.LessOrEqual(t, taken-before, int64(trickleRead), "also where the rest of an event does not matter")
	}
	require.NoError(t, s.client.err())
}

func TestOpenRefusesWrongUse(t *testing.T) {
	f := tinyOpen((&standIn{}).start(t).URL)
	f.stalled = 95
	_, err := runOpen(t.Context(), f)
	require.ErrorContains(t, err, "-stalled")
	f = tinyOpen((&standIn{}).start(t).URL)
	f.pids = ""
	_, err = runOpen(t.Context(), f)
	require.ErrorIs(t, err, errNoPID)
}

func TestInFlightIsTheMostAtATime(t *testing.T) {
	f := func(want int, acked, last []int64) {
		t.Helper()
		turn := newReadersTurn(1)
		turn.last[0], turn.lastAt = last, 100
		require.Equal(t, want, turn.inFlight(&poured{acked: [][]int64{acked}}))
	}
	f(0, nil, nil)
	f(1, []int64{1, 3}, []int64{2, 4})
	f(2, []int64{1, 3}, []int64{4, 5})
	f(1, []int64{1, 2}, []int64{2, 3})
	f(0, []int64{5}, []int64{4})
	f(1, []int64{1, 0}, []int64{2, 0})
	f(2, []int64{1, 2}, []int64{9})
}

func TestPeakWatchSeesMemoryThatIsGoneAgain(t *testing.T) {
	self := []int{os.Getpid()}
	f := func(w *peakWatch) {
		t.Helper()
		before, err := statusSum(self, func(s *procfs.ProcStatus) uint64 { return s.VmRSS })
		require.NoError(t, err)
		b, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		require.NoError(t, err)
		if !w.kept {
			require.Eventually(t, func() bool { return w.peak.Load() > before+(48<<20) }, patience, time.Millisecond)
		}
		require.NoError(t, unix.Munmap(b))
		peak, err := w.end()
		require.NoError(t, err)
		require.Greater(t, peak, before+(48<<20), w.how())
	}
	w, err := watchPeak(self)
	require.NoError(t, err)
	f(w)
	// Where the kernel does not help, samples are taken.
	w = &peakWatch{pids: self, quit: make(chan struct{})}
	w.wg.Go(w.sample)
	f(w)
	_, err = watchPeak(nil)
	require.ErrorIs(t, err, errNoPID)
}

// recoverStandIn keeps a history and sends it to streams.
type recoverStandIn struct {
	standIn
	history []string
	refused int // streams that are sent away first
}

func (s *recoverStandIn) start(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/publish", func(w http.ResponseWriter, r *http.Request) {
		var req struct{ Data json.RawMessage }
		s.mu.Lock()
		defer s.mu.Unlock()
		if json.NewDecoder(r.Body).Decode(&req) == nil {
			s.history = append(s.history, string(req.Data))
		}
		fmt.Fprintf(w, `{"result":{"offset":%d,"epoch":"E"}}`, len(s.history))
	})
	mux.HandleFunc("GET /connection/uni_sse", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.refused--
		away := s.refused >= 0
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		if away {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "retry: 1\n\n")
			return
		}
		_, _ = io.WriteString(w, "\r\n")
		var connect struct {
			Subs map[string]struct {
				Recover bool
				Offset  int
				Epoch   string
			}
		}
		if json.Unmarshal([]byte(r.URL.Query().Get("cf_connect")), &connect) != nil {
			return
		}
		sub := connect.Subs["bench"]
		var pubs []string
		s.mu.Lock()
		for i, data := range s.history[sub.Offset:] {
			pubs = append(pubs, fmt.Sprintf(`{"data":%s,"offset":%d}`, data, i+1))
		}
		s.mu.Unlock()
		fmt.Fprintf(w, "data: {\"connect\":{\"subs\":{\"bench\":{\"publications\":[%s],\"recovered\":%v,\"was_recovering\":true}}}}\n\n",
			strings.Join(pubs, ","), sub.Recover && sub.Epoch == "E")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func TestRecoverServesEveryReader(t *testing.T) {
	f := &recoverFlags{
		commonFlags: tiny((&recoverStandIn{refused: 3}).start(t).URL), clients: 10, messages: 50, size: 8 << 10, mute: 30,
		budget: 1 << 30, again: time.Hour, limit: patience,
	}
	r, err := runRecover(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.verdict())
	require.Equal(t, 7, r.Readers)
	require.EqualValues(t, 7, r.Complete)
	require.EqualValues(t, 7*50, r.InPush)
	require.LessOrEqual(t, r.Retries, 3, "some of those sent away never read")
	require.Positive(t, r.Seconds)
	prints(t, r, "readers with everything  7 of 7", "RSS peak")
}

func TestRecovererFindsMessagesWhereverPushesAreCut(t *testing.T) {
	payload, err := newPayload(minPayload + 3)
	require.NoError(t, err)
	var pubs []string
	for i := range 4 {
		stampPayload(payload, message{sent: 1_700_000_000_000_000_000, seq: uint32(i)})
		pubs = append(pubs, fmt.Sprintf(`{"data":%s}`, payload))
	}
	push := `{"connect":{"subs":{"c":{"publications":[` + strings.Join(pubs, ",") + `],"recovered":true,"was_recovering":true}}}}`
	wire := testHead + chunked("\r\n", "data: "+push+"\n\n", "data: {}\n\n")
	f := func(pieces ...string) {
		t.Helper()
		d := newRecoverer(4, time.Second)
		s := newSplitter(skimBytes, func(b []byte) { d.Piece(0, b) })
		opened := false
		for _, p := range pieces {
			require.NoError(t, s.feed([]byte(p), func(data []byte) {
				if opened {
					d.Event(0, data, 0)
					return
				}
				opened = true
				d.Opened(0, data)
			}))
		}
		require.EqualValues(t, 1, d.count.complete)
		require.EqualValues(t, 4, d.count.inPush)
		require.Equal(t, tally{fresh: 4}, d.count.tally)
		require.Zero(t, d.count.foreign)
	}
	f(wire)
	for i := range len(wire) + 1 {
		f(wire[:i], wire[i:])
	}
	for _, n := range []int{1, 7, 40, carryBytes, minPayload} {
		var cuts []string
		for rest := wire; rest != ""; rest = rest[min(n, len(rest)):] {
			cuts = append(cuts, rest[:min(n, len(rest))])
		}
		f(cuts...)
	}
}

func TestRecovererTellsWhoIsNotRecovered(t *testing.T) {
	d := newRecoverer(1, time.Second)
	d.Opened(0, []byte(`{"connect":{"subs":{"c":{"was_recovering":true}}}}`))
	d.Closed(1, ending{why: "over"})
	d.Closed(2, ending{why: "over", retry: time.Minute})
	require.EqualValues(t, 1, d.count.unrecovered)
	require.Equal(t, []time.Duration{time.Second, time.Minute}, d.count.left)
	require.Equal(t, map[string]int64{"over": 2}, d.count.reasons)
}

func TestStormReadsMemorySoonAndLate(t *testing.T) {
	f := &stormFlags{commonFlags: tiny((&standIn{}).start(t).URL), streams: 30, rounds: 1, soon: time.Millisecond, late: 2 * time.Millisecond}
	r, err := runStorm(t.Context(), f)
	require.NoError(t, err)
	require.Len(t, r.Rounds, 1)
	require.Positive(t, r.Rounds[0].PerSecond)
	require.Positive(t, r.Rounds[0].Peak)
	require.NotNil(t, r.LateEach)
	prints(t, r, "RSS per stream 1ms after the storm", "RSS per stream 2ms after the storm")

	f.late, f.soon = time.Millisecond, time.Second
	_, err = runStorm(t.Context(), f)
	require.ErrorContains(t, err, "-late")
}

func TestAHardBudgetThatIsMissedIsAFailure(t *testing.T) {
	f := &budgetsFlags{rounds: 1}
	f.server, f.workers, f.ramp, f.quiet = "/nowhere", 1, 1, time.Second
	r, err := runBudgets(t.Context(), f, []budgetStep{{"x", openBudgets("tiny", "none"), func(_ context.Context, _ *budgetsFlags, rows []budgetRow) error {
		rows[rowClosed].Got, rows[rowLost].Got, rows[rowPeak].Got = &spread{0, 0, 0}, &spread{3, 3, 3}, &spread{2, 2, 2}
		return nil
	}}})
	require.NoError(t, err)
	require.ErrorContains(t, r.verdict(), "open loop, tiny: deliveries lost: expected at most 0, got 3")
	require.Equal(t, budgetNone, r.Rows[rowTime].Verdict)
	r.Rows[rowLost].Got.Median = 0
	r.Rows[rowLost].judge()
	require.NoError(t, r.verdict())
}
