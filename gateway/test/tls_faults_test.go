package test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// A client that does not read is closed as slow, and costs the others nothing.
func TestAStalledTLSReaderIsSlow(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := startTLS(t, "", "", parts{
			client:  `, "queue_max_age": "1h", "queue_max_size": 131072`,
			channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
		})
		cfg := s.ca.client()
		cfg.MinVersion, cfg.MaxVersion = version, version
		nc, err := dialSmall(s.addr, lazyBuffer)
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		secure, err := shake(nc, cfg)
		require.NoError(t, err)
		conn := testkit.NewConn(t, secure)
		conn.ReadTimeout = tlsPatience
		slow := lazyOn(t, conn, subscribeTarget([]string{"rr:a"}))

		var healthy []reader
		for range 3 {
			c := s.stream(t, cfg, testkit.ConnectOptions{}, "rr:a")
			c.ExpectConnect(t)
			healthy = append(healthy, reader{c, "rr:a"})
		}
		n := s.publishUntil(t, []string{"rr:a"}, 0, healthy, func(st loop.Stats) bool { return st.Closes[loop.ReasonSlowBytes] == 1 })
		require.Less(t, slow.untilEnd(t), n)
		s.publishUntil(t, []string{"rr:a"}, n, healthy, func(loop.Stats) bool { return true })
		require.EqualValues(t, 1, closesOf(s.stats()))
	})
}

// closesOf is how many streams have ended.
func closesOf(st loop.Stats) (n uint64) {
	for _, c := range st.Closes {
		n += c
	}
	return n
}

// New certificates are for new connections; streams do not notice.
func TestCertificatesAreReplacedUnderTLSStreams(t *testing.T) {
	const streams, replacements = 50, 20
	s := startTLS(t, "", "", parts{})
	clients := s.streams(t, streams)
	replaced := make(chan error, 1)
	go func() {
		for i := range replacements {
			last := i == replacements-1 // is left to be noticed
			if err := s.replaceAndSee(int64(2+i), !last); err != nil {
				replaced <- err
				return
			}
		}
		replaced <- nil
	}()
	n := 0
	for done := false; !done; {
		select {
		case err := <-replaced:
			require.NoError(t, err)
			done = true
		default:
		}
		s.api.Publish(t, "news", fmt.Sprint(n))
		n++
	}
	for _, c := range clients {
		for i := range n {
			c.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i))
		}
	}
	require.Zero(t, closesOf(s.stats()))
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.Parts().Certs[0].Stats().Replaced >= replacements }, "all replacements to be counted")
}

// replaceAndSee puts new files in place and waits until new connections get what
// is in them. Any goroutine.
func (s *tlsServer) replaceAndSee(serial int64, reload bool) error {
	if err := s.files.replace(s.ca, serial); err != nil {
		return err
	}
	if reload {
		if err := s.Reload(s.cfg); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(tlsPatience); ; time.Sleep(10 * time.Millisecond) {
		nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
		if err != nil {
			return err
		}
		c, err := shake(nc, s.ca.client())
		if err != nil {
			return err
		}
		got := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		_ = c.Close() // whether its farewell arrives is no matter
		if got == serial {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("expected certificate %d, got %d", serial, got)
		}
	}
}

// Handshakes that never finish hold up nobody, and are gone when their time is
// over.
func TestUnfinishedHandshakesHoldUpNobody(t *testing.T) {
	const each = 50
	s := startTLS(t, "", `, "header_timeout": "2s"`, parts{})
	ln := s.listeners[0]
	hello := helloOf(t, s.ca.client())
	var stuck []net.Conn
	for _, start := range []string{"", hello[:len(hello)/2], hello[:3], strings.Repeat("garbage\r\n", 20)} {
		for range each {
			nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
			require.NoError(t, err)
			t.Cleanup(func() { _ = nc.Close() })
			_, err = io.WriteString(nc, start)
			require.NoError(t, err)
			stuck = append(stuck, nc)
		}
	}
	late := uint64(0) // of ours: a busy machine may need longer, too
	for n := range 10 {
		events, err := s.tryStream(t)
		for deadline := time.Now().Add(tlsPatience); err != nil; events, err = s.tryStream(t) {
			require.True(t, time.Now().Before(deadline), "no stream is served: %v", err)
			late++
		}
		s.api.Publish(t, "news", fmt.Sprint(n))
		for _, want := range []string{`{"connect":`, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, n)} {
			ev, err := events.Next()
			require.NoError(t, err)
			require.Contains(t, ev.Data, want)
		}
	}
	for _, nc := range stuck {
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(tlsPatience)))
		_, err := io.Copy(io.Discard, nc)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	testkit.EventuallyWithin(t, tlsPatience, func() bool {
		st := ln.Stats()
		failed := uint64(len(stuck))
		return st.HandshakesFailed >= failed && st.HandshakesFailed <= failed+late && s.waiting.Stats().Half == 0
	}, "all to be counted as failed, and none as half-open")
	require.Zero(t, closesOf(s.stats()))
}

