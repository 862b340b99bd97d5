package sse_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/origin"
	"sluice/gateway/session"
	"sluice/gateway/testkit"
)

func TestProtocol_4_1_OrderOfAuthentication(t *testing.T) {
	who := func(t *testing.T, n *node, opts testkit.ConnectOptions) string {
		t.Helper()
		opts.Subs = subs("present:x")
		c := testkit.Connect(t, n.addr, opts)
		require.Contains(t, c.ExpectConnect(t).Subs, "present:x")
		clients, err := n.presence.Presence(t.Context(), "present:x")
		require.NoError(t, err)
		require.Len(t, clients, 1)
		c.Close()
		testkit.Eventually(t, func() bool {
			s, err := n.presence.Stats(t.Context(), "present:x")
			return err == nil && s.Clients == 0
		}, "the client to leave presence")
		return clients[0].User
	}
	header := [][2]string{{"X-User-Id", "7"}}
	t.Run("token_first", func(t *testing.T) {
		n := newNode(t, func(s *settings) { kinds(s); s.sse.UserIDHeader = "X-User-Id" })
		require.Equal(t, "1", who(t, n, testkit.ConnectOptions{Token: token(t, "1", nil), HTTPHeaders: header}))
		n.refused(t, testkit.ConnectOptions{Token: "bad", HTTPHeaders: header}, 3500, "invalid token")
	})
	t.Run("anonymous_before_the_header", func(t *testing.T) {
		n := newNode(t, func(s *settings) { kinds(s); s.sse.UserIDHeader = "X-User-Id" })
		require.Empty(t, who(t, n, testkit.ConnectOptions{HTTPHeaders: header}))
	})
	t.Run("insecure_is_anonymous", func(t *testing.T) {
		n := newNode(t, func(s *settings) { kinds(s); s.sse.AllowAnonymous, s.sse.Insecure = false, true })
		require.Empty(t, who(t, n, testkit.ConnectOptions{HTTPHeaders: header}))
	})
	t.Run("header", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			kinds(s)
			s.sse.AllowAnonymous, s.sse.UserIDHeader = false, "X-User-Id"
			s.sse.Front = func(*fasthttp.RequestCtx) origin.Front { return origin.Front{Trusted: true} }
			s.session.Personal = session.Personal{Enabled: true}
		})
		require.Equal(t, "7", who(t, n, testkit.ConnectOptions{HTTPHeaders: header}))
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{HTTPHeaders: header, Subs: subs("news")})
		require.Len(t, c.ExpectConnect(t).Subs, 2, "12.23: the personal channel and the requested one")
		n.refused(t, testkit.ConnectOptions{HTTPHeaders: [][2]string{{"X-User-Id", ""}}}, 3501, "bad request")
		n.refused(t, testkit.ConnectOptions{}, 3501, "bad request")
	})
}

// beforeExpiry connects with a token of user 1 that expires in so many seconds,
// and with another where the machine stood still for longer.
func (n *node) beforeExpiry(t *testing.T, seconds int64) (c *testkit.Client, res testkit.ConnectResult, exp int64) {
	t.Helper()
	for {
		exp = time.Now().Unix() + seconds
		c = testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"exp": exp})})
		p := c.Next(t)
		if p.Kind == "disconnect" && past(exp) {
			continue
		}
		require.Equal(t, "connect", p.Kind, "%s", p.Raw)
		p.Decode(t, &res)
		return c, res, exp
	}
}

// past reports whether a Unix time has come.
func past(at int64) bool { return !time.Now().Before(time.Unix(at, 0)) }

// expiringSub puts a new connection into news for a second, and another one
// where the machine stood still for longer.
func (n *node) expiringSub(t *testing.T) (c *testkit.Client, at int64) {
	t.Helper()
	for {
		c, _ = n.subscribe(t, nil)
		at = time.Now().Unix() + 1
		err := n.sessions.Subscribe(t.Context(), session.Target{}, session.SubscribeCommand{Channel: "news", ExpireAt: at})
		if err != nil && past(at) {
			c.Close()
			n.sessionsOpen(t, 0)
			continue
		}
		require.NoError(t, err)
		c.NextKind(t, "subscribe")
		return c, at
	}
}

