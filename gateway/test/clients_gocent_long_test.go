//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// gocentResults is what the program says that calls with gocent.
type gocentResults struct {
	Publish   testkit.Position
	Broadcast struct {
		Responses []struct{ Result testkit.Position }
	}
	Presence struct {
		Presence map[string]struct{ User string }
	}
	PresenceStats struct {
		Clients int `json:"num_clients"`
	} `json:"presence_stats"`
	History struct {
		Offset       uint64
		Publications []realPublication
	}
	Channels struct{ Channels map[string]any }
	Info     struct {
		Nodes []struct {
			Clients int `json:"num_clients"`
		}
	}
	Pipe []struct {
		Error *struct{ Code int }
	}
}

// Every call of gocent 3.3, the publishing client of backends in Go, does what it
// says to a stream.
func TestLongRealGocentCallsDoWhatTheySay(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	dir := t.TempDir()
	buildGoClients(t, dir)
	p := parts{channel: `, "namespaces": [{"name": "rr", "presence": true, ` + recoverable + `}]`}
	s := launch(t, strings.ReplaceAll(p.config(), testKey, realKey))
	defer s.stop(t)
	const channel = "rr:gocent"
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Token: testkit.HS256(t, testSecret, map[string]any{"sub": "42"}),
		Subs:  map[string]testkit.SubscribeRequest{channel: {}},
	})
	client := c.ExpectConnect(t).Client

	out, err := exec.Command(filepath.Join(dir, "clients"), "gocent", s.addr, realKey).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var results gocentResults
	require.NoError(t, json.Unmarshal(out, &results), "%s", out)
	require.EqualValues(t, 1, results.Publish.Offset)
	require.Len(t, results.Broadcast.Responses, 2)
	require.EqualValues(t, 2, results.Broadcast.Responses[0].Result.Offset)
	require.EqualValues(t, 1, results.Broadcast.Responses[1].Result.Offset)
	require.Equal(t, "42", results.Presence.Presence[client].User)
	require.Equal(t, 1, results.PresenceStats.Clients)
	require.EqualValues(t, 2, results.History.Offset)
	require.Len(t, results.History.Publications, 2)
	require.Contains(t, results.Channels.Channels, channel)
	require.Len(t, results.Info.Nodes, 1)
	require.Len(t, results.Pipe, 3)

	for n := 1; n <= 2; n++ {
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, n), string(c.ExpectPub(t, channel).Data))
	}
	require.Equal(t, "rr:more", c.NextKind(t, "subscribe").Channel)
	require.Equal(t, "rr:more", c.NextKind(t, "unsubscribe").Channel)
	for n := 3; n <= 5; n++ {
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, n), string(c.ExpectPub(t, channel).Data))
	}
	c.ExpectDisconnect(t, 3503)
}
