//go:build e2e

package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// usual are the times that namespaces have unless told, but for streams that end sooner.
var usual = relayTimes{"3s", "10s", "2s"}

// killable is a node in a process of its own that tests kill and start again.
type killable struct {
	name, addr string
	command    func() *exec.Cmd
	cmd        *exec.Cmd
	log        *testkit.LogBuffer
}

// start starts it and waits until new viewers may be sent there.
func (k *killable) start(t *testing.T) {
	t.Helper()
	k.cmd, k.log = k.command(), &testkit.LogBuffer{}
	k.cmd.Dir, k.cmd.Stdout, k.cmd.Stderr = t.TempDir(), k.log, k.log
	require.NoError(t, k.cmd.Start())
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		resp, err := http.Get("http://" + k.addr + "/ready")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, k.name+" to be ready")
}

// kill ends it as a power cut does.
func (k *killable) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}

// startRelayProcess starts `sluice relay`, which ends with the test.
func startRelayProcess(t *testing.T, name, origin string) *killable {
	t.Helper()
	port := testkit.FreePort(t)
	args := []string{"relay"}
	for flag, value := range relayFlags(origin, port, usual) {
		args = append(args, "--"+flag+"="+value)
	}
	k := &killable{name: name, addr: fmt.Sprintf("127.0.0.1:%d", port), command: func() *exec.Cmd { return commandOf(t, args...) }}
	k.start(t)
	t.Cleanup(k.kill)
	return k
}

// startOriginProcess starts an origin whose history is in Redis, which ends with the test.
func startOriginProcess(t *testing.T, config func(port int) string) *killable {
	t.Helper()
	port := testkit.FreePort(t)
	path := filepath.Join(t.TempDir(), "origin.json")
	require.NoError(t, os.WriteFile(path, []byte(config(port)), 0o600))
	k := &killable{name: "the origin", addr: fmt.Sprintf("127.0.0.1:%d", port), command: func() *exec.Cmd { return commandOf(t, "--config", path) }}
	k.start(t)
	t.Cleanup(k.kill)
	return k
}

// publishSteadily publishes into channels by a schedule, whoever reads, until stop is called; that
// returns the last number of each.
func publishSteadily(t *testing.T, s *server, every time.Duration, channels ...string) (at *atomic.Int64, stop func() int) {
	quit, at := make(chan struct{}), new(atomic.Int64)
	var done sync.WaitGroup
	at.Store(1)
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			n := at.Load() + 1
			for _, ch := range channels {
				s.api.Publish(t, ch, fmt.Sprint(n))
			}
			at.Store(n)
		}
	})
	return at, func() int {
		close(quit)
		done.Wait()
		return int(at.Load())
	}
}

// Origin and relays, two levels of them, are killed and come back while there is publishing
// by a schedule: every viewer has everything, in order.
func TestLongRelaysLoseNothing(t *testing.T) {
	t.Parallel()
	redis, prefix := redisrig.Shared(t), redisrig.Prefix(t)
	config := func(port int) string {
		return strings.Replace(relayedText(port, usual), `"health":`, fmt.Sprintf(`"engine": {"type": "redis", "redis": {"address": %q, "prefix": %q}}, "health":`, redis.Addr, prefix), 1)
	}
	publisher := launch(t, config(0))
	t.Cleanup(func() { publisher.stop(t) })
	origin := startOriginProcess(t, config)
	first := startRelayProcess(t, "the first relay", origin.addr)
	second := startRelayProcess(t, "the second relay", first.addr)

	channels := []string{"pub:a", "pub:b/c"}
	var viewers []*relayViewer
	for _, ch := range channels {
		publisher.api.Publish(t, ch, "1")
		for _, at := range []*killable{second, second, first, origin} {
			viewers = append(viewers, watchBroadcast(t, at.addr, ch))
		}
	}
	for _, v := range viewers {
		v.await(t, 1)
	}
	at, stop := publishSteadily(t, publisher, 10*time.Millisecond, channels...)
	reach := func(n int) {
		for _, v := range viewers {
			v.await(t, n)
		}
	}
	for _, victims := range [][]*killable{{second}, {first}, {origin}, {first, second}, {origin, second}} {
		reach(int(at.Load()) + 50)
		for _, k := range victims {
			k.kill()
		}
		for _, k := range victims {
			k.start(t)
		}
	}
	reach(int(at.Load()) + 50)
	last := stop()
	for _, v := range viewers {
		v.expectAll(t, 1, last)
		require.Greater(t, v.streams(), 2, "streams that were cut")
	}
	for _, r := range []*killable{first, second} {
		require.Contains(t, scrapeText(t, r.addr), "\nsluice_relay_gaps_total{why=\"missing\"} 0\n", r.name)
	}
}
