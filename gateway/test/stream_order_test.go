package test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// busy keeps lanes and loops busy until stop is called: publishers that wait for
// no answer, large publications in channels all over the lanes, and deltas to
// make of each.
func (s *server) busy(t *testing.T) (stop func()) {
	t.Helper()
	channels := channelNames("busy:", 16)
	subs := make(map[string]testkit.SubscribeRequest)
	for _, ch := range channels {
		subs[ch] = testkit.SubscribeRequest{Delta: "fossil"}
	}
	readers := make(crowd, 10)
	for i := range readers {
		f, err := follow(s.addr, connectTarget(map[string]any{"subs": subs}), 0, "")
		require.NoError(t, err)
		go f.read(nil)
		readers[i] = f
		<-f.opened
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for round := 0; ; round++ {
				b := &publisher{addr: s.addr, p: p + 1}
				_, err := b.publish(32, true, func(n int) put {
					return put{channel: channels[(4*n+p)%len(channels)], size: 60_000 + round%7*1000}
				})
				if err != nil {
					t.Errorf("publisher %d: %v", p, err)
					return
				}
				select {
				case <-quit:
					return
				default:
				}
			}
		})
	}
	testkit.Eventually(t, func() bool { return s.hub.Stats().Published > 50 }, "the load")
	return sync.OnceFunc(func() {
		close(quit)
		wg.Wait()
		for i, f := range readers {
			if f.ended() {
				t.Errorf("stream %d of the load: %v", i, f)
			}
		}
		readers.close()
	})
}

// startBusy starts a gateway that busy can keep busy, with channels of two kinds.
func startBusy(t *testing.T) *server {
	t.Helper()
	s := startBurst(t, parts{
		api:    `, "publish_inflight_max_bytes": 1048576`,
		client: `, "queue_max_age": "2m", "queue_max_size": 100000000, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [
			{"name": "busy", "history_size": 2, "history_ttl": "1h", "delta_publish": true, "allowed_delta_types": ["fossil"], ` + anybody + `},
			{"name": "rr", ` + recoverable + `}]`,
	})
	stop := s.busy(t)
	t.Cleanup(stop)
	return s
}

// orderTries is how often each order is tried: where it does not hold, one of a few fails.
var orderTries = scaled(10)

// userOf opens a stream of a user.
func (s *server) userOf(t *testing.T, user string, channels ...string) *testkit.Client {
	t.Helper()
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Token: testkit.HS256(t, testSecret, map[string]any{"sub": user}), Subs: asking(channels...), Timeout: 2 * time.Minute,
	})
	c.ExpectConnect(t)
	return c
}

// late counts the tries whose order was another one than expected, so that a test
// tells how often, and not only that.
type late struct{ tries, wrong int }

// orderIs takes the next pushes and reports whether they are of these kinds, in
// this order.
func (l *late) orderIs(t *testing.T, c *testkit.Client, kinds ...string) {
	t.Helper()
	l.tries++
	for _, kind := range kinds {
		p := c.Next(t)
		for p.Kind == "ping" {
			p = c.Next(t)
		}
		if p.Kind != kind {
			l.wrong++
			return
		}
	}
}

// tries runs a subtest that tries an order, and fails if it was ever another one.
func tries(t *testing.T, name, order string, try func(t *testing.T, l *late, i int)) {
	t.Run(name, func(t *testing.T) {
		var l late
		for i := range orderTries {
			try(t, &l, i)
		}
		require.Zero(t, l.wrong, "%s: wrong in %d of %d tries", order, l.wrong, l.tries)
	})
}

// What was acknowledged happens before what the backend asks for next: a stream
// gets the publication first, and then the push of the call.
func TestAcknowledgedPublicationsComeBeforeWhatIsAskedNext(t *testing.T) {
	s := startBusy(t)
	for _, ns := range []string{"", "rr:"} {
		f := func(name, method string, kinds []string, body func(user, ch string) map[string]any) {
			tries(t, ns+name, "publish, then "+method, func(t *testing.T, l *late, i int) {
				user, ch := fmt.Sprintf("%s%s-%d", ns, name, i), fmt.Sprintf("%s%s-%d", ns, name, i)
				c := s.userOf(t, user, ch)
				s.api.Publish(t, ch, `1`)
				s.api.MustResult(t, method, body(user, ch))
				l.orderIs(t, c, kinds...)
				c.Close()
			})
		}
		f("disconnect", "disconnect", []string{"pub", "disconnect"}, func(user, _ string) map[string]any {
			return map[string]any{"user": user}
		})
		f("unsubscribe", "unsubscribe", []string{"pub", "unsubscribe"}, func(user, ch string) map[string]any {
			return map[string]any{"user": user, "channel": ch}
		})
		f("unsubscribe from all", "unsubscribe", []string{"pub", "unsubscribe"}, func(user, _ string) map[string]any {
			return map[string]any{"user": user, "channel": ""}
		})
		f("refresh", "refresh", []string{"pub", "refresh"}, func(user, _ string) map[string]any {
			return map[string]any{"user": user, "expire_at": time.Now().Add(time.Hour).Unix()}
		})
		f("subscribe another", "subscribe", []string{"pub", "subscribe"}, func(user, ch string) map[string]any {
			return map[string]any{"user": user, "channel": ch + "-other"}
		})
		f("subscribe anew", "subscribe", []string{"pub", "subscribe"}, func(user, ch string) map[string]any {
			return map[string]any{"user": user, "channel": ch}
		})
	}
}

