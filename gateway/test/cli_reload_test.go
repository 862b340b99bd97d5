package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// reloading is a gateway with a config file that a test rewrites.
type reloading struct {
	*server
	reloader *node.Reloader
	path     string
	log      *testkit.LogBuffer
}

func startReloading(t *testing.T, text string) *reloading {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	r := &reloading{path: filepath.Join(t.TempDir(), "config.json"), log: &testkit.LogBuffer{}}
	r.write(t, text)
	src := config.Source{Path: r.path}
	cfg, _, err := config.Load(src)
	require.NoError(t, err)
	g, err := node.New(cfg, node.Options{Verify: true, Log: slog.New(slog.NewJSONHandler(r.log, nil))})
	require.NoError(t, err)
	require.NoError(t, g.Start())
	r.server = newServer(g, cfg)
	r.reloader = node.NewReloader(g, src)
	t.Cleanup(func() { r.server.stop(t) })
	return r
}

func (r *reloading) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(r.path, []byte(text), 0o600))
}

// reloadWith rewrites the file, reloads, and returns what was logged.
func (r *reloading) reloadWith(t *testing.T, text string) string {
	t.Helper()
	r.write(t, text)
	r.log.Reset()
	r.reloader.Reload()
	return r.log.String()
}

// texts returns the list of texts under a key of the log line with message msg.
func texts(t *testing.T, log, msg, key string) []string {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["msg"] != msg {
			continue
		}
		list := []string{}
		for _, item := range entry[key].([]any) {
			list = append(list, item.(string))
		}
		return list
	}
	t.Fatalf("no line %q in the log:\n%s", msg, log)
	return nil
}

const (
	reloaded = "the configuration was reloaded"
	waiting  = "changed options wait for a restart"
)

var plainText = fmt.Sprintf(baseConfig, "", "", "", "")

// A reload changes keys and rules for new connects; streams stay open, and a
// wrong file changes nothing.
func TestReload(t *testing.T) {
	r := startReloading(t, plainText)
	c := r.subscribe(t, "news")
	c.ExpectConnect(t)
	log := r.reloadWith(t, strings.NewReplacer(testKey, "another key", testSecret, "another secret",
		`"allow_subscribe_for_anonymous": true`, `"allow_subscribe_for_anonymous": false`).Replace(plainText))
	require.ElementsMatch(t, []string{
		"client.token.hmac_secret_key: changed", "http_api.key: changed",
		"channel.without_namespace.allow_subscribe_for_anonymous: true -> false",
	}, texts(t, log, reloaded, "changed"))
	require.NotContains(t, log, "another")
	require.NotContains(t, log, waiting)
	status, _, _ := r.api.Call(t, "info", struct{}{})
	require.Equal(t, 401, status, "the old key")
	api := &testkit.API{Addr: r.addr, Key: "another key"}
	api.Publish(t, "news", `1`)
	c.ExpectPub(t, "news")
	require.Empty(t, r.subscribe(t, "news").ExpectConnect(t).Subs, "the new rules")

	for _, wrong := range []string{`{"http_api": {"key": 5`, `{"http_api": {"key": 5}}`, `{"client": {"ping_interval": 25}}`} {
		log = r.reloadWith(t, wrong)
		require.Contains(t, log, "the configuration was not reloaded")
		require.Contains(t, log, r.path, "the log says where")
	}
	require.NoError(t, os.Remove(r.path))
	r.log.Reset()
	r.reloader.Reload()
	require.Contains(t, r.log.String(), node.ErrFileGone.Error())
	api.Publish(t, "news", `2`)
	c.ExpectPub(t, "news")
}

