package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// An address over its limits is refused, and nobody else is; a freed place is
// usable again.
func TestAddressLimits(t *testing.T) {
	s := launchWithProxy(t, `, "address_connection_limit": 2`)
	from := func(addr string) testkit.ConnectOptions {
		return testkit.ConnectOptions{HTTPHeaders: [][2]string{
			{"Accept", "text/event-stream"}, {"X-Forwarded-For", "198.51.100.1, " + addr},
		}}
	}
	connect := func(addr string) *testkit.Client {
		c := testkit.Connect(t, s.addr, from(addr))
		c.ExpectConnect(t)
		return c
	}
	refused := func(addr string) {
		t.Helper()
		c := testkit.Connect(t, s.addr, from(addr))
		c.ExpectEnd(t) // the retry line and nothing else
	}
	first := connect("192.0.2.1")
	connect("192.0.2.1")
	refused("192.0.2.1")
	connect("192.0.2.2")
	connect("2001:db8:0:1::1")
	connect("2001:db8:0:1:ffff::2")
	refused("2001:db8:0:1::3") // the same /64
	connect("2001:db8:0:2::1")
	require.Equal(t, 6, s.sessions.Counts().Clients, "nobody was evicted")
	first.Close()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 5 }, "the place to be free")
	connect("192.0.2.1")
	refused("192.0.2.1")
}

func TestAddressRateLimit(t *testing.T) {
	s := launchWithProxy(t, `, "address_connection_rate_limit": 1`)
	ask := func(addr string) int {
		head, _ := roundTrip(t, s.addr, "GET "+testkit.DefaultPath+" HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: "+addr+"\r\n\r\n")
		return head.Status
	}
	refusals := 0
	for refusals == 0 {
		if ask("192.0.2.1") == 503 {
			refusals++
		}
	}
	require.Equal(t, 200, ask("192.0.2.2"), "another address")
	testkit.EventuallyWithin(t, time.Minute, func() bool { return ask("192.0.2.1") == 200 }, "one a second")
}

// launchWithProxy starts a gateway that believes a proxy on this machine.
func launchWithProxy(t *testing.T, client string) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	text := fmt.Sprintf(baseConfig, "", "", client, "")
	s := launch(t, strings.Replace(text, `"http_server": {`, `"http_server": {"trusted_proxies": ["127.0.0.0/8"], `, 1))
	t.Cleanup(func() { s.stop(t) })
	return s
}