// expiring changes the delays of expiry for tests.
func expiring(s *settings) {
	kinds(s)
	s.session.ExpiredCloseDelay = time.Second
	s.session.ExpiredSubDelay = time.Second
}

func TestProtocol_4_5_Expiry(t *testing.T) {
	t.Run("E_and_the_delay", func(t *testing.T) {
		n := newNode(t, expiring)
		c, res, exp := n.beforeExpiry(t, 2)
		require.True(t, res.Expires)
		require.LessOrEqual(t, res.TTL, uint32(2))
		require.GreaterOrEqual(t, int64(res.TTL), exp-time.Now().Unix())
		require.Equal(t, "connection expired", c.ExpectDisconnect(t, 3005).Reason)
		require.True(t, past(exp+1), "not before E + expired_close_delay")
	})
	t.Run("expire_at_overrides_exp", func(t *testing.T) {
		n := newNode(t, expiring)
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{
			Token: token(t, "1", map[string]any{"exp": time.Now().Unix() + 1000, "expire_at": 0}),
		})
		res := c.ExpectConnect(t)
		require.False(t, res.Expires)
		require.Zero(t, res.TTL)
	})
	t.Run("insecure_ignores_the_expiry", func(t *testing.T) {
		n := newNode(t, func(s *settings) {
			s.auth = auth.Options{HMACSecretKey: secret, Insecure: true}
			s.sse.Insecure, s.session.Insecure = true, true
		})
		c := testkit.Connect(t, n.addr, testkit.ConnectOptions{Token: token(t, "1", map[string]any{"exp": time.Now().Unix() + 1000})})
		require.False(t, c.ExpectConnect(t).Expires)
	})
	t.Run("3006_subscription_expired", func(t *testing.T) {
		n := newNode(t, expiring)
		c, at := n.expiringSub(t)
		require.Equal(t, "subscription expired", c.ExpectDisconnect(t, 3006).Reason)
		require.True(t, past(at+1))
	})
	t.Run("an_unsubscribed_expiry_does_not_count", func(t *testing.T) {
		n := newNode(t, func(s *settings) { expiring(s); s.session.ExpiredSubDelay = 0 })
		var c *testkit.Client
		var at int64
		for kind := ""; kind != "unsubscribe"; {
			c, at = n.expiringSub(t)
			require.NoError(t, n.sessions.Unsubscribe(t.Context(), session.Target{}, "news"))
			if kind = c.Next(t).Kind; kind == "disconnect" {
				require.True(t, past(at), "too late only where the machine stood still")
			}
		}
		testkit.Eventually(t, func() bool { return time.Now().After(time.Unix(at, 2e8)) }, "the time to pass")
		require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{}, session.RefreshCommand{}))
		c.Expect(t, `{"refresh":{}}`)
	})
}

func TestProtocol_4_5_Refresh(t *testing.T) {
	t.Run("refresh_moves_it", func(t *testing.T) {
		n := newNode(t, expiring)
		for {
			c, _, exp := n.beforeExpiry(t, 1)
			require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{User: "1"}, session.RefreshCommand{ExpireAt: exp + 2}))
			p := c.Next(t)
			if p.Kind == "disconnect" && past(exp+1) {
				continue // too late: the machine stood still
			}
			require.Equal(t, "refresh", p.Kind, "%s", p.Raw)
			c.ExpectDisconnect(t, 3005)
			require.True(t, past(exp+3))
			return
		}
	})
	t.Run("refresh_to_the_past", func(t *testing.T) {
		n := newNode(t, nil)
		c, _ := n.subscribe(t, nil)
		require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{}, session.RefreshCommand{ExpireAt: time.Now().Unix() - 1}))
		c.ExpectDisconnect(t, 3005)
	})
	t.Run("refresh_expired", func(t *testing.T) {
		n := newNode(t, nil)
		c, _ := n.subscribe(t, nil)
		require.NoError(t, n.sessions.Refresh(t.Context(), session.Target{}, session.RefreshCommand{Expired: true}))
		c.ExpectDisconnect(t, 3005)
	})
}
