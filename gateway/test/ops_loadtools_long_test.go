//go:build e2e

package test

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The scripts for wrk run as written against `make run`. Longer runs are for
// machines on which the short ones have no time to do anything.
func TestLongScriptsForWrkRunAsWritten(t *testing.T) {
	wrk := testkit.NeedProgram(t, []string{"wrk"}, "apt-get install wrk")
	testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	dir := commandDir(t)
	addr, key := startDevServer(t, dir)
	scripts, err := filepath.Abs("../../bench/wrk")
	require.NoError(t, err)
	run := func(t *testing.T, seconds, program string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(cleanEnviron(dir),
			"URL=http://"+addr, "API_KEY="+key, "DURATION="+seconds, "CONNECTIONS=10", "STREAMS=10", "THREADS=1", "TIMEOUT=200")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell starts others
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		for _, bad := range []string{"Socket errors", "Non-2xx"} {
			require.NotContains(t, string(out), bad)
		}
		return string(out)
	}
	f := func(name, counts string, command func(t *testing.T, seconds string) string) {
		t.Run(name, func(t *testing.T) {
			for _, seconds := range []string{"1", "5", "30"} {
				out := command(t, seconds)
				m := regexp.MustCompile(counts).FindStringSubmatch(out)
				require.NotNil(t, m, "%s", out)
				n, err := strconv.ParseFloat(m[1], 64)
				require.NoError(t, err)
				if n > 0 {
					return
				}
			}
			t.Error("nothing was done in 30 seconds")
		})
	}
	const requests = `(\d+) requests in `
	f("publish.lua", requests, func(t *testing.T, seconds string) string {
		out := run(t, seconds, wrk, "-t1", "-c10", "-d"+seconds+"s", "--timeout", "200s",
			"-s", filepath.Join(scripts, "publish.lua"), "http://"+addr+"/api/publish")
		require.Contains(t, out, "Publications refused: 0\n")
		return out
	})
	f("connect.sh", requests, func(t *testing.T, seconds string) string {
		return run(t, seconds, filepath.Join(scripts, "connect.sh"))
	})
	f("fanout.sh", `Deliveries/sec: +(\d+)\n`, func(t *testing.T, seconds string) string {
		out := run(t, seconds, filepath.Join(scripts, "fanout.sh"))
		require.Contains(t, out, "Publications refused: 0\n")
		require.Regexp(t, `Event on the wire: \d{3} bytes\n`, out)
		return out
	})
}
