package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

func TestASecondSignalEndsAtOnce(t *testing.T) {
	s := launchStopping(t, `"rate": 1, "timeout": "1h"`, parts{})
	var clients []*testkit.Client
	for range 100 { // a minute and more at the rate
		c := s.subscribe(t, "news")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	signals := make(chan os.Signal, 2)
	done := make(chan error, 1)
	go func() { done <- s.StopOn(signals, nil) }()
	signals <- syscall.SIGHUP // is none
	testkit.EventuallyWithin(t, time.Minute, s.stopping.Load, "the shutdown to begin")
	require.Greater(t, s.sessions.Counts().Clients, 50, "a second SIGHUP ended nothing")
	signals <- syscall.SIGTERM
	again := time.Now()
	// Streams that were told to end may all have gone by themselves after a second.
	if err := <-done; time.Since(again) < 900*time.Millisecond {
		require.Error(t, err, "streams were cut: not the exit code of a clean end")
	}
	for _, c := range clients {
		c.WaitEnd(t)
	}
}

// What a second signal finds done is no error: it may come with the first one
// (`timeout -s INT`), before any wait has begun.
func TestASecondSignalWithNothingOpenIsACleanEnd(t *testing.T) {
	s := launchStopping(t, `"timeout": "1h"`, parts{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 { // it is chance what a wait without time finds
		require.NoError(t, s.settle(over), "no stream")
	}
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGINT
	require.NoError(t, s.StopOn(signals, syscall.SIGINT))
}

// With a stream open, what a second signal may have cut is told of.
func TestASecondSignalThatMayCutPublicationsSaysSo(t *testing.T) {
	s := launchStopping(t, `"timeout": "1h"`, parts{})
	c := s.subscribe(t, "news")
	c.ExpectConnect(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	testkit.Eventually(t, func() bool { return s.settle(over) != nil }, "a wait without time to fail")
	require.Error(t, s.Stop(over))
	c.WaitEnd(t)
}

// watchedEngine notes when the node ends it.
type watchedEngine struct {
	broker.Broker
	note func(call string)
}

func (e watchedEngine) Barrier(ctx context.Context) error {
	e.note("barrier")
	return fmt.Errorf("away: %w", broker.ErrUnavailable) // no reason not to stop
}

func (e watchedEngine) StopIntake(ctx context.Context) error {
	e.note("stop intake")
	return e.Broker.StopIntake(ctx)
}

func (e watchedEngine) Close(ctx context.Context) error {
	e.note("close")
	return e.Broker.Close(ctx)
}

// What is on its way is brought in before anybody is told of the end, and what others
// publish is taken in until nobody is left.
func TestTheIntakeEndsBehindTheLastStream(t *testing.T) {
	s := launchStopping(t, `"rate": 10, "timeout": "1m"`, parts{})
	var calls []string
	s.broker = watchedEngine{s.broker, func(call string) {
		calls = append(calls, fmt.Sprintf("%s with %d streams", call, s.group.Stats().Open))
	}}
	var clients []*testkit.Client
	for range 5 {
		c := s.subscribe(t, "news")
		c.ExpectConnect(t)
		clients = append(clients, c)
	}
	require.NoError(t, s.Stop(t.Context()))
	for _, c := range clients {
		c.WaitEnd(t)
	}
	require.Equal(t, []string{"barrier with 5 streams", "stop intake with 0 streams", "close with 0 streams"}, calls)
}

// Who has begun to send a request when the server stops may end it and is answered, wherever
// the server waits for the rest.
func TestARequestThatHasBegunIsAnsweredWhenTheServerStops(t *testing.T) {
	s := launchStopping(t, `"timeout": "1m"`, parts{})
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "GET /health HTTP/1.1\r\n")
	require.NoError(t, err)
	testkit.Eventually(t, func() bool { return s.waiting.Stats().Half == 1 }, "the request to begin")
	done := make(chan error, 1)
	go func() { done <- s.Stop(t.Context()) }()
	testkit.Eventually(t, s.stopping.Load, "the shutdown to begin")
	select { // the rest comes when nothing else is waited for
	case <-done:
		require.Fail(t, "the server has stopped")
	case <-time.After(200 * time.Millisecond):
	}
	_, err = io.WriteString(c, "Host: h\r\n\r\n")
	require.NoError(t, err)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Contains(t, string(answer), "HTTP/1.1 200")
	require.NoError(t, <-done)
}

func TestReadyPathIsBesideHealth(t *testing.T) {
	f := func(health, want string) {
		t.Helper()
		require.Equal(t, want, ReadyPath(health))
	}
	f("/health", "/ready")
	f("/ops/health", "/ops/ready")
	f("/", "/ready")
	f("", "/ready")
}

func TestReadyIsServedWithHealthOnly(t *testing.T) {
	s := startServer(t, parts{})
	require.Equal(t, 200, s.status(t, "/ready"))
	s.ready.Store(false) // as before Start has ended
	require.Equal(t, 503, s.status(t, "/ready"))
	off := launch(t, strings.Replace(fmt.Sprintf(testkit.BaseConfig, "", "", "", ""), `"health": {"enabled": true}`, `"health": {"enabled": false}`, 1))
	defer off.stop(t)
	require.Equal(t, 404, off.status(t, "/ready"))
}

// A node that cannot start leaves nothing behind, and may be stopped all the same.
func TestANodeThatCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	for _, gate := range []string{"auto", "off"} {
		for _, fields := range []string{`"port": ` + port, `"port": 0, "internal_address": "127.0.0.1", "internal_port": ` + port} {
			t.Run(gate+" "+fields, func(t *testing.T) {
				testkit.Snapshot(t, libraryGoroutines...)
				n, err := New(load(t, strings.Replace(parts{}.text(), `"port": 0`, fields+`, "gate": "`+gate+`"`, 1)), Options{})
				require.NoError(t, err)
				require.ErrorIs(t, n.Start(), syscall.EADDRINUSE)
				require.NoError(t, n.Stop(context.Background()))
			})
		}
	}
}
