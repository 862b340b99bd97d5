package test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Of twenty connections that a user opens at once one stays; each other one is told 3504,
// before its first event or behind it.
func TestOneOfManyConnectionsAtOnceStays(t *testing.T) {
	const crowd, rounds = 20, 5
	s := startServer(t, parts{
		client:  `, "subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "who", "single_connection": true}`,
		channel: `, "namespaces": [{"name": "who", "presence": true}]`,
	})
	one := testkit.ConnectOptions{Token: tokenOf(t, "7", nil)}
	for range rounds {
		clients := make([]*testkit.Client, crowd)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { clients[i] = testkit.Connect(t, s.addr, one) })
		}
		wg.Wait()
		testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 1 }, "one of them")
		last := testkit.Connect(t, s.addr, one)
		last.ExpectConnect(t)
		for _, c := range clients { // now the one that stayed is told, too
			p := c.NextAny(t)
			if p.Kind == "connect" {
				p = c.NextKind(t, "disconnect")
			}
			require.Equal(t, "disconnect", p.Kind)
			require.Contains(t, string(p.Raw), "3504")
		}
		last.Close()
		testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients == 0 }, "the end of all")
	}
}
