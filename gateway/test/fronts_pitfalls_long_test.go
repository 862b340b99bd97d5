//go:build e2e

package test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// encodingCaddy is Caddy with what the comments of its file warn of.
func encodingCaddy(t *testing.T, dir string, port int, origin string, _ time.Duration) (*exec.Cmd, string) {
	return caddyCommand(t, dir, fmt.Sprintf(
		"{\nadmin off\ngrace_period 1s\n}\n:%d {\nbind 127.0.0.1\nencode {\ngzip\nmatch {\nheader Content-Type text/*\n}\n}\nreverse_proxy %s\n}\n", port, origin))
}

// deafNginx does not listen to X-Accel-Buffering.
func deafNginx(t *testing.T, dir string, port int, origin string, _ time.Duration) (*exec.Cmd, string) {
	return nginxCommand(t, dir, fmt.Sprintf(
		"server { listen 127.0.0.1:%d; location / { proxy_pass http://%s; proxy_ignore_headers X-Accel-Buffering; } }", port, origin))
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
	for name, holds := range map[string]frontKind{"caddy": {command: encodingCaddy}, "nginx": {command: deafNginx}} {
		t.Run(name, func(t *testing.T) {
			held := rawBytes(t, holds.start(t, s.addr, frontIdle).addr)
			passed := rawBytes(t, kindOfFront(t, name).start(t, s.addr, frontIdle).addr)
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

// Fronts whose idle limit is shorter than the time between pings cut streams again and
// again. Their viewers come back and miss nothing.
func TestLongFrontsThatCutSilentStreams(t *testing.T) {
	t.Parallel()
	origins := startFrontOrigins(t, 25*time.Second)
	fronts := startFronts(t, origins, time.Second)
	var viewers []*frontViewer
	for _, f := range fronts {
		viewers = append(viewers, watchRec(t, f.addr))
	}
	for n := range 4 {
		for i, v := range viewers {
			testkit.Eventually(t, func() bool { return v.connects.Load() > int64(n) }, "a cut by "+fronts[i].name)
		}
		for _, s := range origins {
			s.api.Publish(t, "rec:news", strconv.Itoa(n))
		}
	}
	for i, v := range viewers {
		testkit.Eventually(t, func() bool { return v.got.Load() >= 4 }, "the rest through "+fronts[i].name)
		require.Equal(t, counting(4), v.numbers(), fronts[i].name)
	}
}
