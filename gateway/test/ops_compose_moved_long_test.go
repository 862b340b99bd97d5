//go:build e2e

package test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// HAProxy with the file of the compose folder spreads streams, holds nothing back, leaves
// open streams on a node that is not ready, and sends new ones elsewhere: anywhere while
// none is ready.
func TestLongHAProxyOfTheComposeFolder(t *testing.T) {
	f := startComposeFront(t)
	const path, subs = testkit.DefaultPath, `{"subs": {"news": {}}}`
	var streams []*testkit.Reader
	open := func(from string) *testkit.Reader {
		events, _ := newNginxClient(t, "http", "stream.example.com", f.streams, from).expect(t, 200, "POST", path, subs)
		return events
	}
	for i := range 3 {
		streams = append(streams, open(fmt.Sprintf("127.0.0.%d", i+2)))
	}
	require.Equal(t, [3]int{1, 1, 1}, f.clients(), "each has one of three")
	publish := func(n int) {
		t.Helper()
		for _, node := range f.nodes {
			node.api.Publish(t, "news", strconv.Itoa(n))
		}
		for _, events := range streams {
			event, err := events.Next()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, n), event.Data)
		}
	}
	for n := range 3 { // each is there before the next is sent
		publish(n)
	}

	f.ready[0].Store(false)
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "Server nodes/sluice-1 is DOWN") }, "HAProxy to notice")
	publish(3)
	streams = append(streams, open("127.0.0.5"), open("127.0.0.6"))
	require.Equal(t, [3]int{1, 2, 2}, f.clients())

	f.ready[1].Store(false)
	f.ready[2].Store(false)
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "backend 'nodes' has no server available") }, "HAProxy to notice")
	streams = append(streams, open("127.0.0.7"))
	publish(4)

	// Limits by address see the client, and only paths of streams lead in.
	page := newNginxClient(t, "http", "stream.example.com", f.streams, "127.0.0.8")
	page.expect(t, 200, "POST", path, subs, "Origin: "+page.base, "X-Forwarded-For: 127.0.0.2")
	page.expect(t, 404, "GET", "/ready", "")
	page.expect(t, 404, "POST", "/api/publish", "{}")

	api := newNginxClient(t, "http", "localhost", f.api, "127.0.0.1")
	answers := func(status int) func() bool {
		return func() bool { return api.ask(t, "POST", "/api/info", "{}", "X-API-Key: "+testKey).StatusCode == status }
	}
	testkit.Eventually(t, answers(503), "HAProxy to notice")
	f.ready[1].Store(true)
	testkit.Eventually(t, answers(200), "the API of a node that is ready again")
	api.expect(t, 404, "GET", "/metrics", "")

	page.expect(t, 400, "GET", path+"?cf_connect=the-token", "")
	testkit.Eventually(t, func() bool { return strings.Contains(f.log.String(), "GET "+path+" 400 ") }, "the line of the refused stream")
	require.NotContains(t, f.log.String(), "the-token", "what is in the query is a secret")
}
