package redis

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
	"sluice/gateway/testkit/tcpproxy"
)

// What succeeded was executed, what was unavailable was not, once each, wherever the
// connections are cut.
func TestNoFalseSuccessWhereverConnectionsAreCut(t *testing.T) {
	testkit.Snapshot(t)
	server := redisrig.Single(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}, Log: slog.New(slog.DiscardHandler)}).Shards()[0]
	require.NoError(t, s.Ready())
	proxy.CutRandomly(7, 2000)
	count := NewScript("count", "return redis.call('INCR', KEYS[1])")
	var done, unknown, unavailable atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				err := s.Do(within(t, 10*time.Second), count.Cmd([]string{"n"})).Err()
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, ErrUnknown):
					unknown.Add(1)
				default:
					unavailable.Add(1)
				}
			}
		})
	}
	wg.Wait()
	n, err := strconv.ParseInt(server.Do(t, "GET", "n").(string), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, done.Load())
	require.LessOrEqual(t, n, done.Load()+unknown.Load())
	require.Positive(t, done.Load())
	require.Positive(t, unknown.Load())
}

// Wherever its connection is cut, a reader that is back has all its channels.
func TestAReaderIsWholeWhereverItIsCut(t *testing.T) {
	server := redisrig.Single(t)
	proxy := tcpproxy.New(t, server.Addr)
	s := openWith(t, Options{Address: []string{proxy.Addr}}).Shards()[0]
	h := &recorder{}
	r := s.NewReader("test", h)
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("c%d", i))
	}
	proxy.CutRandomly(3, 100_000) // an attempt needs about 60 kB, so that some succeed
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := r.Subscribe(soon(t), names[100*i:100*i+100]...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	proxy.CutAfter(tcpproxy.ToClient, 1<<40) // enough
	proxy.Cut()
	testkit.Eventually(t, func() bool { return r.Marker(soon(t)) == nil }, "delivery")
	before := len(h.all())
	for _, name := range names {
		require.EqualValues(t, 1, server.Do(t, "PUBLISH", name, "x"), name)
	}
	require.NoError(t, r.Marker(soon(t)))
	require.Len(t, h.all(), before+len(names))
}

// What is no Redis is left again and again, and nothing else happens.
func TestAServerThatTalksNonsense(t *testing.T) {
	testkit.Snapshot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte([]string{"HTTP/1.1 400 Bad Request\r\n\r\n", "*1000000\r\n", "%1\r\n$5\r\nproto\r\n:3\r\n>7\r\n", "-ERR no\r\n", "+OK\r\n+OK\r\n+OK\r\n", ""}[i%6]))
			_ = conn.Close()
		}
	})
	defer served.Wait()
	defer listener.Close()
	o := openWith(t, Options{Address: []string{listener.Addr().String()}, ConnectTimeout: time.Second})
	r := o.Shards()[0].NewReader("test", &recorder{})
	testkit.Eventually(t, func() bool { return o.Shards()[0].Stats().DialErrors > 6 }, "attempts")
	require.ErrorIs(t, o.Shards()[0].Do(within(t, 10*time.Millisecond), Command("GET", []string{"x"})).Err(), ErrUnavailable)
	require.ErrorIs(t, r.Subscribe(within(t, 10*time.Millisecond), "x"), ErrUnavailable)
	o.Close()
}

func TestTheLogSaysWhatToDoAndNoSecret(t *testing.T) {
	server := redisrig.Single(t, redisrig.User("u on >hunter2 ~p.* &p.* +@all -set"))
	var log safeBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := openWith(t, Options{Address: []string{"redis://u:hunter2@" + server.Addr}, Prefix: "p", Log: logger}).Shards()[0]
	err := s.Do(soon(t), Command("SET", []string{"p.x"}, "1")).Err()
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "noperm")
	require.Contains(t, log.String(), "command=SET")
	require.Contains(t, log.String(), "ACL SETUSER")
	openWith(t, Options{Address: []string{"redis://u:hunter3@" + server.Addr}, Log: logger})
	testkit.Eventually(t, func() bool { return bytes.Contains([]byte(log.String()), []byte("reason=auth")) }, "a line about the password")
	require.NotContains(t, log.String(), "hunter")
	require.Contains(t, log.String(), server.Addr)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