// What needs a restart is named at every reload until it has had one.
func TestReloadNamesWhatWaitsForARestart(t *testing.T) {
	r := startReloading(t, plainText)
	log := r.reloadWith(t, plainText)
	require.Empty(t, texts(t, log, reloaded, "changed"))
	require.NotContains(t, log, waiting)

	slower := strings.Replace(plainText, `"client": {`, `"client": {"ping_interval": "7s", `, 1)
	log = r.reloadWith(t, slower)
	require.Empty(t, texts(t, log, reloaded, "changed"))
	require.Len(t, texts(t, log, waiting, "options"), 1)
	require.Contains(t, texts(t, log, waiting, "options")[0], "client.ping_interval: ")

	log = r.reloadWith(t, strings.Replace(slower, testKey, "another key", 1))
	require.Equal(t, []string{"http_api.key: changed"}, texts(t, log, reloaded, "changed"))
	require.Len(t, texts(t, log, waiting, "options"), 1, "it waits still")

	log = r.reloadWith(t, plainText)
	require.Equal(t, []string{"http_api.key: changed"}, texts(t, log, reloaded, "changed"))
	require.NotContains(t, log, waiting, "it was taken back")
}

// firstEvent connects with a token and returns the first data line of the
// stream, or what went wrong.
func firstEvent(addr, token string) string {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	query := url.Values{"cf_connect": {fmt.Sprintf(`{"token":%q}`, token)}}
	fmt.Fprintf(conn, "GET /connection/uni_sse?%s HTTP/1.1\r\nHost: h\r\n\r\n", query.Encode())
	for lines := bufio.NewReader(conn); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if strings.HasPrefix(line, "data: ") {
			return line
		}
	}
}

// countFirst connects with a token, which must be granted or refused.
func (r *reloading) countFirst(t *testing.T, token string, granted, refused *atomic.Int64) {
	switch first := firstEvent(r.addr, token); {
	case strings.HasPrefix(first, `data: {"connect":{`):
		granted.Add(1)
	case strings.HasPrefix(first, `data: {"disconnect":{"code":3500,`):
		refused.Add(1)
	default:
		t.Errorf("a stream began with %q", first)
	}
}

// Nothing breaks when the configuration is reloaded over and over while clients
// connect and publish, and the key of tokens that counts is that of the last
// reload.
func TestReloadUnderLoad(t *testing.T) {
	const reloads, connecting = 20, 2
	r := startReloading(t, plainText)
	news := map[string]testkit.SubscribeRequest{"news": {}}
	c := testkit.Connect(t, r.addr, testkit.ConnectOptions{Subs: news, Timeout: time.Minute})
	c.ExpectConnect(t)
	secret := func(i int) string { return fmt.Sprintf("secret %d", i) }
	token := func(i int) string { return testkit.HS256(t, secret(i), map[string]any{"sub": "42"}) }
	connect := func(i int) *testkit.Client {
		return testkit.Connect(t, r.addr, testkit.ConnectOptions{Token: token(i), Timeout: time.Minute})
	}
	tokens := make([]string, reloads+1)
	for i := range tokens {
		tokens[i] = token(i)
	}

	var done atomic.Bool
	var current, published, granted, refused atomic.Int64
	var load sync.WaitGroup
	defer load.Wait()
	defer done.Store(true)
	load.Go(func() {
		for !done.Load() {
			r.api.Publish(t, "news", fmt.Sprint(published.Add(1)))
		}
	})
	for range connecting {
		load.Go(func() {
			for i := int64(0); !done.Load() && !t.Failed(); i++ {
				which := max(current.Load()-i%2, 0) // the token that counts now, and the one before
				r.countFirst(t, tokens[which], &granted, &refused)
			}
		})
	}
	for i := range reloads {
		log := r.reloadWith(t, strings.Replace(plainText, testSecret, secret(i+1), 1))
		require.Equal(t, []string{"client.token.hmac_secret_key: changed"}, texts(t, log, reloaded, "changed"))
		current.Store(int64(i + 1))
		p, g, n := published.Load(), granted.Load(), refused.Load()
		testkit.EventuallyWithin(t, time.Minute, func() bool {
			return published.Load() > p && granted.Load() > g && refused.Load() > n || t.Failed()
		}, "publications, and connects with the new and the old key")
	}
	done.Store(true)
	load.Wait()
	require.False(t, t.Failed())

	connect(reloads).ExpectConnect(t)
	connect(reloads-1).ExpectDisconnect(t, 3500)
	for i := range published.Load() {
		c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i+1))
	}
}
