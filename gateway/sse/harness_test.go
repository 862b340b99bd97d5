package sse_test

import (
	"context"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/actor"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
	brokermemory "sluice/gateway/broker/memory"
	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/origin"
	presencememory "sluice/gateway/presence/memory"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

const secret = "a secret of the tests"

// settings of a node under test.
type settings struct {
	loops    int
	loop     loop.Options
	hub      hub.Options
	session  session.Options
	sse      sse.Options
	channels channel.Config
	auth     auth.Options
	broker   broker.Broker
}

// node is the endpoint with everything below it, and no server API.
type node struct {
	endpoint *sse.Server
	addr     string
	rules    *channel.Rules
	group    *loop.Group
	hub      *hub.Hub
	broker   broker.Broker
	presence *presencememory.Manager
	sessions *session.Manager
}

// patience is for what takes no time unless the machine stands still: the
// product's own deadlines are ended by such a machine, and with them tests of
// something else.
const patience = time.Minute

// newNode starts a node on which anybody may subscribe to channels without a
// namespace, and stops it with the test, checking its tables and for leaks.
func newNode(t testing.TB, change func(*settings)) *node {
	t.Helper()
	testkit.Snapshot(t, "fasthttp.updateServerDate", "fasthttp.(*workerPool).Start")
	s := &settings{loops: 2, broker: brokermemory.New(brokermemory.Options{})}
	s.loop.Verify = true
	s.loop.QueueMaxAge = time.Hour
	s.loop.SlowFrame = codec.DisconnectFrame(codec.DisconnectSlow)
	s.channels.Separators = channel.DefaultSeparators()
	s.channels.WithoutNamespace.AllowSubscribeForClient = true
	s.channels.WithoutNamespace.AllowSubscribeForAnonymous = true
	s.session.Version = "0.0.0 OSS"
	s.session.PingInterval = 25 * time.Second
	s.session.RecoveryLimit = 300
	s.session.StaleCloseDelay, s.session.CallTimeout = patience, patience
	s.sse.AllowAnonymous = true
	s.auth.HMACSecretKey = secret
	if change != nil {
		change(s)
	}
	return start(t, s)
}

func start(t testing.TB, s *settings) *node {
	t.Helper()
	n := &node{broker: s.broker, presence: presencememory.New()}
	var err error
	n.rules, err = channel.NewRules(s.channels)
	require.NoError(t, err)
	verifier, err := auth.NewVerifier(s.auth)
	require.NoError(t, err)
	turns := newPool(t, s.loops*2)
	blocking := newPool(t, hub.BlockingActors+session.BlockingActors(s.loops))
	n.group, err = loop.NewGroup(s.loops, turns, s.loop)
	require.NoError(t, err)
	n.hub = hub.New(n.group, n.broker, turns, blocking, s.hub)
	require.NoError(t, n.broker.Start(n.hub))
	s.session.Rules = func() *channel.Rules { return n.rules }
	n.sessions = session.New(n.group, n.hub, n.broker, n.presence, blocking, s.session)
	s.sse.Verifier = func() *auth.Verifier { return verifier }
	if s.sse.Origins == nil {
		s.sse.Origins, err = origin.NewList(nil)
		require.NoError(t, err)
	}
	n.endpoint = sse.New(n.sessions, s.sse)
	srv := &fasthttp.Server{
		Handler: n.endpoint.Handle, NoDefaultServerHeader: true, CloseOnShutdown: true,
		DisablePreParseMultipartForm: true,
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, srv.ShutdownWithContext(ctx))
		<-served
		n.sessions.Verify()
		n.sessions.Shutdown(ctx, 0)
		require.NoError(t, n.sessions.Idle(ctx))
		require.NoError(t, n.group.Drained(patience))
		stats := n.group.Stats()
		require.Zero(t, stats.QueuedBytes, "bytes queued after the last stream")
		require.Zero(t, stats.Blocked, "blocked streams after the last stream")
		require.Zero(t, stats.Panics, "panics")
		channels, subs := n.hub.Interest()
		require.Zero(t, channels+subs, "interest after the last stream")
		n.hub.Quiet()
		require.NoError(t, n.broker.Close(ctx))
		n.group.Stop()
		n.sessions.Quiet()
		turns.Release()
		blocking.Release()
	})
	return n
}

// newPool makes a pool for so many actors with all its workers, of which it has
// one more, at work already. Why: one that another node of the same test got
// later would be a leak to this one's check.
func newPool(t testing.TB, actors int) *actor.Pool {
	t.Helper()
	pool, err := actor.NewPool(actors)
	require.NoError(t, err)
	gate := make(chan struct{})
	var started, ended sync.WaitGroup
	for range actors + 1 {
		started.Add(1)
		ended.Add(1)
		pool.Submit(func() {
			defer ended.Done()
			started.Done()
			<-gate
		})
	}
	started.Wait()
	close(gate)
	ended.Wait()
	require.Zero(t, pool.Fallbacks())
	return pool
}

