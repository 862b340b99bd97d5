package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// startStoppable starts the program with a config file, in a process that tests
// may stop, and waits until it serves. It must end in good order.
func startStoppable(t *testing.T, text string) (addr string, process *os.Process) {
	t.Helper()
	dir := commandDir(t)
	port := testkit.FreePort(t)
	text = strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cmd := exec.Command(filepath.Join(dir, "sluice"), "--config", path)
	cmd.Env, cmd.Dir = cleanEnviron(dir), t.TempDir()
	log := &testkit.LogBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "%s", log)
	})
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	testkit.Eventually(t, func() bool {
		c, err := dialSmall(addr, 0)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, "the process to listen")
	return addr, cmd.Process
}

// A process that is paused is late itself: streams that were blocked when it was
// stopped, and whose clients have read everything since, are none the slower.
func TestAPauseOfTheProcessIsNotTheClientsFault(t *testing.T) {
	const streams, age, pause = 60, 2 * time.Second, 4 * time.Second
	addr, process := startStoppable(t, fmt.Sprintf(baseConfig, withMetrics, "",
		fmt.Sprintf(`, "queue_max_age": %q, "ping_interval": "1h"`, age), ""))
	s := &server{addr: addr, api: &testkit.API{Addr: addr, Key: testKey}}
	for round := range 2 { // what comes first after a pause is a matter of luck
		channel := fmt.Sprint("news-", round)
		c := s.stalled(t, streams, subscribeTarget([]string{channel}))
		acks := s.publishAs(t, 1, 6, put{channel: channel, size: 80_000}) // below queue_max_size
		testkit.Eventually(t, func() bool { return s.scrape(t)["streams_blocked"] == streams || len(s.endedFor(t)) > 0 }, "all streams to be blocked")
		stopProcess(t, process)
		stopped := time.Now()
		for _, f := range c {
			go f.read(nil) // what the kernel has, then the rest
		}
		t.Cleanup(c.close)
		time.Sleep(time.Until(stopped.Add(pause))) // the pause that the test is about
		require.NoError(t, process.Signal(syscall.SIGCONT))

		c.await(t, len(acks))
		if ended := s.endedFor(t); len(ended) > 0 {
			t.Fatalf("round %d: streams whose clients had read everything ended: %v of %d", round, ended, streams)
		}
		more := s.publishAs(t, 2, 3, put{channel: channel, size: 100})
		c.await(t, len(acks)+len(more))
		for i, f := range c {
			require.False(t, f.ended(), "stream %d %v", i, f)
			require.EqualValues(t, len(acks)+len(more), f.count.Load(), "stream %d", i)
		}
		require.Empty(t, s.endedFor(t))
	}
}

// endedFor are the streams of another process that ended, by reason.
func (s *server) endedFor(t *testing.T) map[string]float64 {
	t.Helper()
	out := make(map[string]float64)
	for name, n := range s.scrape(t) {
		if reason, ok := strings.CutPrefix(name, "stream_closes_total"); ok && n > 0 {
			out[reason] = n
		}
	}
	return out
}

// stopProcess stops a process and waits until it stands still.
func stopProcess(t *testing.T, process *os.Process) {
	t.Helper()
	require.NoError(t, process.Signal(syscall.SIGSTOP))
	testkit.Eventually(t, func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process.Pid))
		if os.IsNotExist(err) {
			return true // no /proc here
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		return err == nil && strings.HasPrefix(rest, "T")
	}, "the process to stand still")
}
