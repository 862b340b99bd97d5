package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A reload takes passwords at once: whoever was logged in is not any more.
func TestConsolePasswordIsReloaded(t *testing.T) {
	text := consoleText(parts{}, "")
	r := startReloading(t, text)
	admin, viewer := logIn(t, r.addr, adminPassword), logIn(t, r.addr, viewerPassword)
	tail := viewer.open(t, "/stream", `{"channels":["news"]}`, "")
	tail.ExpectConnect(t)
	r.reloadWith(t, strings.Replace(text, `"health":`, `"log": {"level": "info"}, "health":`, 1))
	admin.get(t, 200, "/me")
	const next = "another password of the admins"
	log := r.reloadWith(t, strings.Replace(text, adminPassword, next, 1))
	require.Equal(t, []string{"admin.password: changed"}, texts(t, log, reloaded, "changed"))
	admin.get(t, 401, "/me")
	viewer.get(t, 401, "/me")
	tail.ExpectDisconnect(t, 3005)
	admin.post(t, 401, "/login", fmt.Sprintf(`{"password":%q}`, adminPassword))
	logIn(t, r.addr, next).get(t, 200, "/me")
	require.NotContains(t, r.log.String(), next)

	for old, with := range map[string]string{viewerPassword: "another of the viewers", adminSecret: "another secret of thirty-two bytes"} {
		r.reloadWith(t, text)
		viewer = logIn(t, r.addr, viewerPassword)
		r.reloadWith(t, strings.Replace(text, old, with, 1))
		viewer.get(t, 401, "/me")
	}
	r.reloadWith(t, consoleText(parts{}, `, "session_lifetime": "5h"`))
	ends := time.UnixMilli(int64(logIn(t, r.addr, viewerPassword).get(t, 200, "/me")["expires_at"].(float64)))
	require.WithinDuration(t, time.Now().Add(5*time.Hour), ends, time.Hour)
}

// planted is in every secret of plantedText.
const planted = "Planted"

var plantedText = consoleText(parts{
	client: `, "token": {"hmac_secret_key": "Planted-Planted-Planted-Planted-32", "hmac_previous_secret_key": "PlantedPlantedPlantedPlantedPrev1"},
		"proxy": {"connect": {"endpoint": "http://user:Planted@backend.internal/connect?key=Planted", "static_http_headers": {"X-Key": "Planted"}, "timeout": "1s"}}`,
	channel: `, "namespaces": [{"name": "chat", "history_size": 7, "history_ttl": "60s"}]`,
}, "")

// What the configuration has of secrets nobody sees at the console, nor in the log.
func TestConsoleConfigShowsNoSecret(t *testing.T) {
	text := strings.NewReplacer(testKey, "the api key, Planted", adminPassword, "Planted Password", adminSecret, "Planted secret of thirty-two bytes").Replace(plantedText)
	text = strings.Replace(text, `"health":`, `"engine": {"redis": {"address": "redis://u:Planted@h:1?password=Planted", "password": "Planted"}}, "health":`, 1)
	r := startReloading(t, text)
	viewer := logIn(t, r.addr, viewerPassword)
	show := func() (map[string]map[string]any, map[string]any) {
		head, answer := viewer.ask(t, "GET", "/config", "")
		require.Equal(t, 200, head.Status)
		require.NotContains(t, answer, planted)
		require.NotContains(t, answer, viewerPassword)
		var c map[string]any
		require.NoError(t, json.Unmarshal([]byte(answer), &c))
		options := map[string]map[string]any{}
		for _, o := range c["options"].([]any) {
			options[o.(map[string]any)["name"].(string)] = o.(map[string]any)
		}
		return options, c
	}
	options, c := show()
	hidden := func(name string) {
		t.Helper()
		require.Equal(t, "(hidden)", options[name]["value"], name)
		require.Equal(t, true, options[name]["secret"], name)
		require.Equal(t, true, options[name]["changed"], name)
	}
	for _, name := range []string{"http_api.key", "admin.password", "admin.secret", "admin.read_only_password", "client.token.hmac_secret_key", "engine.redis.password"} {
		hidden(name)
	}
	require.Equal(t, "http://backend.internal/connect", options["client.proxy.connect.endpoint"]["value"])
	require.Equal(t, []any{"redis://h:1"}, options["engine.redis.address"]["value"])
	require.Equal(t, "", options["broker.redis.password"]["value"])
	require.Equal(t, 7.0, options["channel.namespaces"]["value"].([]any)[0].(map[string]any)["history_size"])
	require.Equal(t, true, options["channel.namespaces"]["reload"])
	require.Equal(t, []any{"25s", "25s", false}, []any{options["client.ping_interval"]["value"], options["client.ping_interval"]["default"], options["client.ping_interval"]["changed"]})
	require.Empty(t, c["reload"].(map[string]any)["changes"])
	require.Equal(t, r.path, c["reload"].(map[string]any)["file"])

	// What the file says by now is shown, and not applied.
	r.write(t, strings.NewReplacer("Planted Password", "Planted another", `"history_size": 7`, `"history_size": 8`, `"port": 0`, `"port": 1234`, `"enabled": true`, `"enabled": true`).Replace(text))
	options, c = show()
	require.Equal(t, 7.0, options["channel.namespaces"]["value"].([]any)[0].(map[string]any)["history_size"])
	require.ElementsMatch(t, []any{
		map[string]any{"name": "admin.password", "from": `"(hidden)"`, "to": `"(hidden)"`, "taken": true},
		map[string]any{"name": "channel.namespaces[chat].history_size", "from": "7", "to": "8", "taken": true},
		map[string]any{"name": "http_server.port", "from": "0", "to": "1234", "taken": false},
	}, c["reload"].(map[string]any)["changes"])
	r.reloader.Reload()
	viewer = logIn(t, r.addr, viewerPassword)
	options, c = show()
	require.Equal(t, 8.0, options["channel.namespaces"]["value"].([]any)[0].(map[string]any)["history_size"])
	require.Equal(t, 0.0, options["http_server.port"]["value"], "what is in force")
	require.Len(t, c["reload"].(map[string]any)["changes"], 1, "what waits for a restart waits still")

	r.write(t, strings.Replace(text, `"history_size": 7`, `"history_size": "x", "nope": 1`, 1))
	_, c = show()
	require.NotEmpty(t, c["reload"].(map[string]any)["error"])
	levels := map[string]bool{}
	for _, w := range c["warnings"].([]any) {
		levels[w.(map[string]any)["level"].(string)] = true
	}
	require.True(t, levels["error"] && levels["warning"], "%v", c["warnings"])
	require.NotContains(t, r.log.String(), planted)
}
