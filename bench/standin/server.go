//go:build linux

package standin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Server speaks just enough of the endpoint and the API to be measured.
type Server struct {
	Mangle func(n int, frame string) string // what becomes of the n-th publication
	Refuse string                           // instead of the connect push
	Answer func(n int) string               // to the n-th publication
	Behind func(n int) string               // what the n-th stream gets behind its connect push
	Far    *Server                          // whose streams get the publications too

	mu sync.Mutex
	// Guarded by mu.
	streams map[chan string]map[string]struct{} // with their channels

	// Atomic.
	published atomic.Int64
	Opened    atomic.Int64
}

// Start serves until the end of the test.
func (s *Server) Start(t *testing.T) *httptest.Server {
	t.Helper()
	s.streams = map[chan string]map[string]struct{}{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connection/uni_sse", s.stream)
	mux.HandleFunc("POST /api/publish", s.publish)
	mux.HandleFunc("POST /api/batch", s.batch)
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
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
	if s.Mangle != nil {
		frame = s.Mangle(n, frame)
	}
	s.deliver(req.Channel, frame)
	if s.Far != nil {
		s.Far.deliver(req.Channel, frame)
	}
	answer := `{"result":{}}`
	if s.Answer != nil {
		answer = s.Answer(n)
	}
	_, _ = io.WriteString(w, answer)
}

// batch takes publications that nobody hears.
func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Commands []struct{ Publish json.RawMessage }
	}
	if r.Header.Get("X-API-Key") != "key" || json.NewDecoder(r.Body).Decode(&req) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	replies := strings.Repeat(`{"publish":{}},`, len(req.Commands))
	_, _ = io.WriteString(w, `{"replies":[`+strings.TrimSuffix(replies, ",")+`]}`)
}

func (s *Server) deliver(channel, frame string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, channels := range s.streams {
		if _, ok := channels[channel]; ok {
			stream <- frame
		}
	}
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
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
	if s.Refuse != "" {
		send(s.Refuse)
		return
	}
	send("data: {\"connect\":{\"client\":\"x\"}}\n\n")
	if n := int(s.Opened.Add(1)); s.Behind != nil {
		send(s.Behind(n))
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

// Patience is how long a test waits for what must happen.
const Patience = time.Minute
