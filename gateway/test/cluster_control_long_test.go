//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// expectControl requires that gateways which are ready see each other: each lists all, and
// what one is asked happens to the clients of the next.
func (r *trial) expectControl() {
	r.t.Helper()
	all := len(r.addrs) + len(r.posts)
	for i, g := range r.gateways {
		var seen int
		testkit.Eventually(r.t, func() bool {
			var info struct{ Nodes []struct{ UID string } }
			require.NoError(r.t, json.Unmarshal(g.result(r.t, "info", nil), &info))
			seen = len(info.Nodes)
			return seen == all
		}, fmt.Sprintf("gateway %d to list %d gateways", i, all))
		user := fmt.Sprint("user", i)
		next := r.addrs[(i+1)%len(r.addrs)]
		c := testkit.Connect(r.t, next, testkit.ConnectOptions{Token: testkit.HS256(r.t, testSecret, map[string]any{"sub": user}), Subs: asking(r.channels[0])})
		c.ExpectConnect(r.t)
		g.api.MustResult(r.t, "subscribe", map[string]any{"user": user, "channel": "plain"})
		require.Equal(r.t, "plain", c.NextKind(r.t, "subscribe").Channel)
		g.api.MustResult(r.t, "disconnect", map[string]any{"user": user})
		c.NextKind(r.t, "disconnect")
		c.Close()
	}
}

// result is MustResult for calls that may be made again: a busy machine may hold up Redis for
// longer than a gateway waits, and the error for that is the temporary one.
func (s *server) result(t *testing.T, method string, body any) (result json.RawMessage) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		status, _, raw := s.api.Call(t, method, body)
		var reply struct {
			Result json.RawMessage
			Error  *struct{ Code int }
		}
		require.NoError(t, json.Unmarshal(raw, &reply))
		require.Equal(t, 200, status)
		require.True(t, reply.Error == nil || reply.Error.Code == 100, "%s: %s", method, raw)
		result = reply.Result
		return reply.Error == nil
	}, "a result of "+method)
	return result
}

// expectPresence requires that who is there is present, also where Redis forgot it, and lets
// all leave: then nobody is, also where that happened in an outage.
func (r *trial) expectPresence() {
	r.t.Helper()
	present := func(ch string) int {
		var stats struct {
			Clients int `json:"num_clients"`
		}
		require.NoError(r.t, json.Unmarshal(r.gateways[0].result(r.t, "presence_stats", map[string]any{"channel": ch}), &stats))
		return stats.Clients
	}
	if !strings.HasPrefix(r.channels[0], "rr:") {
		r.leave()
		return // this namespace keeps none
	}
	stay := 0
	for _, w := range r.watchers {
		if !w.restless {
			stay++
		}
	}
	for _, ch := range r.channels {
		testkit.Eventually(r.t, func() bool { n := present(ch); return n >= stay && n <= len(r.watchers) },
			fmt.Sprintf("between %d and %d clients to be present in %s", stay, len(r.watchers), ch))
	}
	r.leave()
	for _, ch := range r.channels {
		testkit.Eventually(r.t, func() bool { return present(ch) == 0 }, "nobody to be present in "+ch)
	}
}