// And what the backend publishes behind a call finds what the call did.
func TestCallsComeBeforeWhatIsPublishedNext(t *testing.T) {
	s := startBusy(t)
	for _, ns := range []string{"", "rr:"} {
		tries(t, ns+"subscribe", "subscribe, then publish", func(t *testing.T, l *late, i int) {
			user, ch := fmt.Sprintf("%ssub-%d", ns, i), fmt.Sprintf("%ssub-%d", ns, i)
			c := s.userOf(t, user)
			s.api.MustResult(t, "subscribe", map[string]any{"user": user, "channel": ch})
			s.api.Publish(t, ch, `1`)
			l.orderIs(t, c, "subscribe", "pub")
			c.Close()
		})
		tries(t, ns+"unsubscribe", "unsubscribe, then publish, then disconnect", func(t *testing.T, l *late, i int) {
			user, ch := fmt.Sprintf("%sunsub-%d", ns, i), fmt.Sprintf("%sunsub-%d", ns, i)
			c := s.userOf(t, user, ch, ch+"-other")
			s.api.MustResult(t, "unsubscribe", map[string]any{"user": user, "channel": ch})
			s.api.Publish(t, ch, `1`)
			s.api.Publish(t, ch+"-other", `2`)
			s.api.MustResult(t, "disconnect", map[string]any{"user": user})
			l.orderIs(t, c, "unsubscribe", "pub", "disconnect")
			c.Close()
		})
	}
}

// expectNew requires that the next publication of a stream is the new one.
func (l *late) expectNew(t *testing.T, c *testkit.Client, data string) {
	t.Helper()
	l.tries++
	if p := c.NextKind(t, "pub"); string(p.Body) != `{"data":`+data+`}` {
		l.wrong++
	}
	c.Close()
}

// A subscription begins with its connect, or its call: what was acknowledged
// before is not for it, unless it asks for what it missed.
func TestASubscriptionDoesNotGetWhatWasAcknowledgedBefore(t *testing.T) {
	s := startBusy(t)
	// With a positioned channel beside it, the connect has two steps.
	for name, also := range map[string][]string{"connect": nil, "connect beside others": {"rr:beside"}} {
		tries(t, name, "publish, then connect", func(t *testing.T, l *late, i int) {
			ch := fmt.Sprintf("%s-%d", name, i)
			s.api.Publish(t, ch, `"old"`)
			c := s.userOf(t, ch, append(also, ch)...)
			s.api.Publish(t, ch, `"new"`)
			l.expectNew(t, c, `"new"`)
		})
	}
	s.crowd(t, 10, subscribeTarget([]string{"shared"})) // on every loop
	tries(t, "with other subscribers", "publish, then connect", func(t *testing.T, l *late, i int) {
		s.api.Publish(t, "shared", string(note{1, 2*i + 1, 10}.appendTo(nil)))
		c := s.userOf(t, fmt.Sprint("late-", i), "shared")
		fresh := string(note{1, 2*i + 2, 10}.appendTo(nil))
		s.api.Publish(t, "shared", fresh)
		l.expectNew(t, c, fresh)
	})
	tries(t, "subscribe", "publish, then subscribe", func(t *testing.T, l *late, i int) {
		user, ch := fmt.Sprintf("call-%d", i), fmt.Sprintf("call-%d", i)
		c := s.userOf(t, user)
		s.api.Publish(t, ch, `"old"`)
		s.api.MustResult(t, "subscribe", map[string]any{"user": user, "channel": ch})
		s.api.Publish(t, ch, `"new"`)
		l.expectNew(t, c, `"new"`)
	})
}

// The order holds for whole batches.
func TestOrderHoldsForABatch(t *testing.T) {
	s := startBusy(t)
	tries(t, "batch", "publish, unsubscribe, publish, subscribe, publish, disconnect", func(t *testing.T, l *late, i int) {
		ch := fmt.Sprintf("batch-%d", i)
		c := s.userOf(t, ch, ch)
		s.api.Call(t, "batch", fmt.Sprintf(`{"commands": [
			{"publish": {"channel": %[1]q, "data": 1}}, {"unsubscribe": {"user": %[1]q, "channel": %[1]q}}, {"publish": {"channel": %[1]q, "data": 2}},
			{"subscribe": {"user": %[1]q, "channel": %[1]q}}, {"publish": {"channel": %[1]q, "data": 3}}, {"disconnect": {"user": %[1]q}}]}`, ch))
		l.tries++
		for _, want := range []string{
			fmt.Sprintf(`{"channel":%q,"pub":{"data":1}}`, ch), "unsubscribe", "subscribe",
			fmt.Sprintf(`{"channel":%q,"pub":{"data":3}}`, ch), "disconnect",
		} {
			if p := c.Next(t); p.Kind != want && string(p.Raw) != want {
				l.wrong++
				break
			}
		}
		c.Close()
	})
}
