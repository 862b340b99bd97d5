//go:build e2e

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// broadcastPath is that of the channel of these tests.
const broadcastPath = "/broadcast/pub:news"

// broadcastOrigin is how a gateway with the broadcast route is configured.
type broadcastOrigin struct {
	freshness, lifetime, retry time.Duration
	vary                       bool
	streams                    int    // max_origin_streams; 0: as it is
	more                       string // of the namespace
}

// text is its configuration, on a port, 0 for any.
func (o broadcastOrigin) text(port int) string {
	text := fmt.Sprintf(baseConfig, "", "", "", fmt.Sprintf(`, "namespaces": [{"name": "pub", "history_size": 100000, "history_ttl": "10m",
		"broadcast": true, "broadcast_freshness": %q, "broadcast_lifetime": %q %s}]`, o.freshness, o.lifetime, o.more))
	section := fmt.Sprintf(`"broadcast": {"enabled": true, "vary_last_event_id": %t, "retry": %q`, o.vary, o.retry)
	if o.streams > 0 {
		section += fmt.Sprintf(`, "max_origin_streams": %d`, o.streams)
	}
	text = strings.Replace(text, `"health":`, section+`}, "health":`, 1)
	return strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
}

func (o broadcastOrigin) start(t *testing.T) *server {
	t.Helper()
	return startText(t, o.text(0), nil)
}

// originProcess is a gateway in a process of its own, which tests may kill.
type originProcess struct {
	addr string
	api  *testkit.API
	text string
	cmd  *exec.Cmd
}

// startProcess starts it; it ends with the test.
func (o broadcastOrigin) startProcess(t *testing.T) *originProcess {
	t.Helper()
	port := testkit.FreePort(t)
	p := &originProcess{addr: fmt.Sprintf("127.0.0.1:%d", port), text: o.text(port)}
	p.api = &testkit.API{Addr: p.addr, Key: testKey}
	p.start(t)
	t.Cleanup(func() { p.end(t, syscall.SIGKILL) })
	return p
}

// start starts it, the first time and again.
func (p *originProcess) start(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(p.text), 0o600))
	p.cmd = commandOf(t, "--config", "config.json")
	p.cmd.Dir = dir
	require.NoError(t, p.cmd.Start())
	testkit.Eventually(t, func() bool {
		c, err := dialSmall(p.addr, 0)
		return err == nil && c.Close() == nil
	}, "the gateway to listen")
}

// end ends it with a signal, and waits until it is gone.
func (p *originProcess) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	require.NoError(t, p.cmd.Process.Signal(signal))
	_ = p.cmd.Wait()
}

// broadcastViewer is an EventSource on the broadcast route, which notes what it gets.
type broadcastViewer struct {
	*testkit.EventSource
	leave func() // for good; more than once is allowed
	got   atomic.Int64
	mu    sync.Mutex
	// Guarded by mu.
	numbers []int // as published, in order of arrival, repeats too
	opens   []originStream
}

// originStream is a stream as Varnish's head tells of it.
type originStream struct {
	at          time.Time
	lastEventID string
	path        string
	shared      string // the request that fetched it; "" if it was this one
}

func newBroadcastViewer(addr string) *broadcastViewer {
	v := &broadcastViewer{}
	v.EventSource = &testkit.EventSource{URL: "http://" + addr + broadcastPath, Retry: time.Second, OnEvent: v.take, OnOpen: v.open}
	return v
}

// start lets it watch until it leaves, or the test ends. No answer may end it for good.
func (v *broadcastViewer) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	v.leave = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a viewer ended for good: %v", err)
		}
	})
	t.Cleanup(v.leave)
}

// watchers opens n viewers at once.
func watchers(t *testing.T, addr string, n int) []*broadcastViewer {
	t.Helper()
	viewers := make([]*broadcastViewer, n)
	for i := range viewers {
		viewers[i] = newBroadcastViewer(addr)
		viewers[i].start(t)
	}
	return viewers
}

func (v *broadcastViewer) open(o *testkit.SourceOpen) {
	// "own" for what was fetched, "own fetching" for what was there.
	_, shared, _ := strings.Cut(o.Head.Get("X-Varnish"), " ")
	_, path, _ := strings.Cut(strings.TrimPrefix(o.URL, "http://"), "/")
	v.mu.Lock()
	defer v.mu.Unlock()
	v.opens = append(v.opens, originStream{at: o.Request.At, lastEventID: o.Request.LastEventID, path: "/" + path, shared: shared})
}

func (v *broadcastViewer) take(e testkit.Event) {
	var push struct {
		Pub *struct{ Data int }
	}
	if err := json.Unmarshal([]byte(e.Data), &push); err != nil || push.Pub == nil {
		return // nothing of ours: numbers will be missing
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.numbers = append(v.numbers, push.Pub.Data)
	v.got.Store(int64(push.Pub.Data) + 1)
}

// streams are those it opened so far.
func (v *broadcastViewer) streams() []originStream {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.opens)
}

// expectAll fails the test unless it has everything from the first number it got to the
// last that was published, in order; repeats are dropped as the script for pages does it,
// and counted.
func (v *broadcastViewer) expectAll(t *testing.T, published int) (repeats int) {
	t.Helper()
	testkit.Eventually(t, func() bool { return v.got.Load() >= int64(published) }, "all that was published")
	v.mu.Lock()
	defer v.mu.Unlock()
	last := v.numbers[0] - 1
	for _, n := range v.numbers {
		switch {
		case n <= last:
			repeats++
		case n == last+1:
			last = n
		default:
			t.Fatalf("a viewer got %d behind %d: %v", n, last, v.numbers)
		}
	}
	return repeats
}

// expectNoLoop fails the test if a viewer was given the same stream of the gateway twice.
func (v *broadcastViewer) expectNoLoop(t *testing.T) {
	t.Helper()
	seen := make(map[string]bool)
	for _, o := range v.streams() {
		require.False(t, o.shared != "" && seen[o.shared], "the same stream again: %v", v.opens)
		seen[o.shared] = true
	}
}

// varnishCounter reads one of Varnish's own counters. Those of requests count what is over.
func (f *liveFront) varnishCounter(t *testing.T, name string) int {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"varnishstat"}, "apt-get install varnish")
	out, err := exec.Command(program, "-n", f.dir, "-1", "-f", name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	fields := strings.Fields(string(out))
	require.Greater(t, len(fields), 1, "%s", out)
	n, err := strconv.Atoi(fields[1])
	require.NoError(t, err)
	return n
}

// originFetch is a request of Varnish to the gateway that is over.
type originFetch struct {
	begin       float64 // s
	path        string
	status      int
	lastEventID string
}

// fetches are all of them, as Varnish's log has them.
func (f *liveFront) fetches(t *testing.T) (all []originFetch) {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"varnishncsa"}, "apt-get install varnish")
	var errs bytes.Buffer
	cmd := exec.Command(program, "-n", f.dir, "-d", "-b", "-F", `%{VSL:Timestamp:Start[1]}x %U %s "%{Last-Event-ID}i"`)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s", errs.String())
	for line := range strings.Lines(string(out)) {
		var x originFetch
		_, err := fmt.Sscanf(line, "%f %s %d %q", &x.begin, &x.path, &x.status, &x.lastEventID)
		require.NoError(t, err, line)
		if x.lastEventID == "-" {
			x.lastEventID = ""
		}
		all = append(all, x)
	}
	return all
}
