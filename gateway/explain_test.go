package gateway

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// launchLogged starts a gateway whose log, at level info and limited, the test
// reads.
func launchLogged(t *testing.T, p parts, dev bool) (*server, *testkit.LogBuffer) {
	t.Helper()
	log := &testkit.LogBuffer{}
	s := launchWith(t, fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel), Options{
		Verify: true, Dev: dev,
		Log: slog.New(newLimitedHandler(slog.NewTextHandler(log, nil), time.Now)),
	})
	t.Cleanup(func() { s.stop(t) })
	return s, log
}

// Tickets that are refused are explained like connects, and a flood of them is one
// line a second.
func TestRefusalsForGoodAreExplainedOnceASecond(t *testing.T) {
	s, log := launchLogged(t, parts{client: withSecret}, false)
	began := time.Now()
	for range 20 {
		head, _ := roundTrip(t, s.addr, post(ticketPath, `{"token":"Planted"}`))
		require.Equal(t, 401, head.Status)
		testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: "Planted"}).ExpectDisconnect(t, 3500)
		testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: asking("nobody:knows")}).ExpectDisconnect(t, 3501)
	}
	seconds := int(time.Since(began)/time.Second) + 1
	for _, reason := range []string{"token_malformed", "unknown_namespace"} {
		n := strings.Count(log.String(), `msg="a client was told not to come back" reason=`+reason)
		require.Positive(t, n, log)
		require.LessOrEqual(t, n, seconds, log)
	}
	require.NotContains(t, log.String(), "Planted")
	require.Contains(t, log.String(), "remedy=")
}
