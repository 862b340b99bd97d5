package sse_test

import (
	"context"
	"net"
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
	addr     string
	rules    *channel.Rules
	group    *loop.Group
	hub      *hub.Hub
	broker   broker.Broker
	presence *presencememory.Manager
	sessions *session.Manager
}

// newNode starts a node on which anybody may subscribe to channels without a
// namespace, and stops it with the test, checking its tables and for leaks.
func newNode(t *testing.T, change func(*settings)) *node {
	t.Helper()
	testkit.Snapshot(t, "fasthttp.updateServerDate", "fasthttp.(*workerPool).Start")
	s := &settings{loops: 2, broker: brokermemory.New()}
	s.loop.Verify = true
	s.loop.SlowFrame = codec.DisconnectFrame(codec.DisconnectSlow)
	s.channels.Separators = channel.DefaultSeparators()
	s.channels.WithoutNamespace.AllowSubscribeForClient = true
	s.channels.WithoutNamespace.AllowSubscribeForAnonymous = true
	s.session.Version = "0.0.0 OSS"
	s.session.PingInterval = 25 * time.Second
	s.session.RecoveryLimit = 300
	s.sse.AllowAnonymous = true
	s.auth.HMACSecretKey = secret
	if change != nil {
		change(s)
	}
	return start(t, s)
}

func start(t *testing.T, s *settings) *node {
	t.Helper()
	n := &node{broker: s.broker, presence: presencememory.New()}
	var err error
	n.rules, err = channel.NewRules(s.channels)
	require.NoError(t, err)
	verifier, err := auth.NewVerifier(s.auth)
	require.NoError(t, err)
	turns, err := actor.NewPool(s.loops * 2)
	require.NoError(t, err)
	blocking, err := actor.NewPool(hub.BlockingActors + session.BlockingActors(s.loops))
	require.NoError(t, err)
	n.group, err = loop.NewGroup(s.loops, turns, s.loop)
	require.NoError(t, err)
	n.hub = hub.New(n.group, n.broker, turns, blocking, s.hub)
	require.NoError(t, n.broker.Start(n.hub))
	s.session.Rules = func() *channel.Rules { return n.rules }
	n.sessions = session.New(n.group, n.hub, n.broker, n.presence, blocking, s.session)
	s.sse.Verifier = func() *auth.Verifier { return verifier }
	if s.sse.Origins == nil {
		s.sse.Origins, err = auth.NewOrigins(nil)
		require.NoError(t, err)
	}
	endpoint := sse.New(n.sessions, s.sse)
	srv := &fasthttp.Server{Handler: endpoint.Handle, NoDefaultServerHeader: true, CloseOnShutdown: true}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, srv.ShutdownWithContext(ctx))
		<-served
		n.sessions.Verify()
		n.sessions.Shutdown(time.Second)
		require.NoError(t, n.sessions.Idle(ctx))
		require.NoError(t, n.group.Drained(5*time.Second))
		stats := n.group.Stats()
		require.Zero(t, stats.QueuedBytes, "bytes queued after the last stream")
		require.Zero(t, stats.Blocked, "blocked streams after the last stream")
		require.Zero(t, stats.Panics, "panics")
		channels, subs := n.hub.Interest()
		require.Zero(t, channels+subs, "interest after the last stream")
		require.NoError(t, n.broker.Close(ctx))
		n.group.Stop()
		n.sessions.Quiet()
		turns.Release()
		blocking.Release()
	})
	return n
}

// publish puts a publication into a channel as the server API would.
func (n *node) publish(t testing.TB, ch, data string) broker.Result {
	t.Helper()
	o, err := n.rules.Lookup(ch)
	require.NoError(t, err)
	payload, err := codec.Compact([]byte(data), codec.Limits{})
	require.NoError(t, err)
	ctx := context.Background()
	credit, err := n.hub.AcquireCredit(ctx, payload.Len())
	require.NoError(t, err)
	res, err := n.broker.Publish(ctx, ch, &codec.Publication{Data: payload}, broker.PublishOptions{
		Credit: credit,
		History: broker.HistoryOptions{
			Size: o.HistorySize, TTL: o.HistoryTTL, MetaTTL: o.HistoryMetaTTL,
		},
	})
	require.NoError(t, err)
	if !res.CreditTaken {
		n.hub.ReleaseCredit(credit)
	}
	return res
}
