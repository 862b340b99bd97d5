package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	"sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

// published is one publication that reached the sink.
type published struct {
	channel string
	pub     *codec.Publication
}

// sink takes what the engine delivers and gives the credit back as the hub
// would.
type sink struct {
	broker.Sink // the rest is not asked for
	credit      *credit

	// Guarded by mu.
	mu  sync.Mutex
	got []published
}

func (k *sink) Publication(ch string, p, _ *codec.Publication, credit *broker.Credit) {
	k.mu.Lock()
	k.got = append(k.got, published{ch, p})
	k.mu.Unlock()
	credit.Release()
}
func (*sink) Join(string, *codec.ClientInfo, *broker.Credit)  {}
func (*sink) Leave(string, *codec.ClientInfo, *broker.Credit) {}

func (k *sink) take() []published {
	k.mu.Lock()
	defer k.mu.Unlock()
	got := k.got
	k.got = nil
	return got
}

// credit counts what is out.
type credit struct {
	// Guarded by mu.
	mu     sync.Mutex
	out    int
	refuse bool
	waits  bool // for the end of the call
}

func (c *credit) TakeCredit(ctx context.Context, size int, credit *broker.Credit, _ broker.Waiter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits {
		<-ctx.Done()
	}
	if c.refuse || ctx.Err() != nil {
		return codec.ErrInternal
	}
	c.out += size + 1
	credit.Take(int64(size+1), c.release)
	return nil
}

func (c *credit) release(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out -= int(n)
}

func (c *credit) outstanding() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out
}

// sessions is a fake that notes what it is asked.
type sessions struct {
	// Guarded by mu.
	mu       sync.Mutex
	calls    []any
	err      error
	channels []ChannelInfo
	nodes    []NodeInfo
	silent   []string      // nodes that do not answer
	block    chan struct{} // Refresh waits for it if not nil
	entered  chan struct{} // gets a token when Refresh begins, if not nil
}

type disconnectCall struct {
	target    session.Target
	whitelist []string
	d         codec.Disconnect
}
type subscribeCall struct {
	target session.Target
	cmd    session.SubscribeCommand
}
type unsubscribeCall struct {
	target  session.Target
	channel string
}
type refreshCall struct {
	target session.Target
	cmd    session.RefreshCommand
}

func (f *sessions) add(v any) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, v)
	return f.silent, f.err
}

func (f *sessions) take() []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *sessions) Disconnect(_ context.Context, t session.Target, whitelist []string, d *codec.Disconnect) ([]string, error) {
	return f.add(disconnectCall{t, whitelist, *d})
}

func (f *sessions) Subscribe(_ context.Context, t session.Target, cmd session.SubscribeCommand) ([]string, error) {
	return f.add(subscribeCall{t, cmd})
}

func (f *sessions) Unsubscribe(_ context.Context, t session.Target, ch string) ([]string, error) {
	return f.add(unsubscribeCall{t, ch})
}

func (f *sessions) Refresh(ctx context.Context, t session.Target, cmd session.RefreshCommand) ([]string, error) {
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return f.add(refreshCall{t, cmd})
}

func (f *sessions) Channels(_ context.Context, pattern string) ([]ChannelInfo, []string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	match, err := CompilePattern(pattern)
	if err != nil {
		return nil, nil, err
	}
	var out []ChannelInfo
	for _, ch := range f.channels {
		if pattern == "" || match(ch.Channel) {
			out = append(out, ch)
		}
	}
	return out, f.silent, f.err
}

func (f *sessions) Nodes(context.Context) ([]NodeInfo, []string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes, f.silent, f.err
}

// rig is a server of the API behind fasthttp, on a listener in memory.
type rig struct {
	t        testing.TB
	server   *Server
	start    sync.Once // of the listener, at the first request over it
	client   *http.Client
	sink     *sink
	credit   *credit
	sessions *sessions
	engine   *memory.Engine
	presence *presencememory.Manager
	log      *testkit.LogBuffer
	// other gets the paths of requests that Handle left alone.
	other chan string
}

const apiKey = "secret-key"

