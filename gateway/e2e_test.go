package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

const (
	testKey    = "the api key of the tests"
	testSecret = "the token secret of the tests"
)

// libraryGoroutines are started by libraries once and never end.
var libraryGoroutines = []string{"fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// server is a whole gateway under test, reached over TCP.
type server struct {
	*Gateway
	addr string
	api  *testkit.API
}

// baseConfig is a config file of version 6 on which anybody may subscribe to
// channels without a namespace. %s is where more keys go. Nothing in it ends what a
// busy machine holds up.
const baseConfig = `{
  "uni_sse": {"enabled": true %s},
  "http_server": {"address": "127.0.0.1", "header_timeout": "1m", "read_timeout": "1m", "port": 0},
  "http_api": {"key": "` + testKey + `" %s},
  "health": {"enabled": true},
  "client": {"stale_close_delay": "1m", "token": {"hmac_secret_key": "` + testSecret + `"}, "allow_anonymous_connect_without_token": true %s},
  "channel": {
    "without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}
    %s
  }
}`

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
	return launchWith(t, text, Options{Verify: true})
}

// launchWith is launch with options.
func launchWith(t *testing.T, text string, opt Options) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
	require.NoError(t, err)
	return launchLoaded(t, cfg, opt)
}

// launchLoaded starts a gateway from a configuration; the caller stops it.
func launchLoaded(t *testing.T, cfg *config.Config, opt Options) *server {
	t.Helper()
	g, err := New(cfg, opt)
	require.NoError(t, err)
	require.NoError(t, g.Start())
	return &server{Gateway: g, addr: g.Addr(), api: &testkit.API{Addr: g.Addr(), Key: cfg.HTTPAPI.Key}}
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

func TestPublishReachesSubscriber(t *testing.T) {
	s := startServer(t, parts{})
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	s.api.Publish(t, "news", `{"a": 1}`)
	c.Expect(t, `{"channel":"news","pub":{"data":{"a":1}}}`)
}

func TestStopTellsClientsAndDeliversWhatWasAcknowledged(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, fmt.Sprintf(baseConfig, "", "", "", ""))
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	const n = 200
	for i := range n {
		s.api.Publish(t, "news", fmt.Sprint(i))
	}
	s.stop(t)
	for i := range n {
		c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i))
	}
	c.ExpectDisconnect(t, 3001)
}
