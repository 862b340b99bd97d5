package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/testkit"
)

// backend is an operator's backend that a test scripts.
type backend struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]

	mu      sync.Mutex
	body    string
	header  http.Header
	request *http.Request
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{}
	b.say(`{}`)
	b.Server = httptest.NewServer(b.handler(t))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) handler(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Logf("the body of a call: %v", err)
		}
		b.mu.Lock()
		b.body, b.header, b.request = string(body), r.Header.Clone(), r
		b.mu.Unlock()
		b.asked.Add(1)
		(*b.answer.Load())(w, r)
	})
}

func (b *backend) do(h http.HandlerFunc) { b.answer.Store(&h) }

func (b *backend) say(text string) { b.status(200, text) }

func (b *backend) status(code int, text string) {
	b.do(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	})
}

func (b *backend) got() (body string, header http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.body, b.header
}

// hookLog is a log that can be read while it is written.
type hookLog struct{ testkit.LogBuffer }

func (l *hookLog) lines() int { return strings.Count(l.String(), "\n") }

// requireThinned wants one line in logEvery of failures that began at that time.
func (l *hookLog) requireThinned(t testing.TB, began time.Time) {
	t.Helper()
	n, most := l.lines(), 1+int(time.Since(began)/logEvery)
	require.Positive(t, n)
	require.LessOrEqual(t, n, most, "one line in %s, not one for each failure:\n%s", logEvery, l)
}

// newProxy returns a proxy whose two hooks are at url, and its log.
func newProxy(t testing.TB, url string, change func(*HookOptions)) (*Proxy, *hookLog) {
	t.Helper()
	o := HookOptions{Endpoint: url, Timeout: time.Minute}
	if change != nil {
		change(&o)
	}
	log := &hookLog{}
	p, err := New(Options{Connect: &o, Refresh: &o, Log: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, log
}

func compact(t testing.TB, text string) codec.JSON {
	t.Helper()
	v, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return v
}

const clientID = "8ee1e41e-2c6d-4a31-8ea4-0b7a7e5b8f6c"

func connect(p *Proxy, headers ...auth.Header) (*auth.ConnectAnswer, error) {
	return p.Connect(context.Background(), &auth.ConnectCall{Client: clientID, Headers: headers})
}

func refresh(p *Proxy) (*auth.RefreshAnswer, error) {
	return p.Refresh(context.Background(), &auth.RefreshCall{Client: clientID, User: "u1"})
}

func requireFailure(t testing.TB, answer *auth.ConnectAnswer, err error) {
	t.Helper()
	require.Nil(t, answer)
	require.ErrorIs(t, err, auth.ErrHook)
	require.NotErrorAs(t, err, new(*codec.Error))
	require.NotErrorAs(t, err, new(*codec.Disconnect))
}
