package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// hookCall is what a backend was asked.
type hookCall struct {
	method string
	head   http.Header
	text   string
	body   map[string]any
}

// backend is an operator's HTTP server that answers hooks as a test says.
type backend struct {
	server *httptest.Server
	asked  atomic.Int64

	// Guarded by mu.
	mu     sync.Mutex
	calls  []hookCall
	answer http.HandlerFunc
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.server.Close)
	return b
}

func (b *backend) serve(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call := hookCall{method: r.Method, head: r.Header.Clone(), text: string(text)}
	_ = json.Unmarshal(text, &call.body) // A test that looks at it sees that it is not there.
	b.mu.Lock()
	b.calls = append(b.calls, call)
	answer := b.answer
	b.mu.Unlock()
	b.asked.Add(1)
	// So that nothing is under way once the last call was answered.
	r.Body = io.NopCloser(bytes.NewReader(text))
	answer(w, r)
}

func (b *backend) do(h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = h
}

// say makes the backend answer everything with a text.
func (b *backend) say(text string) { b.status(http.StatusOK, text) }

func (b *backend) status(status int, text string) {
	b.do(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) // A gateway that went away is its business.
	})
}

func (b *backend) last(t *testing.T) hookCall {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotEmpty(t, b.calls, "the backend was never asked")
	return b.calls[len(b.calls)-1]
}

// hook is the configuration of a hook. Its time is long unless more says so: a
// busy machine may hold up any answer.
func (b *backend) hook(kind, more string) string {
	if !strings.Contains(more, `"timeout"`) {
		more += `, "timeout": "1m"`
	}
	return fmt.Sprintf(`%q: {"enabled": true, "endpoint": %q %s}`, kind, b.server.URL+"/"+kind, more)
}

// connectHook and refreshHook are parts of the section client; both together
// are two keys of one section, which the config file may repeat.
func (b *backend) connectHook(more string) string {
	return `, "proxy": {` + b.hook("connect", more) + `}`
}

func (b *backend) refreshHook(more string) string {
	return `, "proxy": {` + b.hook("refresh", more) + `}`
}

// outcome expects what a client gets whose backend says something.
func (b *backend) outcome(t *testing.T, s *server, says string, status int, want string) {
	t.Helper()
	b.status(status, says)
	c := s.connect(t, testkit.ConnectOptions{Subs: asking("who:x")})
	p := c.Next(t)
	if want != "connect" {
		require.Equal(t, want, string(p.Raw), says)
		c.ExpectEnd(t)
		return
	}
	require.Equal(t, "connect", p.Kind, says)
	c.Close()
}
