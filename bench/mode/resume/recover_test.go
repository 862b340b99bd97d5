//go:build linux

package resume

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
	"sluice/bench/mode/modetest"
	"sluice/bench/standin"
)

// recoverStandIn keeps a history and sends it to streams.
type recoverStandIn struct {
	mu sync.Mutex
	// Guarded by mu.
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
	f := &RecoverFlags{
		CommonFlags: modetest.Flags((&recoverStandIn{refused: 3}).start(t).URL), Clients: 10, Messages: 50, Size: 8 << 10, Mute: 30,
		Budget: 1 << 30, Again: time.Hour, Limit: standin.Patience,
	}
	r, err := RunRecover(t.Context(), f)
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	require.Equal(t, 7, r.Readers)
	require.EqualValues(t, 7, r.Complete)
	require.EqualValues(t, 7*50, r.InPush)
	require.LessOrEqual(t, r.Retries, 3, "some of those sent away never read")
	require.Positive(t, r.Seconds)
	modetest.Prints(t, r, "readers with everything  7 of 7", "RSS peak")
}

func TestRecovererFindsMessagesWhereverPushesAreCut(t *testing.T) {
	payload, err := load.NewPayload(load.MinPayload + 3)
	require.NoError(t, err)
	var pubs []string
	for i := range 4 {
		load.StampPayload(payload, load.Message{Sent: 1_700_000_000_000_000_000, Seq: uint32(i)})
		pubs = append(pubs, fmt.Sprintf(`{"data":%s}`, payload))
	}
	push := `{"connect":{"subs":{"c":{"publications":[` + strings.Join(pubs, ",") + `],"recovered":true,"was_recovering":true}}}}`
	wire := standin.Head + standin.Chunked("\r\n", "data: "+push+"\n\n", "data: {}\n\n")
	f := func(pieces ...string) {
		t.Helper()
		d := newRecoverer(4, time.Second)
		s := load.NewSplitter(load.SkimBytes, func(b []byte) { d.Piece(0, b) })
		opened := false
		for _, p := range pieces {
			require.NoError(t, s.Feed([]byte(p), func(data []byte) {
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
		require.Equal(t, load.Tally{Fresh: 4}, d.count.tally)
		require.Zero(t, d.count.foreign)
	}
	f(wire)
	for i := range len(wire) + 1 {
		f(wire[:i], wire[i:])
	}
	for _, n := range []int{1, 7, 40, carryBytes, load.MinPayload} {
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
	d.Closed(1, load.Ending{Why: "over"})
	d.Closed(2, load.Ending{Why: "over", Retry: time.Minute})
	require.EqualValues(t, 1, d.count.unrecovered)
	require.Equal(t, []time.Duration{time.Second, time.Minute}, d.count.left)
	require.Equal(t, map[string]int64{"over": 2}, d.count.reasons)
}
