package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestStreamsOverTLS(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := startTLS(t, "", "", parts{channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`})
		cfg := s.ca.client()
		cfg.MinVersion, cfg.MaxVersion = version, version
		token := testkit.HS256(t, testSecret, map[string]any{"sub": "u"})
		c := s.stream(t, cfg, testkit.ConnectOptions{Token: token}, "rr:a")
		require.Equal(t, version, c.Conn().(*tls.Conn).ConnectionState().Version)
		c.ExpectConnect(t)
		data := func(n int) string { return fmt.Sprintf(`{"n":%d,"x":%q}`, n, strings.Repeat("x", n*n)) }
		const before, missed, after = 200, 5, 10
		for n := 0; n < before; n += 5 { // from some bytes to more than two records
			for i := range 5 {
				s.api.Publish(t, "rr:a", data(n+i))
			}
			for i := range 5 {
				require.Equal(t, data(n+i), string(c.ExpectPub(t, "rr:a").Data))
			}
		}
		c.Close()
		for n := range missed {
			s.api.Publish(t, "rr:a", data(n))
		}

		c = s.stream(t, cfg, testkit.ConnectOptions{
			Token: token, HTTPHeaders: [][2]string{{"Last-Event-ID", c.LastEventID()}},
		}, "rr:a")
		sub := c.ExpectConnect(t).Subs["rr:a"]
		require.True(t, sub.Recovered)
		require.Len(t, sub.Publications, missed)
		for n := range after {
			s.api.Publish(t, "rr:a", data(n))
			require.Equal(t, data(n), string(c.ExpectPub(t, "rr:a").Data))
		}
		s.api.MustResult(t, "disconnect", map[string]any{"user": "u"})
		c.NextKind(t, "disconnect")
		c.ExpectEnd(t)
		expectFarewell(t, c)
	})
}

// A refusal over TLS is the same answer, and it ends in good order.
func TestRefusalsOverTLS(t *testing.T) {
	s := startTLS(t, "", "", parts{client: `, "connection_limit": 1`})
	p := launch(t, fmt.Sprintf(baseConfig, "", "", `, "connection_limit": 1`, ""))
	t.Cleanup(func() { p.stop(t) })
	drawn := regexp.MustCompile(`retry: \d+`)
	const path = testkit.DefaultPath
	f := func(name, raw string, status int) {
		t.Helper()
		nc, err := net.Dial("tcp", p.addr)
		require.NoError(t, err)
		wantStatus, wantKind, wantBody := toEnd(t, nc, raw)
		require.Equal(t, status, wantStatus, name)
		gotStatus, gotKind, gotBody := toEnd(t, s.dial(t, s.ca.client()), raw)
		require.Equal(t, wantStatus, gotStatus, name)
		require.Equal(t, wantKind, gotKind, name)
		require.Equal(t, drawn.ReplaceAllString(wantBody, "retry"), drawn.ReplaceAllString(gotBody, "retry"), name)
	}
	const last = " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	f("bad token", "GET "+path+"?cf_connect=%7B%22token%22%3A%22x.y.z%22%7D"+last+"\r\n", 200)
	f("bad token, POST", "POST "+path+last+"Content-Length: 17\r\n\r\n"+`{"token":"x.y.z"}`, 200)
	f("bad request", "GET "+path+"?cf_connect=%7B"+last+"\r\n", 400)
	f("method", "PUT "+path+last+"Content-Length: 0\r\n\r\n", 405)
	f("unknown path", "GET /none"+last+"\r\n", 404)
	f("API without a key", "POST /api/publish"+last+"Content-Length: 2\r\n\r\n{}", 401)
	f("bad HTTP", "nonsense\r\n\r\n", 400)
	f("too large a body", "POST "+path+last+"Content-Length: 100000000\r\n\r\n", 413)

	testkit.Eventually(t, func() bool { return s.sessions.Counts().Clients+p.sessions.Counts().Clients == 0 }, "the end of those that were refused")
	s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news").ExpectConnect(t)
	p.subscribe(t, "news").ExpectConnect(t)
	f("shed, EventSource", "GET "+path+last+"Accept: text/event-stream\r\n\r\n", 200)
	f("shed, POST", "POST "+path+last+"Content-Length: 2\r\n\r\n{}", 503)
	require.EqualValues(t, 2, s.sse.Stats().Shed)
}

// A connection that is kept serves calls before, meanwhile and after streams, and
// may become one itself.
func TestCallsAndStreamsOverTLS(t *testing.T) {
	s := startTLS(t, "", "", parts{})
	kept := s.http(t)
	n := 0
	call := func(channel string) {
		t.Helper()
		n++
		body := fmt.Sprintf(`{"channel":%q,"data":%d}`, channel, n)
		kept.Send(fmt.Sprintf("POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", testKey, len(body), body))
		require.Equal(t, 200, kept.ReadHead(t).Status)
		text, err := io.ReadAll(kept.Body())
		require.NoError(t, err)
		require.Contains(t, string(text), "result")
	}
	call("other")
	c := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news")
	c.ExpectConnect(t)
	for range 20 {
		call("news")
		c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, n))
	}
	c.Close()
	call("other")

	kept.Send(get(subscribeTarget([]string{"news"})))
	require.Equal(t, 200, kept.ReadHead(t).Status)
	events := testkit.NewReader(kept.Body())
	ev, err := events.Next()
	require.NoError(t, err)
	require.Contains(t, ev.Data, `{"connect":`)
	s.api.Publish(t, "news", `"behind calls"`)
	ev, err = events.Next()
	require.NoError(t, err)
	require.Equal(t, `{"channel":"news","pub":{"data":"behind calls"}}`, ev.Data)
}

// Each of the two ports speaks TLS or not, as http_server says.
func TestPortsWithTLS(t *testing.T) {
	ca := newAuthority(t)
	files, other := newTLSFiles(t, ca), newTLSFiles(t, ca)
	require.NoError(t, other.replace(ca, 2))
	const enabled = `, "enabled": true`
	f := func(name, keys string, external, internal int64) { // serial numbers; 0: no TLS
		t.Run(name, func(t *testing.T) {
			testkit.Snapshot(t, libraryGoroutines...)
			s := launchPorts(t, keys, parts{})
			t.Cleanup(func() { s.stop(t) })
			expectPort(t, s.listeners[0].Addr().String(), "/connection/uni_sse", ca.client(), external)
			expectPort(t, s.listeners[1].Addr().String(), "/health", ca.client(), internal)
		})
	}
	f("both", `"tls": `+files.object(enabled), 1, 1)
	f("external", `"tls_external": true, "tls": `+files.object(enabled), 1, 0)
	f("internal", `"internal_tls": `+other.object(enabled), 0, 2)
	f("each its own", `"tls": `+files.object(enabled)+`, "internal_tls": `+other.object(enabled), 1, 2)
	f("each its own, both said", `"tls_external": true, "tls": `+files.object(enabled)+`, "internal_tls": `+other.object(enabled), 1, 2)
	f("not enabled", `"tls": `+files.object("")+`, "internal_tls": `+other.object(""), 0, 0)
}

// expectPort checks what a port speaks: TLS with a certificate of this serial
// number, or none.
func expectPort(t *testing.T, addr, target string, cfg *tls.Config, serial int64) {
	t.Helper()
	dial := func() net.Conn {
		nc, err := net.DialTimeout("tcp", addr, tlsPatience)
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
	c, err := shake(dial(), cfg)
	if serial == 0 {
		require.Error(t, err)
		expectStatus(t, dial(), target, 200)
		return
	}
	require.NoError(t, err)
	require.EqualValues(t, serial, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
	expectStatus(t, c, target, 200)
	expectNoHTTP(t, dial(), get(target))
}

func expectStatus(t *testing.T, nc net.Conn, target string, status int) {
	t.Helper()
	c := testkit.NewConn(t, nc)
	c.ReadTimeout = tlsPatience
	c.Send(get(target))
	require.Equal(t, status, c.ReadHead(t).Status)
	require.NoError(t, c.Close())
}

// expectNoHTTP checks that a connection ends without an answer.
func expectNoHTTP(t *testing.T, nc net.Conn, raw string) {
	t.Helper()
	require.NoError(t, nc.SetDeadline(time.Now().Add(tlsPatience)))
	_, err := io.WriteString(nc, raw)
	require.NoError(t, err)
	text, err := io.ReadAll(nc)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotContains(t, string(text), "HTTP/")
	require.NoError(t, nc.Close())
}

func TestMutualTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	s := startTLS(t, fmt.Sprintf(`, "client_ca_pem": %q`, ca.path), "", parts{})
	versions(t, func(t *testing.T, version uint16) {
		f := func(name string, signed *authority, ok bool) {
			t.Helper()
			cfg := s.ca.client()
			cfg.MinVersion, cfg.MaxVersion = version, version
			if signed != nil {
				cert, key, err := signed.issue(7)
				require.NoError(t, err)
				pair, err := tls.X509KeyPair(cert, key)
				require.NoError(t, err)
				cfg.Certificates = []tls.Certificate{pair}
			}
			if ok {
				c := s.stream(t, cfg, testkit.ConnectOptions{}, "news")
				c.ExpectConnect(t)
				s.api.Publish(t, "news", `1`)
				c.ExpectPub(t, "news")
				return
			}
			failed := s.listeners[0].Stats().HandshakesFailed
			nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
			require.NoError(t, err)
			defer func() { _ = nc.Close() }()
			c, err := shake(nc, cfg)
			if err == nil { // of TLS 1.3 the client's half is done before the server looks
				require.NoError(t, c.SetDeadline(time.Now().Add(tlsPatience)))
				_, _ = io.WriteString(c, get(testkit.DefaultPath))
				_, err = c.Read(make([]byte, 1))
			}
			var alert *net.OpError
			require.ErrorAs(t, err, &alert, name)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
			testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.listeners[0].Stats().HandshakesFailed == failed+1 }, name)
		}
		f("none", nil, false)
		f("good", ca, true)
		f("of an unknown authority", stranger, false)
		f("of the server's authority", s.ca, false)
	})
}

// Whatever ends the server tells the clients, in the manner of TLS too.
func TestDrainOverTLS(t *testing.T) {
	const streams, each = 20, 30
	s := launchTLS(t, "", "", parts{})
	clients := s.streams(t, streams)
	kept := s.http(t)
	kept.Send(get("/none"))
	require.Equal(t, 404, kept.ReadHead(t).Status)
	for n := range each {
		s.api.Publish(t, "news", fmt.Sprint(n))
	}
	signals := make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() { done <- s.StopOn(signals, nil) }()
	signals <- syscall.SIGHUP // is no second one
	require.NoError(t, ends(t, done))
	for _, c := range clients {
		for n := range each {
			c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, n))
		}
		c.ExpectDisconnect(t, 3001)
		expectFarewell(t, c)
	}
}

// A stop that has no time left cuts what is left.
func TestDrainOverTLSWithoutTime(t *testing.T) {
	s := launchTLS(t, "", "", parts{})
	c := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news")
	c.ExpectConnect(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := s.Stop(ctx); !lingered(began) {
		require.Error(t, err)
	}
	c.WaitEnd(t)
}
