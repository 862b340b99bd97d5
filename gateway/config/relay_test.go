package config

import (
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// relayed loads a file with the defaults of a relay.
func relayed(t *testing.T, text string) *Config {
	t.Helper()
	c, _, err := Load(Source{Path: "config.json", Relay: true, Flags: map[string]string{"relay.origin": "http://origin"}, Read: func(name string) ([]byte, error) {
		if name != "config.json" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}})
	require.NoError(t, err)
	return c
}

func TestARelayHandsEveryChannelOn(t *testing.T) {
	c := relayed(t, `{}`)
	require.True(t, c.Relays())
	require.True(t, c.Broadcast.Enabled)
	require.Zero(t, c.Broadcast.MaxOriginStreams)
	require.True(t, c.HTTPAPI.Disabled)
	require.True(t, c.Health.Enabled)
	require.False(t, c.UniSSE.Enabled)
	require.Empty(t, c.Channel.NamespaceBoundary)
	require.True(t, c.Channel.WithoutNamespace.Broadcast)
	require.True(t, c.Channel.WithoutNamespace.HasHistory())
}

func TestTheFileOfARelayHasTheLastWord(t *testing.T) {
	c := relayed(t, `{"broadcast": {"max_origin_streams": 7}, "health": {"enabled": false}, "uni_sse": {"enabled": true}, "http_api": {"disabled": false},
		"channel": {"without_namespace": {"broadcast": false, "history_size": 5, "history_ttl": "30s"}, "namespaces": [{"name": "live", "broadcast": true, "history_size": 5, "history_ttl": "30s"}]}}`)
	require.Equal(t, 7, c.Broadcast.MaxOriginStreams)
	require.False(t, c.HTTPAPI.Disabled)
	require.False(t, c.Health.Enabled)
	require.True(t, c.UniSSE.Enabled)
	require.Equal(t, ":", c.Channel.NamespaceBoundary)
	require.False(t, c.Channel.WithoutNamespace.Broadcast)
	require.Equal(t, 30*time.Second, c.Channel.WithoutNamespace.HistoryTTL)
}
