package test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// socketPath returns a path that is short enough for a socket, whatever the test is called.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s.sock")
}

// onSocket is the text of a config file with a Unix socket for an address; more are options of
// http_server.
func onSocket(path, more string, p parts) string {
	text := fmt.Sprintf(baseConfig, p.sse, p.api, p.client, p.channel)
	return strings.Replace(text, `"address": "127.0.0.1"`, fmt.Sprintf(`"address": "unix:%s" %s`, path, more), 1)
}

// launchOnSocket starts a gateway on a Unix socket that ends with the test.
func launchOnSocket(t *testing.T, path, more string, p parts) *server {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, onSocket(path, more, p))
	require.Equal(t, "unix:"+path, s.addr)
	t.Cleanup(func() {
		s.stop(t)
		require.NoFileExists(t, path)
	})
	return s
}

// A Unix socket serves all that a port does, whoever accepts.
func TestAUnixSocketServesWhatAPortDoes(t *testing.T) {
	for _, gate := range []string{"auto", "off"} {
		t.Run(gate, func(t *testing.T) {
			path := socketPath(t)
			s := launchOnSocket(t, path, `, "gate": "`+gate+`"`, parts{
				client:  `, "ping_interval": "1s", "queue_max_age": "1h", "queue_max_size": 131072, "address_connection_limit": 1`,
				channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`,
			})
			st, err := os.Lstat(path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o660), st.Mode().Perm())

			// Two streams, and one limit by address: here nobody has one.
			healthy, other := s.reader(t, "rr:a"), s.reader(t, "rr:a")
			slow := lazyOn(t, testkit.Dial(t, s.addr), subscribeTarget([]string{"rr:a"}))
			n := s.publishUntil(t, []string{"rr:a"}, 0, []reader{healthy, other}, func(st loop.Stats) bool { return st.Closes[loop.ReasonSlowBytes] == 1 })
			require.Less(t, slow.untilEnd(t), n)
			again := testkit.Connect(t, s.addr, testkit.ConnectOptions{
				Subs: asking("rr:a"), HTTPHeaders: [][2]string{{"Last-Event-ID", slow.events.LastEventID()}},
			})
			require.True(t, again.ExpectConnect(t).Subs["rr:a"].Recovered)
			for again.NextAny(t).Kind != "ping" {
			}

			require.NoError(t, other.Conn().Close())
			testkit.Eventually(t, func() bool { return s.stats().Open == 2 }, "a client that left to be gone")
			head, body := testkit.RoundTrip(t, s.addr, testkit.Request{Target: "/health"})
			require.Equal(t, 200, head.Status)
			require.Equal(t, "{}", string(body))
		})
	}
}

// Clients without an address do not stand in each other's way, where it is about one address.
func TestClientsOfAUnixSocketAreNotOneAddress(t *testing.T) {
	for _, gate := range []string{"auto", "off"} {
		s := launchOnSocket(t, socketPath(t), `, "half_open_limit": 1, "idle_limit": 1, "gate": "`+gate+`"`, parts{client: `, "address_connection_rate_limit": 1`})
		half := []*testkit.Conn{testkit.Dial(t, s.addr), testkit.Dial(t, s.addr), testkit.Dial(t, s.addr)}
		for _, c := range half {
			c.Send("GET /health HTTP/1.1\r\n")
		}
		testkit.Eventually(t, func() bool { return s.waiting.Stats().Half == len(half) }, "requests that are not whole")
		for range 3 {
			s.reader(t, "news")
		}
		for _, c := range half {
			c.Send("Host: h\r\n\r\n")
			require.Equal(t, 200, c.ReadHead(t).Status)
		}
	}
}

// Whom a front on a Unix socket names is believed where that is said, and nowhere else.
func TestAFrontOnAUnixSocketNamesItsClients(t *testing.T) {
	status := func(s *server, begins, from string) int {
		c := testkit.Dial(t, s.addr)
		c.Send(begins + testkit.Request{Target: subscribeTarget([]string{"news"}), Headers: [][2]string{{"X-Forwarded-For", from}}}.String())
		return c.ReadHead(t).Status
	}
	const one = `, "address_connection_limit": 1`
	for _, gate := range []string{`, "gate": "auto"`, `, "gate": "off"`} {
		s := launchOnSocket(t, socketPath(t), `, "trusted_proxies": ["unix"]`+gate, parts{client: one})
		require.Equal(t, 200, status(s, "", "192.0.2.1"))
		require.Equal(t, 503, status(s, "", "192.0.2.1"))
		require.Equal(t, 200, status(s, "", "192.0.2.2"))
		require.Equal(t, 200, status(s, "", "unix:"))
		require.Equal(t, 200, status(s, "", "unix:"), "nobody was named")

		s = launchOnSocket(t, socketPath(t), gate, parts{client: one})
		require.Equal(t, 200, status(s, "", "192.0.2.1"))
		require.Equal(t, 200, status(s, "", "192.0.2.1"), "anybody may have written that")

		s = launchOnSocket(t, socketPath(t), `, "trusted_proxies": ["unix"], "proxy_protocol": true`+gate, parts{client: one})
		const named = "PROXY TCP4 192.0.2.1 192.0.2.9 4711 80\r\n"
		require.Equal(t, 200, status(s, named, ""))
		require.Equal(t, 503, status(s, named, ""))
		require.Equal(t, 200, status(s, "PROXY UNKNOWN\r\n", ""))
	}
}

func TestNginxInFrontOfAUnixSocket(t *testing.T) {
	path, port := socketPath(t), testkit.FreePort(t)
	s := launchOnSocket(t, path, `, "trusted_proxies": ["unix"]`, parts{client: `, "address_connection_limit": 1`})
	startNginx(t, fmt.Sprintf(`server {
		listen 127.0.0.1:%d;
		location / {
			proxy_pass http://unix:%s:;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_buffering off;
		}
	}`, port, path), port)
	first := newNginxClient(t, "http", "localhost", port, "127.0.0.2")
	events, _ := first.expect(t, http.StatusOK, http.MethodGet, subscribeTarget([]string{"news"}), "")
	s.api.Publish(t, "news", `{"text":"through"}`)
	ev, err := events.Next()
	require.NoError(t, err)
	require.Contains(t, ev.Data, `{"text":"through"}`)
	first.expect(t, http.StatusServiceUnavailable, http.MethodGet, subscribeTarget([]string{"news"}), "")
	newNginxClient(t, "http", "localhost", port, "127.0.0.3").expect(t, http.StatusOK, http.MethodGet, subscribeTarget([]string{"news"}), "")
}

// TLS is as over TCP, and the endpoints of operators may be elsewhere.
func TestTLSOverAUnixSocket(t *testing.T) {
	curl := testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	ca := newAuthority(t)
	cert, key, err := ca.issue(2)
	require.NoError(t, err)
	for _, gate := range []string{"auto", "off"} {
		path := socketPath(t)
		s := launchOnSocket(t, path, fmt.Sprintf(`, "gate": %q, "internal_address": "127.0.0.1", "internal_port": "0",
			"tls": {"enabled": true, "cert_pem": %q, "key_pem": %q}`, gate, cert, key), parts{})
		inside := s.listeners[1].Addr().String()
		out, err := exec.Command(curl, "-sSki", "--unix-socket", path, "https://localhost/health").CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), " 404 ", "it is on the other listener")
		raw, err := net.Dial("unix", path)
		require.NoError(t, err)
		c := testkit.Connect(t, "", testkit.ConnectOptions{Subs: asking("news"), Conn: tls.Client(raw, &tls.Config{InsecureSkipVerify: true})})
		c.ExpectConnect(t)
		out, err = exec.Command(curl, "-sSk", "https://"+inside+"/api/publish", "-H", "X-API-Key: "+testKey, "-d", `{"channel":"news","data":1}`).CombinedOutput()
		require.NoError(t, err, "%s", out)
		c.ExpectPub(t, "news")
		c.Close()
	}
}

// socketProcess is `sluice` on a Unix socket, in a process of its own.
func socketProcess(t *testing.T, path string) (cmd *exec.Cmd, out *testkit.LogBuffer) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(onSocket(path, "", parts{})), 0o600))
	cmd, out = commandOf(t), &testkit.LogBuffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, out
}

func listens(path string) func() bool {
	return func() bool {
		c, err := net.Dial("unix", path)
		return err == nil && c.Close() == nil
	}
}

// Who was killed leaves the file of his socket, on which the next one starts; who listens is
// not disturbed by one more start.
func TestAKilledProcessIsInNobodysWay(t *testing.T) {
	path := socketPath(t)
	first, _ := socketProcess(t, path)
	testkit.Eventually(t, listens(path), "the first process")
	second, out := socketProcess(t, path)
	require.Error(t, second.Wait())
	require.Contains(t, out.String(), "another process listens there")
	require.True(t, listens(path)())

	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	require.False(t, listens(path)())
	third, _ := socketProcess(t, path)
	testkit.Eventually(t, listens(path), "the next process")
	c := testkit.Connect(t, "unix:"+path, testkit.ConnectOptions{Subs: asking("news"), Timeout: time.Minute})
	c.ExpectConnect(t)
	require.NoError(t, third.Process.Signal(syscall.SIGTERM))
	require.NoError(t, third.Wait())
	require.NoFileExists(t, path)
}
