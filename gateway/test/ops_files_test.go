package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// childEnv starts the test binary as a gateway in a process of its own, with so
// many open files allowed as it says, and, if there is a URL behind that, with an
// internal listener and this connect hook.
const childEnv = "SLUICE_TEST_CHILD"

// runChild serves until its standard input ends; it says where on its standard
// output.
func runChild(says string) int {
	var n uint64
	files, hook, hooked := strings.Cut(says, " ")
	if _, err := fmt.Sscan(files, &n); err != nil {
		fmt.Println("error", err)
		return 1
	}
	lim := syscall.Rlimit{Cur: n, Max: n}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		fmt.Println("error", err)
		return 1
	}
	cfg := config.Default()
	config.ApplyDev(cfg, nil, testSecret, testKey)
	cfg.HTTPServer.Port = 0
	cfg.UniSSE.MaxStreams = 1 << 20 // more than the descriptors allow
	if hooked {
		cfg.HTTPServer.Address, cfg.HTTPServer.InternalAddress = "127.0.0.1", "127.0.0.2"
		c := &cfg.Client.Proxy.Connect
		c.Enabled, c.Endpoint, c.Timeout = true, hook, time.Minute
		cfg.Client.StaleCloseDelay = time.Minute
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, err := node.New(cfg, node.Options{Verify: true, Log: log})
	if err == nil {
		err = g.Start()
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("calls", g.Parts().HookCalls)
	fmt.Println("at", g.Addr(), g.Listening()[len(g.Listening())-1].Addr)
	_, _ = bufio.NewReader(os.Stdin).ReadString(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// startChild starts a gateway with a limit of open files, and returns where it
// listens and what it says from then on. It must end in good order when the
// test does.
func startChild(t *testing.T, files int) (addr string, says *bufio.Reader) {
	t.Helper()
	c := startHookedChild(t, files, "")
	return c.addr, c.says
}

// child is a process that serves with a limit of open files.
type child struct {
	addr, internal string
	calls          int           // that a hook may be asked at once
	says           *bufio.Reader // the lines from then on
}

// startHookedChild is startChild with an internal listener and a connect hook, if there
// is one.
func startHookedChild(t *testing.T, files int, hook string) (c child) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), strings.TrimSpace(fmt.Sprintf("%s=%d %s", childEnv, files, hook)))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c.says = bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child ended with %v", err)
		}
	})
	for {
		line, err := c.says.ReadString('\n')
		require.NoError(t, err)
		line = strings.TrimSpace(line)
		if calls, ok := strings.CutPrefix(line, "calls "); ok {
			c.calls, err = strconv.Atoi(calls)
			require.NoError(t, err)
		}
		if at, ok := strings.CutPrefix(line, "at "); ok {
			c.addr, c.internal, _ = strings.Cut(at, " ")
			return c
		}
	}
}

// Clients take all the descriptors that they can get, and more wait, or are turned away
// and come again: calls and health checks get through all the same, each at once.
func TestCallsAndHealthWithoutDescriptors(t *testing.T) {
	f := func(files, clients, silent int) {
		t.Helper()
		t.Run(fmt.Sprintf("%d files, %d clients, %d silent ones", files, clients, silent), func(t *testing.T) {
			addr, says := startChild(t, files)
			go func() { _, _ = io.Copy(io.Discard, says) }()
			first := testkit.Connect(t, addr, testkit.ConnectOptions{
				Subs: map[string]testkit.SubscribeRequest{"news": {}},
			})
			first.ExpectConnect(t)
			for i := range clients + silent {
				c, err := net.DialTimeout("tcp", addr, time.Minute)
				require.NoError(t, err)
				t.Cleanup(func() { _ = c.Close() })
				if i < clients {
					_, _ = fmt.Fprintf(c, "GET /connection/uni_sse HTTP/1.1\r\nHost: h\r\n\r\n")
				}
			}
			for i := range 20 {
				status, err := tryPublish(addr, fmt.Sprintf(`{"channel":"news","data":%d}`, i))
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, status)
				require.JSONEq(t, fmt.Sprint(i), string(first.ExpectPub(t, "news").Data))
				head, _ := testkit.RoundTrip(t, addr, testkit.Request{Target: "/health"})
				require.Equal(t, http.StatusOK, head.Status)
			}
		})
	}
	f(64, 200, 0)
	f(64, 0, 200)
	f(200, 300, 0)
	f(200, 300, 300)
	f(1024, 1000, 300)
}

// Connects wait for a hook that does not answer, and have a descriptor for that, too:
// whoever looks after the node gets through on the internal listener, each time.
func TestHealthWithoutDescriptorsWhileAHookIsSilent(t *testing.T) {
	f := func(files, clients int) {
		t.Helper()
		t.Run(fmt.Sprintf("%d files, %d clients", files, clients), func(t *testing.T) {
			b := newBackend(t)
			done := make(chan struct{})
			b.do(func(http.ResponseWriter, *http.Request) { <-done })
			node := startHookedChild(t, files, b.server.URL)
			go func() { _, _ = io.Copy(io.Discard, node.says) }()
			t.Cleanup(func() { close(done) })
			for range clients {
				c, err := net.DialTimeout("tcp", node.addr, time.Minute)
				require.NoError(t, err)
				t.Cleanup(func() { _ = c.Close() })
				_, _ = fmt.Fprintf(c, "GET /connection/uni_sse HTTP/1.1\r\nHost: h\r\n\r\n")
			}
			testkit.EventuallyWithin(t, patience, func() bool { return int(b.asked.Load()) == node.calls }, "all that the hook may be asked at once")
			for range 20 {
				head, _ := testkit.RoundTrip(t, node.internal, testkit.Request{Target: "/health"})
				require.Equal(t, http.StatusOK, head.Status)
				status, err := tryPublish(node.internal, `{"channel":"news","data":1}`)
				require.NoError(t, err)
				require.Equal(t, http.StatusOK, status)
			}
			require.EqualValues(t, node.calls, b.asked.Load())
		})
	}
	f(64, 60)
	f(200, 110)
	f(200, 400)
}

// tryPublish calls the API once, over a connection of its own: unlike
// testkit.API it leaves a broken connection to the caller.
func tryPublish(addr, body string) (status int, err error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+addr+"/api/publish", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-API-Key", testKey)
	request.Close = true
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
