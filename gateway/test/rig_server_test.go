package test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/edge"
	"sluice/gateway/front"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
	"sluice/gateway/node"
	"sluice/gateway/session"
	"sluice/gateway/sse"
	"sluice/gateway/testkit"
)

const (
	testKey    = testkit.APIKey
	testSecret = testkit.TokenSecret
)

// libraryGoroutines are started by libraries once and never end.
var libraryGoroutines = []string{"fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// server is a whole node under test, reached over TCP.
type server struct {
	*node.Node
	cfg  *config.Config
	log  *slog.Logger // nil for none
	addr string
	api  *testkit.API

	// Parts of the node, to count what users cannot.
	sessions  *session.Manager
	hub       *hub.Hub
	group     *loop.Group
	sse       *sse.Server
	edge      *edge.Server
	listeners []*front.Listener
	waiting   *front.Waiting
}

// newServer returns what tests know of a node that was started.
func newServer(n *node.Node, cfg *config.Config) *server {
	p := n.Parts()
	return &server{
		Node: n, cfg: cfg, addr: n.Addr(), api: &testkit.API{Addr: n.Addr(), Key: cfg.HTTPAPI.Key},
		sessions: p.Sessions, hub: p.Hub, group: p.Group, sse: p.SSE, edge: p.Edge, listeners: p.Listeners, waiting: p.Waiting,
	}
}

// baseConfig is the config file that most tests start from.
const baseConfig = testkit.BaseConfig

// parts are the places of baseConfig that tests fill in, each beginning with a
// comma.
type parts struct{ sse, api, client, channel string }

// startServer starts a gateway and stops it with the test, checking that it
// ends in good order and leaves nothing behind.
func startServer(t *testing.T, p parts) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// launch starts a gateway from the text of a config file; the caller stops it.
func launch(t *testing.T, text string) *server {
	t.Helper()
	return launchWith(t, text, node.Options{Verify: true})
}

// launchWith is launch with options.
func launchWith(t *testing.T, text string, opt node.Options) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
	require.NoError(t, err)
	return launchLoaded(t, cfg, opt)
}

// launchLoaded starts a gateway from a configuration; the caller stops it.
func launchLoaded(t *testing.T, cfg *config.Config, opt node.Options) *server {
	t.Helper()
	n, err := node.New(cfg, opt)
	require.NoError(t, err)
	require.NoError(t, n.Start())
	s := newServer(n, cfg)
	s.log = opt.Log
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	s.Verify()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
	channels, subs := s.hub.Interest()
	require.Zero(t, channels+subs, "interest after the last stream")
	require.Zero(t, s.hub.Stats().CreditUsed, "publish credit that never came back")
}

func (s *server) subscribe(t *testing.T, channels ...string) *testkit.Client {
	t.Helper()
	subs := make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		subs[ch] = testkit.SubscribeRequest{}
	}
	return testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: subs})
}