func testRules(t testing.TB) *channel.Rules {
	t.Helper()
	history := channel.Options{HistorySize: 5, HistoryTTL: time.Minute, Presence: true}
	rules, err := channel.NewRules(channel.Config{
		Separators: channel.DefaultSeparators(),
		Namespaces: []channel.Namespace{
			{Name: "hh", Options: history},
			{Name: "bin", Options: channel.Options{PublicationDataFormat: channel.FormatBinary}},
			{Name: "json", Options: channel.Options{PublicationDataFormat: channel.FormatJSON}},
			{Name: "obj", Options: channel.Options{PublicationDataFormat: channel.FormatJSONObject}},
			{Name: "delta", Options: channel.Options{DeltaPublish: true}},
			{Name: "map", Options: channel.Options{SubscriptionType: "map"}},
		},
	})
	require.NoError(t, err)
	return rules
}

func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{
		t: t, credit: &credit{}, sessions: &sessions{}, engine: memory.New(memory.Options{}), presence: presencememory.New(),
		log: &testkit.LogBuffer{}, other: make(chan string, 16),
	}
	r.sink = &sink{credit: r.credit}
	require.NoError(t, r.engine.Start(r.sink))
	rules := testRules(t)
	keys := auth.NewAPIKeys(auth.APIKeyOptions{Key: apiKey})
	opt := Options{
		Rules: func() *channel.Rules { return rules }, Keys: func() *auth.APIKeys { return keys },
		Broker: r.engine, Credit: r.credit, Presence: r.presence, Sessions: r.sessions,
		Log:         slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		CallTimeout: time.Minute,
	}
	if change != nil {
		change(&opt)
	}
	r.server = New(opt)
	t.Cleanup(func() { require.NoError(t, r.engine.Close(context.Background())) })
	return r
}

func (r *rig) serve() {
	listener := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{
		MaxRequestBodySize: 64 << 20,
		Handler: func(ctx *fasthttp.RequestCtx) {
			if !r.server.Handle(ctx) {
				r.other <- string(ctx.Path())
				ctx.SetStatusCode(http.StatusTeapot)
			}
		},
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	r.client = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return listener.Dial() },
	}}
	r.t.Cleanup(func() {
		r.client.CloseIdleConnections()
		require.NoError(r.t, server.Shutdown())
		require.NoError(r.t, <-done)
	})
}

// reply is an answer as a test looks at it.
type reply struct {
	status int
	head   http.Header
	body   string
}

// do sends a request; the key is sent unless header has one of its own.
func (r *rig) do(method, path, body string, header ...string) reply {
	r.t.Helper()
	r.start.Do(r.serve)
	req, err := http.NewRequest(method, "http://api"+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("X-API-Key", apiKey)
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }() // read to its end below
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// post calls a method.
func (r *rig) post(method, body string, header ...string) reply {
	r.t.Helper()
	path := "/api"
	if method != "" {
		path += "/" + method
	}
	return r.do(http.MethodPost, path, body, header...)
}

// expect posts and wants status 200 and exactly this body.
func (r *rig) expect(method, body, want string) reply {
	r.t.Helper()
	got := r.post(method, body)
	require.Equal(r.t, http.StatusOK, got.status, "%s %s", method, body)
	require.Equal(r.t, "application/json", got.head.Get("Content-Type"))
	require.Equal(r.t, want, got.body, "%s %s", method, body)
	return got
}

// refused posts and wants an API error with a detail that begins so.
func (r *rig) refused(method, body string, e *codec.Error, detail string) {
	r.t.Helper()
	got := r.expect(method, body, string(codec.AppendErrorReply(nil, e)))
	if detail == "" {
		require.Empty(r.t, got.head.Get(detailHeader))
		return
	}
	require.True(r.t, strings.HasPrefix(got.head.Get(detailHeader), detail), "%s %s: detail %q", method, body, got.head.Get(detailHeader))
}

// epoch returns the epoch of a channel's history.
func (r *rig) epoch(ch string) string {
	r.t.Helper()
	_, top, err := broker.Read(context.Background(), r.engine, broker.HistoryQuery{Channel: ch})
	require.NoError(r.t, err)
	return top.Epoch
}

func mustJSON(t testing.TB, text string) codec.JSON {
	t.Helper()
	v, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return v
}
