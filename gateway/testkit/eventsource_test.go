package testkit

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// An EventSource comes back with its last id when it was told, through a redirect, also
// behind a cut, and not behind an answer that is no stream.
func TestEventSource(t *testing.T) {
	var ids []string
	requests := 0
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/bare", http.StatusTemporaryRedirect)
			return
		}
		ids = append(ids, r.Header.Get("Last-Event-ID"))
		requests++
		if requests > 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		fmt.Fprintf(w, "retry: 5\n\ndata: %d\n\n", requests)
		if requests == 2 {
			fmt.Fprint(w, "id: two\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(held)
		}
	}))
	defer server.Close()
	var got []string
	source := &EventSource{URL: server.URL + "/moved"}
	source.OnEvent = func(e Event) {
		if got = append(got, e.Data); e.Data == "2" {
			go source.Cut()
		}
	}
	if err := source.Run(t.Context()); err == nil {
		t.Fatal("expected a 503 to end it")
	}
	<-held
	// The cut may come before the id line.
	if want := []string{"1", "2", "3"}; !slices.Equal(got, want) || len(ids) != 4 || ids[1] != "" {
		t.Fatalf("expected %q in four requests, got %q and ids %q", want, got, ids)
	}
	if n := len(source.Requests()); n != 4 {
		t.Fatalf("expected 4 requests, got %d", n)
	}
}

// An EventSource keeps on coming where nobody listens, until it is over.
func TestEventSourceWhereNobodyIs(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	source := &EventSource{URL: server.URL, Retry: time.Millisecond}
	done := make(chan error)
	go func() { done <- source.Run(ctx) }()
	Eventually(t, func() bool { return len(source.Requests()) > 3 }, "requests")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
