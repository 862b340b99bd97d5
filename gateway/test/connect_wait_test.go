package test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// heldRoom is http_server.waiting_max_bytes in these tests, and heldOwn how many large
// heads of one address it has room for: 3 MiB for a buffer of 72 KiB, a head of 60 kB
// twice, and 48 KiB each.
const heldRoom, heldOwn = 8 << 20, 12

// launchHeld starts a gateway with so much room, and client options.
func launchHeld(t *testing.T, client string) *server {
	t.Helper()
	text := fmt.Sprintf(baseConfig, "", "", client, "")
	if strings.Contains(client, `"token"`) {
		text = strings.Replace(text, `"token": {"hmac_secret_key": "`+testSecret+`"},`, "", 1)
	}
	s := launch(t, strings.Replace(text, `"http_server": {`, fmt.Sprintf(`"http_server": {"waiting_max_bytes": %d, `, heldRoom), 1))
	t.Cleanup(func() { s.stop(t) })
	return s
}

// sendLarge sends a connect with a large head from a loopback address.
func (s *server) sendLarge(t *testing.T, from, query string) *testkit.Conn {
	t.Helper()
	c := dialFrom(t, s, from)
	r := testkit.Request{Target: testkit.DefaultPath + query, Headers: [][2]string{{"X-Filler", strings.Repeat("x", 60_000)}}}
	require.NoError(t, c.TrySend(r.String()))
	return c
}

// A backend that does not answer costs memory within http_server.waiting_max_bytes: one
// address has a part of that, and whoever comes on top is turned away and told to come
// back.
func TestConnectsThatWaitForAHookAreBounded(t *testing.T) {
	b := newBackend(t)
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	b.do(func(w http.ResponseWriter, _ *http.Request) {
		<-held
		_, _ = w.Write([]byte(`{"result":{"user":"1"}}`))
	})
	s := launchHeld(t, fmt.Sprintf(`, "proxy": {"connect": {"enabled": true, "endpoint": "%s", "timeout": "1m"}}`, b.server.URL))
	t.Cleanup(release) // before the backend waits for its calls
	var all []*testkit.Conn
	f := func(from string, waiting int, own, node uint64) {
		t.Helper()
		n := s.Parts().Counters.Node()
		for range 40 { // one after another: who is still sending may have to go for others
			all = append(all, s.sendLarge(t, from, ""))
			testkit.EventuallyWithin(t, patience, func() bool {
				n = s.Parts().Counters.Node()
				return n.ConnectsWaiting+int(n.Refused["address_waiting"]+n.Refused["waiting_memory"]) == len(all)
			}, "it to wait or to be refused")
			require.LessOrEqual(t, s.waiting.Held(), int64(heldRoom))
		}
		require.Equal(t, []uint64{uint64(waiting), own, node},
			[]uint64{uint64(n.ConnectsWaiting), n.Refused["address_waiting"], n.Refused["waiting_memory"]})
	}
	f("127.0.0.2", heldOwn, 40-heldOwn, 0)
	f("127.0.0.3", 2*heldOwn, 80-2*heldOwn, 0)
	f("127.0.0.4", 2*heldOwn+1, 80-2*heldOwn, 39) // what is left of three quarters
	release()
	away := 0
	for _, c := range all {
		head := c.ReadHead(t)
		if head.Status == http.StatusServiceUnavailable {
			require.NotEmpty(t, head.Get("Retry-After"))
			away++
		} else {
			require.Equal(t, http.StatusOK, head.Status)
		}
		require.NoError(t, c.Close())
	}
	require.Equal(t, 120-2*heldOwn-1, away)
	testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Held() == 0 }, "all to be given back")
}

// So does a flood of tokens with made-up keys, or of one such token, whether the key
// server answers or not.
func TestConnectsThatWaitForKeysAreBounded(t *testing.T) {
	part := base64.RawURLEncoding.EncodeToString
	f := func(name string, token func(i int) string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			done := make(chan struct{})
			b.do(func(http.ResponseWriter, *http.Request) { <-done })
			s := launchHeld(t, fmt.Sprintf(`, "token": {"jwks_public_endpoint": "%s"}`, b.server.URL))
			t.Cleanup(func() { close(done) })
			sent := 0
			testkit.EventuallyWithin(t, patience, func() bool {
				var all []*testkit.Conn
				for range 4 * heldOwn {
					all = append(all, s.sendLarge(t, "127.0.0.2", `?cf_connect={"token":"`+token(sent)+`"}`))
					sent++
					require.LessOrEqual(t, s.Parts().Counters.Node().ConnectsWaiting, heldOwn)
				}
				for _, c := range all {
					_ = c.ReadHead(t)
					require.NoError(t, c.Close())
				}
				return s.Parts().Counters.Node().Refused["address_waiting"] > 0
			}, "some to be refused")
			testkit.EventuallyWithin(t, patience, func() bool { return s.waiting.Held() == 0 }, "all to be given back")
		})
	}
	made := func(i int) string {
		return part(fmt.Appendf(nil, `{"alg":"EdDSA","kid":"made-up-%d"}`, i)) + "." + part([]byte(`{"sub":"1"}`)) + ".AAAA"
	}
	f("many keys", made)
	f("one token", func(int) string { return made(0) })
}