// tryStream opens a stream over a connection that the server may give up.
func (s *tlsServer) tryStream(t *testing.T) (*testkit.Reader, error) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = nc.Close() })
	secure, err := shake(nc, s.ca.client())
	if err != nil {
		return nil, err
	}
	c := testkit.NewConn(t, secure)
	c.ReadTimeout = tlsPatience
	if err := c.TrySend(get(subscribeTarget([]string{"news"}))); err != nil {
		return nil, err
	}
	head, err := c.TryReadHead()
	if err != nil {
		return nil, err
	}
	require.Equal(t, 200, head.Status)
	return testkit.NewReader(c.Body()), nil
}

// helloOf is what a client says first.
func helloOf(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = tls.Client(far, cfg).Handshake()
		_ = far.Close()
	}()
	b := make([]byte, 16<<10)
	require.NoError(t, near.SetReadDeadline(time.Now().Add(tlsPatience)))
	n, err := near.Read(b)
	require.NoError(t, err)
	return string(b[:n])
}

func TestTheWrongProtocolForThePort(t *testing.T) {
	s := startTLS(t, "", "", parts{})
	c := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news")
	c.ExpectConnect(t)
	dial := func(addr string) net.Conn {
		nc, err := net.DialTimeout("tcp", addr, tlsPatience)
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
	expectNoHTTP(t, dial(s.addr), get(testkit.DefaultPath))
	expectNoHTTP(t, dial(s.addr), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.listeners[0].Stats().HandshakesFailed == 2 }, "both to be counted as failed")

	_, err := shake(dial(s.listeners[1].Addr().String()), s.ca.client())
	var head tls.RecordHeaderError
	require.ErrorAs(t, err, &head, "the answer is HTTP")
	require.Contains(t, string(head.RecordHeader[:]), "HTTP")

	s.api.Publish(t, "news", `1`)
	c.ExpectPub(t, "news")
	expectStatus(t, dial(s.listeners[1].Addr().String()), "/health", 200)
}

// An idle stream has no goroutine of its own, encrypted or not.
func TestIdleTLSStreamsHaveNoGoroutines(t *testing.T) {
	const streams = 200
	s := startTLS(t, "", "", parts{})
	open := func() {
		c := s.http(t)
		c.Send(get(subscribeTarget([]string{"news"})))
		require.Equal(t, 200, c.ReadHead(t).Status)
	}
	open()
	before := runtime.NumGoroutine()
	for range streams {
		open()
	}
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.sessions.Counts().Clients == streams+1 }, "every stream to be open")
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return runtime.NumGoroutine() < before+streams/10 }, "goroutines to end")
	s.api.Publish(t, "news", `1`)
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.stats().Frames >= streams }, "all to be written to")
}

// TLS clients that leave in all ways, while others come and publications flow,
// leave nothing behind.
func TestTLSStreamsThatComeAndGo(t *testing.T) {
	const workers, each = 8, 12
	s := startTLS(t, "", "", parts{})
	watcher := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news")
	watcher.ExpectConnect(t)
	var wg sync.WaitGroup
	var running = make(chan struct{})
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := s.comeAndGo((w + i) % 4); err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	go func() { wg.Wait(); close(running) }()
	n := 0
	for done := false; !done; n++ {
		select {
		case <-running:
			done = true
		default:
		}
		s.api.Publish(t, "news", fmt.Sprint(n))
	}
	for i := range n {
		watcher.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, i))
	}
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.stats().Open == 1 }, "all others to be gone")
	st := s.stats()
	require.Zero(t, st.Panics+st.Closes[loop.ReasonTLS]+st.Closes[loop.ReasonInput])
	require.EqualValues(t, workers*each, st.Closes[loop.ReasonClientGone])
}

// comeAndGo opens a stream, reads a little and leaves in one of four ways.
func (s *tlsServer) comeAndGo(way int) error {
	nc, err := net.DialTimeout("tcp", s.addr, tlsPatience)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	c, err := shake(nc, s.ca.client())
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(tlsPatience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, get(subscribeTarget([]string{"news"}))); err != nil {
		return err
	}
	b := make([]byte, 64)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		return fmt.Errorf("expected a stream, got %q", b)
	}
	switch way {
	case 0:
		return c.Close()
	case 1: // without a farewell
		return nc.Close()
	case 2: // with no end of the connection until the server's
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, nc); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
	case 3: // a reset
		return errors.Join(nc.(*net.TCPConn).SetLinger(0), nc.Close())
	}
	return nil
}
