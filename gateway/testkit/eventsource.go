package testkit

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// EventSource is a client that does what a browser's EventSource does and nothing else: it comes back after an end or a cut,
// when the last retry line says, with the last id it was sent; any answer but 200 with the type of event streams ends it for
// good; redirects are followed with the same headers. Run is for one goroutine; the other methods may be called from any.
type EventSource struct {
	// Immutable after the first Run.
	URL     string
	Header  http.Header       // of each request, beside the usual ones
	Retry   time.Duration     // until a stream says otherwise; 0: 3 s, as Chromium has it
	OnEvent func(Event)       // on the goroutine of Run
	OnOpen  func(*SourceOpen) // the same, before the events of a stream
	Client  *http.Client      // nil: NewSourceClient's, shared by all

	// Guarded by mu.
	mu       sync.Mutex
	requests []SourceRequest
	cut      context.CancelFunc // of the stream in hand
}

// SourceRequest is a request of an EventSource.
type SourceRequest struct {
	At          time.Time
	LastEventID string
	Err         error // nil: it was answered
}

// SourceOpen is a stream that was opened.
type SourceOpen struct {
	Request SourceRequest
	URL     string // behind redirects
	Head    http.Header
}

// ended is what ends an EventSource for good.
type ended struct{ error }

// NewSourceClient returns a client for any number of EventSources, each of whose streams has a connection of its own.
func NewSourceClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
}

var sourceClient = sync.OnceValue(NewSourceClient)

// Run opens streams until ctx is over, when it returns nil, or until an answer ends it for good, which is the error.
func (s *EventSource) Run(ctx context.Context) error {
	retry, id := s.Retry, ""
	if retry == 0 {
		retry = 3 * time.Second
	}
	for {
		events, err := s.stream(ctx, id)
		if ctx.Err() != nil {
			return nil
		}
		if _, final := err.(ended); final {
			return err
		}
		if events != nil {
			if last := events.LastEventID(); last != "" {
				id = last
			}
			if ms, ok := events.Retry(); ok {
				retry = time.Duration(ms) * time.Millisecond
			}
		}
		timer := time.NewTimer(retry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Cut breaks the stream in hand, as a network does. It does nothing between two.
func (s *EventSource) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut != nil {
		s.cut()
	}
}

// Requests are all requests so far; one that was redirected counts once.
func (s *EventSource) Requests() []SourceRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// stream opens one stream and reads it to its end. It returns no reader unless there was a stream.
func (s *EventSource) stream(parent context.Context, id string) (*Reader, error) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, ended{err}
	}
	for name, values := range s.Header {
		request.Header[name] = values
	}
	request.Header.Set("Accept", "text/event-stream")
	if id != "" {
		request.Header.Set("Last-Event-ID", id)
	}
	sent := SourceRequest{At: time.Now(), LastEventID: id}
	client := s.Client
	if client == nil {
		client = sourceClient()
	}
	response, err := client.Do(request)
	sent.Err = err
	s.mu.Lock()
	s.requests, s.cut = append(s.requests, sent), cancel
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	mime, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if response.StatusCode != http.StatusOK || mime != "text/event-stream" {
		return nil, ended{fmt.Errorf("testkit: an EventSource of %s gave up: expected 200 text/event-stream, got %s %s", s.URL, response.Status, mime)}
	}
	if s.OnOpen != nil {
		s.OnOpen(&SourceOpen{Request: sent, URL: response.Request.URL.String(), Head: response.Header})
	}
	events := NewReader(response.Body)
	for {
		event, err := events.Next()
		if err != nil {
			return events, err
		}
		if s.OnEvent != nil {
			s.OnEvent(event)
		}
	}
}
