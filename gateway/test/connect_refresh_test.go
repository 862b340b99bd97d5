package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// refreshAnswers are what the backend says of each kind of user.
var refreshAnswers = map[string]string{
	"forever": `{"result":{"expire_at":0}}`,
	"ended":   `{"result":{"expired":true}}`,
	"past":    `{"result":{"expire_at":1}}`,
	"kicked":  `{"disconnect":{"code":4501,"reason":"no way"}}`,
	"error":   `{"error":{"code":1000,"message":"x"}}`,
	"nothing": `{}`,
	"garbage": `garbage`,
}

// refresher is a backend that is asked whether connections go on. Users are named by their
// kind and by how many seconds they have.
type refresher struct {
	*backend
	asked sync.Map // user → *atomic.Int64
}

func newRefresher(t *testing.T) *refresher {
	t.Helper()
	r := &refresher{backend: newBackend(t)}
	r.do(r.serve)
	return r
}

// count is how often the backend was asked for a user.
func (r *refresher) count(user string) *atomic.Int64 {
	n, _ := r.asked.LoadOrStore(user, &atomic.Int64{})
	return n.(*atomic.Int64)
}

func (r *refresher) serve(w http.ResponseWriter, req *http.Request) {
	var call struct{ User string }
	_ = json.NewDecoder(req.Body).Decode(&call) // Was decoded before.
	n := r.count(call.User).Add(1)
	kind, seconds, _ := strings.Cut(call.User, " ")
	switch {
	case kind == "longer":
		fmt.Fprintf(w, `{"result":{"expire_at":%d,"info":{"n":2}}}`, soon(1000))
	case kind == "twice" && n == 1:
		ahead, _ := strconv.ParseInt(seconds, 10, 64) // Was made below.
		fmt.Fprintf(w, `{"result":{"expire_at":%d}}`, soon(ahead-1))
	case kind == "twice":
		fmt.Fprint(w, refreshAnswers["ended"])
	case kind == "failing":
		w.WriteHeader(http.StatusInternalServerError)
	default:
		fmt.Fprint(w, refreshAnswers[kind])
	}
}

// expectCalls requires that the backend was told all it should know, at each call.
func (r *refresher) expectCalls(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, call := range r.calls {
		user := call.body["user"].(string)
		require.Equal(t, "uni_sse", call.body["transport"])
		require.NotEmpty(t, call.body["client"])
		require.Equal(t, map[string]any{"m": user}, call.body["meta"])
		require.Equal(t, "user="+user, call.head.Get("Cookie"))
		require.Equal(t, user, call.head.Get("X-Emul"))
	}
}

// A hook's call under way does not outlive the gateway, nor keep it.
func TestStopWhileRefreshHooksHang(t *testing.T) {
	b := newBackend(t)
	hang := make(chan struct{})
	defer close(hang)
	b.do(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	s := startStrict(t, parts{client: withSecret + b.refreshHook(`, "timeout": "1h"`)}, nil)
	var c *testkit.Client
	inTime(t, func(seconds int64) bool {
		at := soon(seconds - 1)
		c, _ = s.connectBefore(t, at, testkit.ConnectOptions{
			Token: tokenOf(t, "1", map[string]any{"expire_at": at}), Subs: asking("news"),
		})
		return c != nil
	})
	testkit.EventuallyWithin(t, 2*time.Minute, func() bool { return b.asked.Load() == 1 }, "the hook's call")
	s.api.Publish(t, "news", `1`)
	c.ExpectPub(t, "news")
	s.api.MustResult(t, "refresh", fmt.Sprintf(`{"user":"1","expire_at":%d}`, soon(1000)))
	c.NextKind(t, "refresh")
	// The end of the test stops the gateway, within a minute, and looks for leaks.
}

// A backend that does not say whether a connection goes on keeps none of its
// subscriptions from expiring.
func TestSubscriptionExpiresWhileARefreshHookHangs(t *testing.T) {
	b := newBackend(t)
	b.do(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := startStrict(t, parts{client: withSecret + `, "expired_sub_close_delay": "50ms"` + b.refreshHook(`, "timeout": "1h"`)}, nil)
	inTime(t, func(seconds int64) bool {
		asked := b.asked.Load()
		at := soon(seconds - 1)
		c, _ := s.connectBefore(t, at, testkit.ConnectOptions{
			Token: tokenOf(t, "1", map[string]any{"expire_at": at}), Timeout: 3 * time.Minute,
		})
		if c == nil {
			return false
		}
		defer c.Close()
		until := at + max(1, seconds/4)
		_, _, raw := s.api.Call(t, "subscribe", fmt.Sprintf(`{"user":"1","channel":"news","expire_at":%d}`, until))
		if !strings.Contains(string(raw), `"result"`) && over(until) {
			return false
		}
		require.Contains(t, string(raw), `"result"`)
		c.NextKind(t, "subscribe")
		c.ExpectDisconnect(t, 3006)
		return b.asked.Load() > asked // or it was too late for the hook's call
	})
}
