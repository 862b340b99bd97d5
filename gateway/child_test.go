package gateway

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// childEnv starts the test binary as a gateway in a process of its own, with so
// many open files allowed as it says.
const childEnv = "SLUICE_TEST_CHILD"

// runChild serves until its standard input ends; it says where on its standard
// output.
func runChild(files string) int {
	var n uint64
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
	cfg.ApplyDev(nil, testSecret, testKey)
	cfg.HTTPServer.Port = 0
	cfg.UniSSE.MaxStreams = 1 << 20 // the test is about descriptors
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	g, err := New(cfg, Options{Verify: true, Log: log})
	if err == nil {
		err = g.Start()
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("at", g.Addr())
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
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childEnv, files))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	says = bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child ended with %v", err)
		}
	})
	for {
		line, err := says.ReadString('\n')
		require.NoError(t, err)
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "at "); ok {
			return addr, says
		}
	}
}

func TestServesAgainAfterDescriptorsRanOut(t *testing.T) {
	const files = 128
	addr, says := startChild(t, files)
	first := testkit.Connect(t, addr, testkit.ConnectOptions{
		Subs: map[string]testkit.SubscribeRequest{"news": {}},
	})
	first.ExpectConnect(t)

	// More connections than the child has descriptors: some wait, some are
	// closed, none ends the server.
	var conns []net.Conn
	for range 3 * files {
		c, err := net.DialTimeout("tcp", addr, time.Minute)
		if err != nil {
			break
		}
		fmt.Fprintf(c, "GET /connection/uni_sse HTTP/1.1\r\nHost: h\r\n\r\n")
		conns = append(conns, c)
	}
	require.Greater(t, len(conns), files, "the kernel's backlog takes more than the child can")
	for { // until accept has met the limit: the test is about that
		line, err := says.ReadString('\n')
		require.NoError(t, err)
		if strings.Contains(line, "accept failed") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, says) }()
	for _, c := range conns {
		_ = c.Close()
	}

	testkit.EventuallyWithin(t, 2*time.Minute, func() bool {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "HTTP/1.1 200")
	}, "the server to serve again")
	// While the backlog is worked off, a connection may still be accepted only
	// to be closed: a caller tries again.
	testkit.EventuallyWithin(t, 2*time.Minute, func() bool {
		status, err := tryPublish(addr, `{"channel":"news","data":"still here"}`)
		return err == nil && status == http.StatusOK
	}, "a publish to get through")
	pub := first.ExpectPub(t, "news")
	require.JSONEq(t, `"still here"`, string(pub.Data))
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
