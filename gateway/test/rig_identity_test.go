package test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// strictConfig is a config file in which nobody may connect unless %s, the rest
// of the section client, says so. who:* have presence, so that the API tells who
// is there; rec:* can be recovered; closed:* nobody may ask for.
const strictConfig = `{
  "uni_sse": {"enabled": true, "last_event_id": false, "retry": 0 %s},
  "http_server": {"address": "127.0.0.1", "header_timeout": "1m", "read_timeout": "1m", "port": 0},
  "http_api": {"key": "` + testKey + `" %s},
  "health": {"enabled": true},
  "client": {"ping_interval": "25s", "stale_close_delay": "1m" %s},
  "channel": {
    "without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true},
    "namespaces": [
      {"name": "who", "presence": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true},
      {"name": "rec", "history_size": 10, "history_ttl": "60s", "force_recovery": true},
      {"name": "closed"}
      %s
    ]
  }
}`

const (
	withSecret    = `, "token": {"hmac_secret_key": "` + testSecret + `"}`
	withAnonymous = `, "allow_anonymous_connect_without_token": true`
)

// startStrict starts a gateway from strictConfig with a log, nil for none, and
// stops it with the test.
func startStrict(t *testing.T, p parts, log *slog.Logger) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	return startMore(t, p, log)
}

// startMore is startStrict for a test that has a gateway already.
func startMore(t *testing.T, p parts, log *slog.Logger) *server {
	t.Helper()
	return startText(t, fmt.Sprintf(strictConfig, p.sse, p.api, p.client, p.channel), log)
}

// startText starts a gateway from the text of a config file, with a log.
func startText(t *testing.T, text string, log *slog.Logger) *server {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, _, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
	require.NoError(t, err)
	g, err := node.New(cfg, node.Options{Verify: true, Log: log})
	require.NoError(t, err)
	require.NoError(t, g.Start())
	s := newServer(g, cfg)
	s.log = log
	t.Cleanup(func() { s.stop(t) })
	return s
}

// tokenOf mints a token of a user with more claims.
func tokenOf(t testing.TB, user string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": user}
	maps.Copy(all, claims)
	return testkit.HS256(t, testSecret, all)
}

func soon(seconds int64) int64 { return time.Now().Unix() + seconds }

// inTime runs a test that has something to do before a moment, so many seconds
// ahead, has come. One that says that it was late is given more time: it proved
// nothing.
func inTime(t *testing.T, f func(seconds int64) (done bool)) {
	t.Helper()
	for _, seconds := range []int64{3, 15, 60} {
		if f(seconds) {
			return
		}
	}
	t.Fatal("a minute was not enough")
}

func over(at int64) bool { return time.Now().Unix() >= at }

// connectBefore opens a stream with a token that is good until at; it returns nil
// if it was late.
func (s *server) connectBefore(t *testing.T, at int64, opts testkit.ConnectOptions) (*testkit.Client, testkit.ConnectResult) {
	t.Helper()
	c := s.connect(t, opts)
	p := c.Next(t)
	if p.Kind == "disconnect" && over(at) {
		return nil, testkit.ConnectResult{}
	}
	require.Equal(t, "connect", p.Kind, "%s", p.Raw)
	var res testkit.ConnectResult
	p.Decode(t, &res)
	return c, res
}

// asking asks for channels.
func asking(channels ...string) map[string]testkit.SubscribeRequest {
	subs := make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		subs[ch] = testkit.SubscribeRequest{}
	}
	return subs
}

func (s *server) connect(t *testing.T, opts testkit.ConnectOptions) *testkit.Client {
	t.Helper()
	return testkit.Connect(t, s.addr, opts)
}

// member is a connection as presence shows it.
type member struct {
	User     string          `json:"user"`
	ConnInfo json.RawMessage `json:"conn_info"`
	ChanInfo json.RawMessage `json:"chan_info"`
}

// member returns how a client stands in the presence of a channel.
func (s *server) member(t *testing.T, channel, client string) member {
	t.Helper()
	var result struct {
		Presence map[string]member `json:"presence"`
	}
	require.NoError(t, json.Unmarshal(s.api.MustResult(t, "presence", fmt.Sprintf(`{"channel":%q}`, channel)), &result))
	require.Contains(t, result.Presence, client)
	return result.Presence[client]
}

// connects fails the test unless the connect is accepted as the user.
func (s *server) connects(t *testing.T, name, user string, opts testkit.ConnectOptions) testkit.ConnectResult {
	t.Helper()
	opts.Subs = asking("who:x")
	c := s.connect(t, opts)
	res := c.ExpectConnect(t)
	require.Contains(t, res.Subs, "who:x", name)
	require.Equal(t, user, s.member(t, "who:x", res.Client).User, name)
	c.Close()
	return res
}

// refused fails the test unless the connect is refused with the code.
func (s *server) refused(t *testing.T, name string, code uint32, opts testkit.ConnectOptions) {
	t.Helper()
	c := s.connect(t, opts)
	p := c.Next(t)
	require.Equal(t, "disconnect", p.Kind, "%s: %s", name, p.Raw)
	var d testkit.Disconnect
	p.Decode(t, &d)
	require.Equal(t, code, d.Code, name)
	require.NotEmpty(t, d.Reason, name)
	c.ExpectEnd(t)
}
