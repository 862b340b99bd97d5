package sse_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// BenchmarkConnect opens streams over the loopback and closes them, one after the other.
// Its client allocates next to nothing, so that the allocations are those of a connect, the
// HTTP server's part included.
func BenchmarkConnect(b *testing.B) {
	b.Run("anonymous", func(b *testing.B) {
		benchmarkConnect(b, func(int) string { return "" })
	})
	b.Run("HS256", func(b *testing.B) {
		exp := time.Now().Add(time.Hour).Unix()
		benchmarkConnect(b, func(i int) string {
			return testkit.Token(b, "HS256", []byte(secret), map[string]any{
				"sub": fmt.Sprintf("user-%d", i), "exp": exp, "info": map[string]any{"name": "Alice"},
			})
		})
	})
}

// benchmarkConnect opens a stream for each token; "" connects without one.
func benchmarkConnect(b *testing.B, token func(i int) string) {
	n := newNode(b, func(s *settings) {
		s.loop.Verify = false
		s.auth.CacheSize = 1
		s.sse.LastEventID, s.session.Cursors = true, true
		s.sse.RetryMin, s.sse.RetryMax = time.Second, 3*time.Second
	})
	addr := netip.MustParseAddrPort(n.addr)
	to := &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	requests := make([][]byte, 0, 4096)
	for i := range cap(requests) {
		connect := `{"subs":{"bench":{}}}`
		if t := token(i); t != "" {
			connect = fmt.Sprintf(`{"token":"%s","subs":{"bench":{}}}`, t)
		}
		requests = append(requests, []byte("GET /connection/uni_sse?cf_connect="+url.QueryEscape(connect)+" HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"))
	}
	answer := make([]byte, 4096)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		connectOnce(b, to, requests[i%len(requests)], answer)
		i++
	}
}

// connectOnce opens a stream, reads its connect push and closes it.
func connectOnce(b *testing.B, to syscall.Sockaddr, request, answer []byte) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(b, err)
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Connect(fd, to); err != nil {
		b.Fatal(err)
	}
	if _, err := syscall.Write(fd, request); err != nil {
		b.Fatal(err)
	}
	got := 0
	for !bytes.HasSuffix(answer[:got], []byte("\n\n\r\n")) {
		k, err := syscall.Read(fd, answer[got:])
		if err != nil || k == 0 {
			b.Fatalf("no connect push: %v, %q", err, answer[:got])
		}
		got += k
	}
	if !bytes.Contains(answer[:got], []byte(`"subs":{"bench":{`)) {
		b.Fatalf("another answer: %q", answer[:got])
	}
}
