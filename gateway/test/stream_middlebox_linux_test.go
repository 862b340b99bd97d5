package test

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// boxCase is a box that holds bytes back, and what helps against it.
type boxCase struct {
	name    string
	box     holds
	sse     string // options that help
	padding int    // what the client asks for
	ping    string // how often there is one
	bare    string // the same without help, where pings help
	connect bool   // without help the connect push waits, else a publication
}

// Behind each box that holds bytes back events arrive with the option that is for it,
// before the next one is published, and without it they do not.
func TestEventsArriveThroughBoxesThatHoldBytes(t *testing.T) {
	for _, c := range []boxCase{
		{name: "the first segment until the second", box: firstSegment, sse: `, "two_write_start": true`, ping: "1h", bare: "1h", connect: true},
		{name: "all until 2 KiB came", box: firstBytes(2 << 10), sse: `, "padding": 2048`, ping: "1h", bare: "1h", connect: true},
		{name: "all until 2 KiB came, as the client asks", box: firstBytes(2 << 10), padding: 2048, ping: "1h", bare: "1h", connect: true},
		{name: "the last 1000 bytes", box: lastBytes(1000), padding: 1000, ping: "300ms", bare: "300ms"},
		{name: "each segment until the next", box: eachSegment, sse: `, "two_write_start": true`, ping: "300ms", bare: "-1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.arrives(t)
			c.waits(t)
		})
	}
}

func boxTarget(padding int) string {
	target := testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(`{"subs":{"news":{}}}`)
	if padding > 0 {
		target += fmt.Sprintf("&padding=%d", padding)
	}
	return target
}

func (c *boxCase) arrives(t *testing.T) {
	t.Helper()
	s := startServer(t, parts{sse: c.sse, client: fmt.Sprintf(`, "ping_interval": %q`, c.ping)})
	box := newMiddlebox(t, s.addr, c.box)
	client := testkit.Connect(t, box.addr(), testkit.ConnectOptions{Path: boxTarget(c.padding)})
	client.ExpectConnect(t)
	for i := range 3 {
		data := fmt.Sprintf(`{"n":%d}`, i)
		s.api.Publish(t, "news", data)
		require.Equal(t, data, string(client.ExpectPub(t, "news").Data))
	}
}

func (c *boxCase) waits(t *testing.T) {
	t.Helper()
	s := startServer(t, parts{client: fmt.Sprintf(`, "ping_interval": %q`, c.bare)})
	box := newMiddlebox(t, s.addr, c.box)
	client, err := net.Dial("tcp", box.addr())
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Write([]byte(testkit.Request{Target: boxTarget(0)}.String()))
	require.NoError(t, err)
	testkit.Eventually(t, func() bool { return box.seen(`"connect":`) == 1 }, "the connect push at the box")
	if c.connect {
		require.True(t, box.holding(`{"connect":`))
		return
	}
	s.api.Publish(t, "news", `{"n":"held"}`)
	testkit.Eventually(t, func() bool { return box.seen(`"held"`) == 1 }, "the publication at the box")
	if c.bare == c.ping { // pings come, and change nothing
		pings := box.seen("data: {}")
		testkit.Eventually(t, func() bool { return box.seen("data: {}") > pings }, "a ping")
	}
	require.True(t, box.holding(`"held"`))
}
