package redis

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// An address that leads to another server now, while the former one is alive: the commands
// follow the reader there.
func TestCommandsFollowTheReaderToAnotherServer(t *testing.T) {
	was, is := redisrig.Single(t), redisrig.Single(t)
	was.Do(t, "SET", "who", "was")
	is.Do(t, "SET", "who", "is")
	var served sync.WaitGroup
	var to atomic.Pointer[string]
	to.Store(&was.Addr)
	// A forwarder, which keeps the connections that it has.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { forward(conn, *to.Load()) })
		}
	})
	r := openWith(t, Options{Address: []string{listener.Addr().String()}, IOTimeout: 400 * time.Millisecond, ProbeInterval: 50 * time.Millisecond})
	t.Cleanup(func() { r.Close(); _ = listener.Close(); served.Wait() })
	s := r.Shards()[0]
	h := &recorder{}
	reader := s.NewReader("test", h)
	require.NoError(t, reader.Subscribe(soon(t), "c"))
	who := func() string {
		text, _ := s.Do(soon(t), Command("GET", []string{"who"}).Reading()).Text()
		return text
	}
	require.Equal(t, "was", who())
	to.Store(&is.Addr)
	was.KillPubSub(t)
	h.await(t, "back", 2)
	testkit.Eventually(t, func() bool { return who() == "is" }, "commands at the server where the reader is")
	testkit.Eventually(t, func() bool { return reader.Marker(soon(t)) == nil }, "a marker")
}

func forward(conn net.Conn, to string) {
	defer conn.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, conn)
		_ = out.Close()
	}()
	_, _ = io.Copy(conn, out)
}
