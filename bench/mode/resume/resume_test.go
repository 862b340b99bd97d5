//go:build linux

package resume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/figures"
	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/standin"
)

// historian is a stand-in that keeps a history: the id of an event is the
// number of publications so far.
type historian struct {
	noIDs  bool                                       // events have no id lines
	stuck  int                                        // clients that info counts too many
	mute   bool                                       // info is not answered
	behind bool                                       // what was missed follows the connect push
	lose   func(stream int, missed []string) []string // what becomes of the missed ones

	mu sync.Mutex
	// Guarded by mu.
	history []string
	opened  int
	streams map[chan string]bool
}

func (s *historian) start(t *testing.T) *httptest.Server {
	t.Helper()
	s.streams = map[chan string]bool{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connection/uni_sse", s.stream)
	mux.HandleFunc("POST /api/publish", s.publish)
	mux.HandleFunc("POST /api/info", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mute {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"result":{"nodes":[{"num_clients":%d},{"num_clients":%d}]}}`, len(s.streams), s.stuck)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func (s *historian) publish(w http.ResponseWriter, r *http.Request) {
	var req struct{ Data json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, string(req.Data))
	for stream := range s.streams {
		stream <- s.idLine() + fmt.Sprintf("data: {\"channel\":\"bench\",\"pub\":{\"data\":%s}}\n\n", req.Data)
	}
	_, _ = io.WriteString(w, `{"result":{}}`)
}

// idLine is called with mu held.
func (s *historian) idLine() string {
	if s.noIDs {
		return ""
	}
	return fmt.Sprintf("id: %d\n", len(s.history))
}

// load.connectPush is called with mu held.
func (s *historian) connectPush(lastID string) string {
	stream := s.opened
	s.opened++
	if lastID == "" {
		return s.idLine() + "data: {\"connect\":{\"subs\":{\"bench\":{\"recoverable\":true}}}}\n\n"
	}
	since, err := strconv.Atoi(lastID)
	if err != nil {
		return "data: {\"disconnect\":{\"code\":3000}}\n\n"
	}
	missed := s.history[since:]
	if s.lose != nil {
		missed = s.lose(stream, missed)
	}
	if s.behind {
		events := ""
		for i, data := range missed {
			events += fmt.Sprintf("data: {\"channel\":\"bench\",\"pub\":{\"data\":%s}}\nid: %d\n\n", data, since+i+1)
		}
		return fmt.Sprintf("data: {\"connect\":{\"subs\":{\"bench\":{\"recovered\":true}}}}\nid: %d\n\n%s", since, events)
	}
	pubs := make([]string, len(missed))
	for i, data := range missed {
		pubs[i] = fmt.Sprintf(`{"data":%s,"offset":%d}`, data, since+i+1)
	}
	return s.idLine() + fmt.Sprintf("data: {\"connect\":{\"subs\":{\"bench\":{\"recovered\":true,\"publications\":[%s]}}}}\n\n", strings.Join(pubs, ","))
}

func (s *historian) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(text string) {
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
	mine := make(chan string, 256)
	s.mu.Lock()
	hello := s.connectPush(r.Header.Get("Last-Event-ID"))
	s.streams[mine] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.streams, mine)
		s.mu.Unlock()
	}()
	send(hello)
	for {
		select {
		case frame := <-mine:
			send(frame)
		case <-r.Context().Done():
			return
		}
	}
}

// comeBack runs the resume mode against s.
func comeBack(t *testing.T, s *historian, change func(f *Flags)) (*Report, error) {
	t.Helper()
	url := s.start(t).URL
	f := &Flags{Streams: 21, Missed: 5, Size: 128, Rounds: 2}
	f.Workers, f.Ramp, f.Quiet = 2, 8, standin.Patience
	f.URL, f.API, f.Key, f.Anonymous, f.Channel = url+"/connection/uni_sse", url+"/api", "key", true, "bench"
	f.PIDs = strconv.Itoa(os.Getpid())
	change(f)
	return Run(t.Context(), f)
}

func TestResumeFindsWhatWasMissedInAndBehindConnectPushes(t *testing.T) {
	for _, behind := range []bool{false, true} {
		r, err := comeBack(t, &historian{behind: behind}, func(*Flags) {})
		require.NoError(t, err)
		require.NoError(t, r.Verdict())
		require.Len(t, r.Turns, 4)
		for i, side := range []string{sideResume, sidePlain, sidePlain, sideResume} {
			x := r.Turns[i]
			require.Equal(t, side, x.Side, "who goes first alternates")
			require.Positive(t, x.CPU)
			if side == sideResume {
				require.EqualValues(t, 21*5, x.Missed)
				require.EqualValues(t, 21, x.Recovered)
				require.Equal(t, !behind, x.PushBytes > 5.0*128)
			} else {
				require.Zero(t, x.Missed+x.Recovered)
			}
		}
		require.NotNil(t, r.Ratio)
	}
}

func TestResumeFailsWhereAStreamGotSomethingElse(t *testing.T) {
	r, err := comeBack(t, &historian{lose: func(stream int, missed []string) []string {
		switch stream - 21 { // of the second turn, the first that resumes
		case 3:
			return missed[1:]
		case 7:
			return append(missed[:5:5], missed[4])
		case 8:
			return []string{missed[1], missed[0], missed[2], missed[3], missed[4]}
		case 20:
			return append(missed[:5:5], `"stray"`)
		}
		return missed
	}}, func(f *Flags) { f.Rounds = 1 })
	require.NoError(t, err)
	require.ErrorContains(t, r.Verdict(), "round 1, resume: expected 105 messages in or behind the connect pushes of 21 streams, got 104; "+
		"21 streams were recovered, 1 messages lost, 1 repeated, 1 out of order, 1 foreign")
}

func TestResumeSaysWhyItCannotMeasure(t *testing.T) {
	_, err := comeBack(t, &historian{noIDs: true}, func(*Flags) {})
	require.ErrorContains(t, err, "force_recovery")
	_, err = comeBack(t, &historian{mute: true}, func(*Flags) {})
	require.ErrorContains(t, err, "the API method info was answered 503", "a turn ends when nobody is connected any more")
	err = (&load.Target{APIURL: (&historian{stuck: 3}).start(t).URL + "/api"}).AwaitNobody(t.Context(), time.Millisecond)
	require.ErrorContains(t, err, "still counts 3 clients")
	_, err = comeBack(t, &historian{}, func(f *Flags) { f.PIDs = "" })
	require.ErrorIs(t, err, proc.ErrNoPID)
	_, err = comeBack(t, &historian{}, func(f *Flags) { f.Missed = maxMissed + 1 })
	require.ErrorContains(t, err, "-missed")
}

func TestResumeReportDividesRoundByRound(t *testing.T) {
	turn := func(side string, round int, cpu float64) resumeTurn {
		x := resumeTurn{Side: side, Round: round, Streams: 2, CPU: cpu}
		if side == sideResume {
			x.Expected, x.Missed, x.Recovered = 6, 6, 2
		}
		return x
	}
	r := &Report{Turns: []resumeTurn{
		turn(sideResume, 1, 60), turn(sidePlain, 1, 20), turn(sidePlain, 2, 40), turn(sideResume, 2, 60), turn(sideResume, 3, 100), turn(sidePlain, 3, 40),
	}, Note: resumeNote}
	r.sumUp()
	require.NoError(t, r.Verdict())
	require.Equal(t, &figures.Spread{Median: 2.5, Min: 1.5, Max: 3}, r.Ratio)
	require.Equal(t, figures.Spread{Median: 60, Min: 60, Max: 100}, r.Resume)
	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, false))
	require.Contains(t, out.String(), "2.50 (1.50–3.00)  budget ≤ 2: MISSED")
	require.Contains(t, out.String(), "the cut is on the connections")
	out.Reset()
	require.NoError(t, figures.WriteReport(&out, r, true))
	require.True(t, json.Valid(out.Bytes()))

	for name, spoil := range map[string]func(x *resumeTurn){
		"a message too few":          func(x *resumeTurn) { x.Missed-- },
		"a message too many":         func(x *resumeTurn) { x.Missed++ },
		"a stream not recovered":     func(x *resumeTurn) { x.Recovered-- },
		"lost":                       func(x *resumeTurn) { x.Lost++ },
		"repeated":                   func(x *resumeTurn) { x.Duplicated++ },
		"out of order":               func(x *resumeTurn) { x.Reordered++ },
		"something that is not ours": func(x *resumeTurn) { x.Foreign++ },
	} {
		x := turn(sideResume, 1, 1)
		require.True(t, x.exact())
		spoil(&x)
		require.False(t, x.exact(), name)
	}
	plain := turn(sidePlain, 1, 1)
	plain.Recovered = 2
	require.False(t, plain.exact(), "a plain connect is not recovered")
}