// publish puts a publication into a channel as the server API would.
func (n *node) publish(t testing.TB, ch, data string) broker.Result {
	t.Helper()
	return n.publishWith(t, ch, data, nil)
}

// publishWith is publish with fields of the publication or options changed.
func (n *node) publishWith(t testing.TB, ch, data string, change func(*codec.Publication, *brokerOptions)) broker.Result {
	t.Helper()
	o, err := n.rules.Lookup(ch)
	require.NoError(t, err)
	ctx := context.Background()
	p := &codec.Publication{Data: compact(t, data), Time: time.Now().UnixMilli()}
	opt := broker.PublishOptions{
		History: broker.HistoryOptions{
			Size: o.HistorySize, TTL: o.HistoryTTL, MetaTTL: o.HistoryMetaTTL,
		},
	}
	if change != nil {
		change(p, &opt)
	}
	opt.Credit, err = n.hub.AcquireCredit(ctx, p.Data.Len())
	require.NoError(t, err)
	credit := opt.Credit
	res, err := n.broker.Publish(ctx, ch, p, opt)
	require.NoError(t, err)
	if !res.CreditTaken {
		credit.Release()
	}
	return res
}

// brokerOptions is short for what publishWith changes.
type brokerOptions = broker.PublishOptions

func withDelta(p *codec.Publication, _ *brokerOptions) { p.Delta = true }

func withoutHistory(_ *codec.Publication, o *brokerOptions) {
	o.History = broker.HistoryOptions{}
}

func compact(t testing.TB, text string) codec.JSON {
	t.Helper()
	j, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return j
}

// open allows everybody to subscribe to the channels of a namespace.
func open(name string, o channel.Options) channel.Namespace {
	o.AllowSubscribeForClient, o.AllowSubscribeForAnonymous = true, true
	return channel.Namespace{Name: name, Options: o}
}

// history keeps five publications for an hour.
func history(o channel.Options) channel.Options {
	o.HistorySize, o.HistoryTTL = 5, time.Hour
	return o
}

// kinds adds a namespace for each kind of channel that PROTOCOL 6 knows.
func kinds(s *settings) {
	cache := channel.Options{ForceRecovery: true, ForceRecoveryMode: channel.RecoveryCache}
	auto := cache
	auto.AutoCacheRecover = true
	s.channels.Namespaces = append(s.channels.Namespaces,
		open("plain", channel.Options{}),
		open("hist", history(channel.Options{})),
		open("pos", history(channel.Options{ForcePositioning: true})),
		open("rec", history(channel.Options{ForceRecovery: true})),
		open("cache", history(cache)),
		open("auto", history(auto)),
		open("delta", history(channel.Options{ForceRecovery: true, AllowedDeltaTypes: []string{channel.DeltaFossil}})),
		open("loosedelta", channel.Options{AllowedDeltaTypes: []string{channel.DeltaFossil}}),
		open("present", channel.Options{Presence: true}),
		open("joins", channel.Options{Presence: true, JoinLeave: true, ForcePushJoinLeave: true}),
	)
}

// subs asks for channels without a position.
func subs(channels ...string) map[string]testkit.SubscribeRequest {
	m := make(map[string]testkit.SubscribeRequest, len(channels))
	for _, ch := range channels {
		m[ch] = testkit.SubscribeRequest{}
	}
	return m
}

// recovering asks for one channel from a position on.
func recovering(ch string, offset uint64, epoch string) map[string]testkit.SubscribeRequest {
	return map[string]testkit.SubscribeRequest{ch: {Recover: true, Offset: offset, Epoch: epoch}}
}

// subscribe opens a stream on channels and takes its connect push.
func (n *node) subscribe(t testing.TB, requested map[string]testkit.SubscribeRequest) (*testkit.Client, testkit.ConnectResult) {
	t.Helper()
	c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Subs: requested})
	return c, c.ExpectConnect(t)
}

// token mints a token of a user, with more claims.
func token(t testing.TB, user string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": user}
	for k, v := range claims {
		all[k] = v
	}
	return testkit.HS256(t, secret, all)
}

var (
	uuids  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	epochs = regexp.MustCompile(`"epoch":"[a-zA-Z]{8}"`)
)

// normal replaces what differs from run to run.
func normal(raw []byte) string {
	return epochs.ReplaceAllString(uuids.ReplaceAllString(string(raw), "<uuid>"), `"epoch":"<epoch>"`)
}

// connectPush returns the normalised bytes of the connect push.
func connectPush(t testing.TB, c *testkit.Client) string {
	t.Helper()
	p := c.Next(t)
	require.Equal(t, "connect", p.Kind)
	return normal(p.Raw)
}

// sessionsOpen waits until so many sessions are open.
func (n *node) sessionsOpen(t testing.TB, want int) {
	t.Helper()
	testkit.Eventually(t, func() bool { return n.sessions.Counts().Clients == want }, "the sessions open")
}
