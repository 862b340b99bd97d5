package systemd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// manager is the end of a service manager to which processes tell of themselves.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

// newManager listens at a name and makes it what the environment says; "@…" is abstract.
func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{t, conn}
}

func inFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "notify")
}

// next returns the next message.
func (m *manager) next() string {
	m.t.Helper()
	require.NoError(m.t, m.conn.SetReadDeadline(time.Now().Add(time.Minute)))
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	require.NoError(m.t, err)
	return string(b[:n])
}

func messenger(t *testing.T, log *testkit.LogBuffer) *Messenger {
	t.Helper()
	m := NewMessenger(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(m.Close)
	return m
}

func TestMessagesArriveInOrder(t *testing.T) {
	for _, name := range []string{inFolder(t), "@sluice-test-" + filepath.Base(filepath.Dir(inFolder(t)))} {
		at := newManager(t, name)
		m := messenger(t, &testkit.LogBuffer{})
		m.Tell(Ready, Status("serving\non x"))
		m.Tell(Reloading())
		m.Tell(Stopping, Within(90*time.Second))
		require.Equal(t, "READY=1\nSTATUS=serving on x", at.next(), name)
		require.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+$`, at.next())
		require.Equal(t, "STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000", at.next())
		m.Close()
		m.Tell(Ready) // too late, and no panic
	}
}

func TestWithoutAManagerNothingIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var log testkit.LogBuffer
	m := messenger(t, &log)
	require.Nil(t, m)
	m.Tell(Ready)
	m.Watch(context.Background(), nil, nil)
	m.Close()
	require.Empty(t, log.String())
}

// A manager that is not there, or does not read, costs a line of the log and no time.
func TestAManagerThatCannotBeTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/nowhere/at/all")
	var log testkit.LogBuffer
	m := messenger(t, &log)
	m.Tell(Ready)
	m.Tell(Stopping)
	m.Close()
	require.Equal(t, 1, strings.Count(log.String(), "cannot be told"))

	at := newManager(t, inFolder(t)) // reads nothing
	m = messenger(t, &log)
	for range 5000 { // more than the kernel holds for one who does not read
		m.Tell(Ready)
	}
	require.NoError(t, at.conn.Close())
	m.Close()
	<-m.done
}

// The watchdog hears of the process as long as its check passes, and not a moment longer.
func TestTheWatchdogHearsOfWhatWorks(t *testing.T) {
	at := newManager(t, inFolder(t))
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "")
	var log testkit.LogBuffer
	m := messenger(t, &log)
	_, set := os.LookupEnv("WATCHDOG_USEC")
	require.False(t, set)
	var stuck atomic.Bool
	var checks atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, func(ctx context.Context) error {
			defer checks.Add(1)
			if stuck.Load() {
				<-ctx.Done()
				return errors.New("loop 3 does not turn")
			}
			return nil
		}, func() string { return "7 streams" })
	}()
	for range 3 {
		require.Equal(t, "WATCHDOG=1\nSTATUS=7 streams", at.next())
	}
	stuck.Store(true)
	testkit.Eventually(t, func() bool { return strings.Count(log.String(), "loop 3 does not turn") >= 3 }, "checks that fail")
	n := checks.Load()
	b := make([]byte, 100)
	for { // what was told before
		require.NoError(t, at.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		if _, err := at.conn.Read(b); err != nil {
			break
		}
	}
	testkit.Eventually(t, func() bool { return checks.Load() >= n+3 }, "more checks")
	require.NoError(t, at.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := at.conn.Read(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nothing is told while it is stuck")
	stuck.Store(false)
	require.Equal(t, "WATCHDOG=1\nSTATUS=7 streams", at.next())
	cancel()
	<-done
}

// Nobody is to be told twice a second that there is nothing new: without a watchdog the status
// is told when it has changed.
func TestTheStatusIsToldWithoutAWatchdog(t *testing.T) {
	at := newManager(t, inFolder(t))
	t.Setenv("WATCHDOG_USEC", "")
	m := messenger(t, &testkit.LogBuffer{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m.Watch(ctx, func(context.Context) error { panic("nobody asked") }, func() string { return "1 stream" })
	require.Equal(t, "STATUS=1 stream", at.next())
}

func TestAWatchdogOfAnotherProcessIsNotOurs(t *testing.T) {
	newManager(t, inFolder(t))
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", "1")
	require.Zero(t, messenger(t, &testkit.LogBuffer{}).watchdog)
}
