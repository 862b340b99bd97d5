package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// configNames are config files of all formats.
var configNames = []string{"config.json", "config.yaml", "config.yml", "config.toml"}

// From nothing to a message in three commands: what genconfig wrote serves a
// stream to a token that gentoken printed, with and without a user, and takes a
// publication with its key.
func TestGenconfigStreamsAtOnce(t *testing.T) {
	for _, name := range configNames {
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t, libraryGoroutines...)
			path := filepath.Join(t.TempDir(), name)
			_, errs, code := command("genconfig", "-c", path)
			require.Equal(t, 0, code, errs)
			cfg, report, err := config.Load(config.Source{Path: path, Required: true, Flags: map[string]string{
				"http_server.address": "127.0.0.1", "http_server.port": "0",
			}})
			require.NoError(t, err)
			require.Empty(t, report.Warnings)
			s := launchLoaded(t, cfg, node.Options{Verify: true})
			defer s.stop(t)
			for _, user := range [][]string{{"-u", "42"}, nil} {
				text, _, code := command(append([]string{"gentoken", "-c", path}, user...)...)
				require.Equal(t, 0, code)
				lines := strings.Split(strings.TrimSpace(text), "\n")
				r := testkit.Connect(t, s.addr, testkit.ConnectOptions{
					Token: lines[len(lines)-1], Subs: map[string]testkit.SubscribeRequest{"news": {}},
				})
				require.Contains(t, r.ExpectConnect(t).Subs, "news")
				s.api.Publish(t, "news", `{"text":"hello"}`)
				require.JSONEq(t, `{"text":"hello"}`, string(r.ExpectPub(t, "news").Data))
				r.Close()
			}
		})
	}
}
