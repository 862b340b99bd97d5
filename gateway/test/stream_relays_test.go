package test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// startOrigin starts an origin within this process, which ends with the test.
func startOrigin(t *testing.T) *server {
	t.Helper()
	testkit.Snapshot(t, append([]string{"net/http.(*persistConn)"}, libraryGoroutines...)...)
	s := launch(t, relayedText(0, endSoon))
	t.Cleanup(func() { s.stop(t) })
	return s
}

func TestRelaysHandOnWhatTheirOriginHas(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	o.api.Publish(t, relayedChannel, "1")
	first := startOn(t, o.addr, 0)
	second := startOn(t, first.addr, 0)
	viewers := []*relayViewer{watchBroadcast(t, second.addr, relayedChannel), watchBroadcast(t, second.addr, relayedChannel), watchBroadcast(t, first.addr, relayedChannel)}
	for _, v := range viewers {
		v.await(t, 1)
	}
	for i := 2; i < 10; i++ {
		o.api.Publish(t, relayedChannel, fmt.Sprint(i))
		for _, v := range viewers {
			v.await(t, i)
		}
	}
	for _, v := range viewers {
		v.expectAll(t, 1, 9)
	}
	for _, s := range []*server{first, second} {
		text := scrapeText(t, s.addr)
		require.Contains(t, text, "\nsluice_relay_streams 1\n", "one stream for all viewers")
		require.Contains(t, text, "\nsluice_relay_publications_total 9\n")
	}
}

// A channel that the origin does not have is none here either, and fronts may say so as
// long as the origin allows.
func TestARelayHasNoOtherChannelsThanItsOrigin(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	r := startOn(t, startOn(t, o.addr, 0).addr, 0)
	for _, ch := range []string{"news", "none:a", "$pub:a", "pub:a%23b"} {
		for range 3 {
			head, body := testkit.RoundTrip(t, r.addr, testkit.Request{Target: broadcastTarget(ch)})
			require.Equal(t, 404, head.Status, "%s: %s", ch, body)
			require.Equal(t, "public, max-age=1", head.Get("Cache-Control"))
		}
	}
	require.Contains(t, scrapeText(t, r.addr), "\nsluice_relay_channels 0\n")
}

func TestARelayPublishesNothing(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	r := launch(t, fmt.Sprintf(baseConfig, `}, "relay": {"origin": "http://`+o.addr+`"`, "", "", ""))
	t.Cleanup(func() { r.stop(t) })
	status, head, raw := r.api.Call(t, "publish", `{"channel": "news", "data": 1}`)
	require.Equal(t, 200, status)
	require.Contains(t, string(raw), `"code":108`, "%s", raw)
	require.Contains(t, head.Get("X-Sluice-Detail"), "relay.origin")
}

func TestRelaysInACircleAreRefused(t *testing.T) {
	t.Parallel()
	testkit.Snapshot(t, append([]string{"net/http.(*persistConn)"}, libraryGoroutines...)...)
	a, b := testkit.FreePort(t), testkit.FreePort(t)
	on := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	startOn(t, on(b), a)
	startOn(t, on(a), b)
	self := testkit.FreePort(t)
	startOn(t, on(self), self)
	for _, port := range []int{a, b, self} {
		for range 2 {
			head, body := testkit.RoundTrip(t, on(port), testkit.Request{Target: broadcastTarget("pub:a")})
			require.Equal(t, http.StatusLoopDetected, head.Status, "%s", body)
			require.Equal(t, "no-store", head.Get("Cache-Control"))
		}
	}
}

func TestAChainOfRelaysIsNotEndless(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	o.api.Publish(t, relayedChannel, "1")
	chain := []string{o.addr}
	for range 9 {
		chain = append(chain, startOn(t, chain[len(chain)-1], 0).addr)
	}
	head, body := testkit.RoundTrip(t, chain[9], testkit.Request{Target: broadcastTarget(relayedChannel)})
	require.Equal(t, http.StatusLoopDetected, head.Status, "%s", body)
	watchBroadcast(t, chain[7], relayedChannel).await(t, 1)
}

// A relay that has just started begins behind the place that a relay below it brings.
func TestRelaysResumeAtOneThatHasJustStarted(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	var epoch string
	for i := range 5 {
		epoch = o.api.Publish(t, relayedChannel, fmt.Sprint(i)).Epoch
	}
	r := startOn(t, o.addr, 0)
	f := func(offset uint64, epoch, want string) {
		t.Helper()
		id := codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32(relayedChannel), Epoch: codec.Tag32(epoch), Offset: offset})
		c := testkit.Dial(t, r.addr)
		defer c.Close()
		c.Send("GET " + broadcastTarget(relayedChannel) + " HTTP/1.1\r\nHost: h\r\nCDN-Loop: sluice; node=below\r\nLast-Event-ID: " + string(id) + "\r\n\r\n")
		head := c.ReadHead(t)
		require.Equal(t, want, head.Get("Sluice-Backlog"))
		require.Contains(t, head.Get("Cache-Control"), "private")
	}
	f(3, epoch, "3-5")
	f(5, epoch, "5-5")
	f(3, "another", "0-5")
}

// An origin that was restarted has another history: viewers of its relays are told by the
// end of their streams, and get what there is then.
func TestRelaysFollowAnOriginThatBeginsAnew(t *testing.T) {
	t.Parallel()
	testkit.Snapshot(t, append([]string{"net/http.(*persistConn)"}, libraryGoroutines...)...)
	port := testkit.FreePort(t)
	o := launch(t, relayedText(port, endSoon))
	r := startOn(t, startOn(t, o.addr, 0).addr, 0)
	v := watchBroadcast(t, r.addr, relayedChannel)
	for i := 1; i <= 3; i++ {
		o.api.Publish(t, relayedChannel, fmt.Sprint(i))
	}
	v.await(t, 3)
	before, _ := v.last()
	o.stop(t)
	o = launch(t, relayedText(port, endSoon))
	t.Cleanup(func() { o.stop(t) })
	o.api.Publish(t, relayedChannel, "4")
	v.expectAll(t, 1, 4)
	after, _ := v.last()
	require.NotEqual(t, before.epoch, after.epoch)
	require.EqualValues(t, 1, after.offset)
	require.True(t, strings.Contains(scrapeText(t, r.addr), `sluice_relay_gaps_total{why="epoch"} 1`))
}

// The command says what it relays and where, serves it, and ends in good order.
func TestTheRelayCommandSaysWhatItRelays(t *testing.T) {
	t.Parallel()
	o := startOrigin(t)
	o.api.Publish(t, relayedChannel, "1")
	port, log := testkit.FreePort(t), &testkit.LogBuffer{}
	cmd := commandOf(t, "relay", "--origin", "http://"+o.addr, "--address", "127.0.0.1", "--port", fmt.Sprint(port))
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for _, said := range []string{
		"relays http://" + o.addr + "/broadcast\n", fmt.Sprintf("curl -N 'http://localhost:%d/broadcast/CHANNEL'", port), fmt.Sprintf("curl 'http://localhost:%d/ready'", port),
		"the origin is within reach",
	} {
		testkit.Eventually(t, func() bool { return strings.Contains(log.String(), said) }, said)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	watchBroadcast(t, addr, relayedChannel).await(t, 1)
	head, _ := testkit.RoundTrip(t, addr, testkit.Request{Target: "/ready"})
	require.Equal(t, http.StatusOK, head.Status)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "%s", log)
}
