package redis

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Servers, and proxies before them, repeat the arguments of commands that they do not know, passwords too.
func TestAnErrorThatRepeatsArgumentsShowsNoSecret(t *testing.T) {
	testkit.Snapshot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { repeatArguments(conn) })
		}
	})
	defer served.Wait()
	defer listener.Close()
	var log safeBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	addr := listener.Addr().String()
	for _, o := range []Options{
		{Address: []string{addr}, Password: "hunter2"},
		{SentinelAddress: []string{addr}, SentinelMasterName: "m", SentinelPassword: "hunter2"},
	} {
		o.ConnectTimeout, o.Log = time.Second, logger
		r := openWith(t, o)
		err := r.Shards()[0].Do(within(t, 100*time.Millisecond), Command("GET", []string{"x"})).Err()
		require.ErrorContains(t, err, "unknown command")
		require.NotContains(t, err.Error(), "hunter2")
		r.Close()
	}
	require.Contains(t, log.String(), "unknown command")
	require.NotContains(t, log.String(), "hunter2")
}

// repeatArguments answers each command that it is unknown.
func repeatArguments(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var n int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		var words []string
		for range n {
			_, _ = r.ReadString('\n')
			word, err := r.ReadString('\n')
			if err != nil {
				return
			}
			words = append(words, "'"+strings.TrimSpace(word)+"'")
		}
		fmt.Fprintf(conn, "-ERR unknown command %s, with args beginning with: %s \r\n", words[0], strings.Join(words[1:], " "))
	}
}
