//go:build e2e

package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// startEncodingCaddy starts Caddy with what the comments of its file warn of.
func startEncodingCaddy(t *testing.T, origin string) (addr string) {
	t.Helper()
	port := testkit.FreePort(t)
	program := testkit.NeedProgram(t, fronts.Named("caddy").Programs, fronts.Named("caddy").Install)
	cmd, text, err := fronts.Caddy(program, t.TempDir(), fmt.Sprintf(
		"{\nadmin off\ngrace_period 1s\n}\n:%d {\nbind 127.0.0.1\nencode {\ngzip\nmatch {\nheader Content-Type text/*\n}\n}\nreverse_proxy %s\n}\n", port, origin))
	require.NoError(t, err)
	runFront(t, cmd, port, text)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// startDeafNginx starts nginx that does not listen to X-Accel-Buffering.
func startDeafNginx(t *testing.T, origin string) (addr string) {
	t.Helper()
	port := testkit.FreePort(t)
	startNginx(t, fmt.Sprintf("server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; proxy_ignore_headers X-Accel-Buffering; } }", port, origin), port)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// rawBytes reads what comes through a front on a stream of many channels, whose connect
// push is above the 512 bytes from which Caddy encodes, and counts it.
func rawBytes(t *testing.T, addr string) *atomic.Int64 {
	t.Helper()
	var subs []string
	for i := range 40 {
		subs = append(subs, fmt.Sprintf(`"news%d":{}`, i))
	}
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+testkit.DefaultPath, strings.NewReader(`{"subs":{`+strings.Join(subs, ",")+`}}`))
	require.NoError(t, err)
	request.Header.Set("Accept-Encoding", "gzip")
	n, done := &atomic.Int64{}, make(chan struct{})
	go func() {
		defer close(done)
		response, err := testkit.NewSourceClient().Do(request)
		if err != nil {
			return // the test is over
		}
		defer func() { _ = response.Body.Close() }()
		buf := make([]byte, 4096)
		for err != io.EOF && t.Context().Err() == nil {
			var k int
			k, err = response.Body.Read(buf)
			n.Add(int64(k))
		}
	}()
	t.Cleanup(func() { <-done })
	return n
}

// What fronts hold back when they are set as no file of the folder sets them: Caddy that
// encodes all text, and nginx that is deaf to X-Accel-Buffering. Beside them, on the files of
// the folder, all comes at once.
func TestLongFrontsHoldWhatTheyEncodeOrBuffer(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := startFrontOrigin(t, "chunked", 25*time.Second)
	for name, holds := range map[string]func(*testing.T, string) string{"caddy": startEncodingCaddy, "nginx": startDeafNginx} {
		t.Run(name, func(t *testing.T) {
			held := rawBytes(t, holds(t, s.addr))
			passed := rawBytes(t, launchFront(t, fronts.Named(name), s.addr, frontIdle).addr)
			// The stream that is held is open too.
			testkit.Eventually(t, func() bool { return passed.Load() > 512 && s.sessions.Counts().Clients >= 2 }, "two streams")
			for i := range 5 {
				before := passed.Load()
				s.api.Publish(t, "news0", strconv.Itoa(i))
				testkit.Eventually(t, func() bool { return passed.Load() > before }, "an event")
			}
			require.Less(t, held.Load(), int64(512), "of the stream that is held")
		})
	}
}

// An nginx that has no connection left for a gateway tells viewers to come back: its 500
// would end an EventSource for good.
func TestLongNginxWithoutConnections(t *testing.T) {
	t.Parallel()
	s := startFrontOrigin(t, "chunked", 25*time.Second)
	k, port, dir := fronts.Named("nginx"), testkit.FreePort(t), t.TempDir()
	testkit.NeedProgram(t, k.Programs, k.Install)
	cmd, text, err := k.Command(fronts.Setup{Files: frontsDir, Dir: dir, Port: port, Origin: s.addr, Idle: frontIdle})
	require.NoError(t, err)
	few := strings.Replace(text, "worker_connections 8192", "worker_connections 24", 1)
	require.NotEqual(t, text, few)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(few), 0o600))
	runFront(t, cmd, port, few)
	client, url := testkit.NewSourceClient(), fmt.Sprintf("http://127.0.0.1:%d%s?cf_connect=%%7B%%7D", port, testkit.DefaultPath)
	for range 200 {
		request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err != nil {
			continue // closed without an answer: an EventSource comes back
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		require.Equal(t, http.StatusOK, response.StatusCode)
		start := make([]byte, len("retry: 3000\n\n"))
		_, err = io.ReadFull(response.Body, start)
		require.NoError(t, err)
		if rest, _ := io.CopyN(io.Discard, response.Body, 1); rest == 0 { // of a stream the connect push follows
			require.Regexp(t, "^retry: [3-6]000\n\n$", string(start))
			return
		}
	}
	require.FailNow(t, "nginx has connections for all")
}

// Fronts whose idle limit is shorter than the time between pings cut streams again and
// again. Their viewers come back and miss nothing.
func TestLongFrontsThatCutSilentStreams(t *testing.T) {
	t.Parallel()
	origins := startFrontOrigins(t, 25*time.Second)
	all := startFronts(t, origins, time.Second)
	var viewers []*frontViewer
	for _, f := range all {
		viewers = append(viewers, watchRec(t, f.addr))
	}
	for n := range 4 {
		for i, v := range viewers {
			testkit.Eventually(t, func() bool { return v.connects.Load() > int64(n) }, "a cut by "+all[i].Name)
		}
		for _, s := range origins {
			s.api.Publish(t, "rec:news", strconv.Itoa(n))
		}
	}
	for i, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() >= 4 }, "the rest through "+all[i].Name)
		require.Equal(t, counting(4), v.numbers(), all[i].Name)
	}
}
