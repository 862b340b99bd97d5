package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/node"
	"sluice/gateway/systemd"
	"sluice/gateway/testkit"
)

// activated is `sluice` as a service manager starts it, with sockets and their names. The
// shell in between says whom they are for: the process that it becomes.
func activated(t *testing.T, names string, sockets ...interface{ File() (*os.File, error) }) (cmd *exec.Cmd, out *testkit.LogBuffer) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	// Where it says to listen is nobody's: what was passed on comes first.
	text := strings.Replace(fmt.Sprintf(baseConfig, "", "", "", ""), `"address": "127.0.0.1"`, `"address": "192.0.2.1"`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	cmd, out = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, self), &testkit.LogBuffer{}
	cmd.Env = append(cleanEnviron(""), commandEnv+"=1", fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+names)
	for _, s := range sockets {
		f, err := s.File()
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	return cmd, out
}

func startActivated(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// Sockets of a service manager are served in the place of what the configuration says, each
// with its endpoints; they are open before the process is, and stay.
func TestSocketsOfAServiceManager(t *testing.T) {
	path := socketPath(t)
	public, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer public.Close()
	internal, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	defer internal.Close()

	for range 2 { // the second is a restart
		early := testkit.Dial(t, public.Addr().String()) // nobody serves yet
		early.Send(testkit.Request{Target: "/health"}.String())
		cmd, out := activated(t, "sluice.socket:internal", public, internal)
		startActivated(t, cmd)
		require.Equal(t, 404, early.ReadHead(t).Status, "health checks are for inside: %s", out)

		c := testkit.Connect(t, public.Addr().String(), testkit.ConnectOptions{Subs: asking("news"), Timeout: time.Minute})
		c.ExpectConnect(t)
		(&testkit.API{Addr: "unix:" + path, Key: testKey}).Publish(t, "news", "1")
		c.ExpectPub(t, "news")
		head, _ := testkit.RoundTrip(t, "unix:"+path, testkit.Request{Target: "/health"})
		require.Equal(t, 200, head.Status)
		head, _ = testkit.RoundTrip(t, "unix:"+path, testkit.Request{Target: testkit.DefaultPath})
		require.Equal(t, 404, head.Status, "streams are on the public one only")
		require.Contains(t, out.String(), `"listening on a socket of the service manager","address":"unix:`+path+`","internal":true`)

		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "%s", out)
		require.FileExists(t, path, "the socket is the manager's")
	}
}

func TestASocketOfAServiceManagerThatIsNone(t *testing.T) {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer udp.Close()
	cmd, out := activated(t, "sluice.socket", udp)
	startActivated(t, cmd)
	require.Error(t, cmd.Wait())
	require.Contains(t, out.String(), "socket 0 (sluice.socket) of LISTEN_FDS: expected a listening stream socket (ListenStream=)")
}

// serviceManager hears what a process tells it.
type serviceManager struct {
	conn *net.UnixConn
	all  []string
}

// await reads until a message has a line, and returns the message.
func (m *serviceManager) await(t *testing.T, line string) string {
	t.Helper()
	b := make([]byte, 4096)
	for {
		require.NoError(t, m.conn.SetReadDeadline(time.Now().Add(time.Minute)))
		n, err := m.conn.Read(b)
		require.NoError(t, err, "%q was not told: %q", line, m.all)
		m.all = append(m.all, string(b[:n]))
		if slices.Contains(strings.Split(string(b[:n]), "\n"), line) {
			return string(b[:n])
		}
	}
}

// A service manager is told what becomes of the process: it is ready when it serves, reads its
// configuration anew, works, and stops.
func TestTheServiceManagerIsToldWhatHappens(t *testing.T) {
	notify := socketPath(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	public, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer public.Close()
	cmd, out := activated(t, "", public)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=1000000")
	startActivated(t, cmd)
	m := &serviceManager{conn: conn}
	require.Contains(t, m.await(t, "READY=1"), "STATUS=serving on "+public.Addr().String())
	answer, err := http.Get("http://" + public.Addr().String() + "/health") // ready means that it serves
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	c := testkit.Connect(t, public.Addr().String(), testkit.ConnectOptions{Subs: asking("news"), Timeout: time.Minute})
	c.ExpectConnect(t)
	for !strings.Contains(m.await(t, "WATCHDOG=1"), "STATUS=1 streams") {
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	require.Regexp(t, `MONOTONIC_USEC=\d+`, m.await(t, "RELOADING=1"))
	m.await(t, "READY=1")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Regexp(t, `EXTEND_TIMEOUT_USEC=\d{7,}`, m.await(t, "STOPPING=1"))
	c.ExpectDisconnect(t, 3001)
	require.NoError(t, cmd.Wait(), "%s", out)
}

// sits is a task in which a loop sits until it is freed.
type sits struct{ begun, free chan struct{} }

func (s sits) Run(*loop.Loop) { close(s.begun); <-s.free }

// The watchdog hears nothing while a loop does not go on, whatever else does.
func TestTheWatchdogIsNotToldOfAStuckLoop(t *testing.T) {
	s := startServer(t, parts{})
	works := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		return s.Works(ctx)
	}
	testkit.Eventually(t, func() bool { return works() == nil }, "a node that works")
	task := sits{make(chan struct{}), make(chan struct{})}
	last := len(s.group.Loops) - 1
	s.group.Loops[last].Post(task)
	<-task.begun
	require.ErrorContains(t, works(), fmt.Sprintf("loop %d does not turn", last))
	close(task.free)
	testkit.Eventually(t, func() bool { return works() == nil }, "a node that works again")
}

// A socket for the internal endpoints is a listener of its own, also where the configuration
// has none.
func TestAnInheritedInternalSocketTakesTheEndpointsInside(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := launchWith(t, fmt.Sprintf(baseConfig, "", "", "", ""), node.Options{Verify: true, Sockets: systemd.Sockets{Internal: ln}})
	defer s.stop(t)
	require.NotEqual(t, s.addr, ln.Addr().String())
	head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/health"})
	require.Equal(t, 404, head.Status)
	head, body := testkit.RoundTrip(t, ln.Addr().String(), testkit.Request{Target: "/health"})
	require.Equal(t, 200, head.Status)
	require.True(t, json.Valid(body))
}
