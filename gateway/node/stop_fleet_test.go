package node

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// A shutdown may take as long as it is told to: who is still there by then is present still.
func TestStreamsAreRenewedUntilTheyEnd(t *testing.T) {
	r := redisrig.Shared(t)
	text := onRedis(r.Addr, redisrig.Prefix(t), `, "presence_ttl": "2s"`, parts{channel: `, "namespaces": [{"name": "pp", "presence": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}]`})
	other := fleet(t, 1, text)[0]
	s := launch(t, strings.Replace(text, `"health":`, `"shutdown": {"rate": 2, "timeout": "1m"}, "health":`, 1))
	s.awaitReady(t, http.StatusOK)
	var clients []*testkit.Client
	for range 12 { // six seconds
		c := s.subscribe(t, "pp:1")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	done := make(chan error, 1)
	go func() { done <- s.Stop(t.Context()) }()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.group.Stats().Open <= 6 }, "half of the streams to end")
	require.NotContains(t, string(other.api.MustResult(t, "presence_stats", `{"channel":"pp:1"}`)), `"num_clients":0`)
	require.NoError(t, <-done)
	for _, c := range clients {
		c.WaitEnd(t)
	}
	require.JSONEq(t, `{"num_clients":0,"num_users":0}`, string(other.api.MustResult(t, "presence_stats", `{"channel":"pp:1"}`)))
}
