//go:build linux

package fanout

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
	"sluice/bench/mode/modetest"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
	"sluice/gateway/testkit"
)

func TestNchanOfThisMachineTakesPart(t *testing.T) {
	testkit.NeedProgram(t, []string{"nginx", "/usr/sbin/nginx"}, "apt-get install nginx libnginx-mod-nchan")
	f := tinyFanOut((&standin.Server{}).Start(t).URL)
	f.Peers = "nchan"
	r, err := Run(t.Context(), f)
	require.NoError(t, err)
	if len(r.Peers) == 0 && os.Getenv("REQUIRE_E2E") != "1" {
		t.Skip("the nginx of this machine has no nchan module")
	}
	require.Len(t, r.Peers, 1)
	for _, x := range r.side("nchan") {
		require.Positive(t, x.Deliveries)
		require.NotNil(t, x.CPU)
	}
	require.NotNil(t, r.Peers[0].Summary.RSS)
}

func TestUnknownPeersAreRefused(t *testing.T) {
	f := tinyFanOut((&standin.Server{}).Start(t).URL)
	f.Peers = "apache"
	_, err := Run(t.Context(), f)
	require.ErrorContains(t, err, "apache")
}

func TestSocketMemoryOfAServer(t *testing.T) {
	modetest.NeedDiag(t)
	srv := (&standin.Server{}).Start(t)
	f := tinyFanOut(srv.URL)
	r, err := rig.New(t.Context(), &f.CommonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	// Another program's client may have the same port on another address.
	before, err := proc.ReadSocketMemory(r.Streams.Port())
	require.NoError(t, err)
	c, err := r.NewClient(&r.Host, 7, load.Ignore)
	require.NoError(t, err)
	require.NoError(t, c.Open(t.Context(), 7, f.Quiet))
	after, err := proc.ReadSocketMemory(r.Streams.Port())
	require.NoError(t, err)
	require.Equal(t, 7, after.Sub(before).Sockets)
	c.Close()
	require.NoError(t, proc.AwaitSockets(t.Context(), r.Streams.Port(), before.Sockets, f.Quiet))
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
	f := tinyFanOut((&standin.Server{}).Start(t).URL)
	require.NoError(t, f.check())
	r, err := rig.New(t.Context(), &f.CommonFlags, 100)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	h := &rig.Host{Name: "nchan", Target: &load.Target{StreamURL: peer.URL + "/sub", APIURL: peer.URL + "/pub", Channel: "bench", Speaks: load.Nchan{}}}
	h.Streams, h.StreamURL, err = load.Resolve(t.Context(), h.Target.StreamURL, false)
	require.NoError(t, err)
	r.Peers = append(r.Peers, h)

	got, err := fanOut(t.Context(), f, r)
	require.NoError(t, err)
	require.NoError(t, got.Verdict())
	require.Len(t, got.side("nchan"), 2)
	for _, x := range got.side("nchan") {
		require.EqualValues(t, 20*30, x.Deliveries)
		require.Zero(t, x.Lost+x.Foreign)
		require.Nil(t, x.CPU, "the process is not known")
	}
	require.Len(t, got.Peers, 1)
	require.NotNil(t, got.Peers[0].Ratios.PerSecond)
	require.NotEmpty(t, got.Peers[0].Summary.Curve)
	modetest.Prints(t, got, "server ÷ nchan")
}
