package test

import (
	"bufio"
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// A start that the system refuses says what to do.
func TestAStartThatCannotSaysWhatToDo(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	f := func(want []string, args ...string) {
		t.Helper()
		out, errs, code := command(args...)
		require.Equal(t, 1, code, "%s %s", out, errs)
		for _, text := range want {
			require.Contains(t, errs, text)
		}
	}
	f([]string{"address already in use", "ss -ltnp sport = :" + port, "set http_server.port to another one"}, "--dev", "--port", port)
	f([]string{"address already in use", "set http_server.internal_port to another one"}, "--dev", "--port", "0", "--http_server.internal_port", port)
	f([]string{"ip addr", "set http_server.address to one that it has"}, "--dev", "--port", "0", "--address", "203.0.113.254")
	f([]string{"address already in use", "set --port to another one"}, "serve", "-d", t.TempDir(), "-p", port)
	missing := filepath.Join(t.TempDir(), "none", "file")
	f([]string{"log.file cannot be opened", "make its folder, or set log.file"}, "--dev", "--port", "0", "--log.file", missing)
	f([]string{"pid_file cannot be written", "make its folder, or set pid_file"}, "--dev", "--port", "0", "--pid_file", missing)
}

// `make run` ends with Ctrl-C, which all of the terminal's processes get, and with
// SIGTERM to make alone, without a word of make about an error.
func TestMakeRunEndsWithoutAnErrorOfMake(t *testing.T) {
	program := testkit.NeedProgram(t, []string{"make"}, "apt-get install make")
	goTool, err := exec.LookPath("go")
	require.NoError(t, err)
	for name, end := range map[string]func(pid int) error{
		"Ctrl-C":  func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) },
		"SIGTERM": func(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(program, "-C", filepath.Join("..", ".."), "--no-print-directory", "run", "GO="+goTool)
			cmd.Env = append(cleanEnviron(""), "SLUICE_HTTP_SERVER_PORT=0", "MAKEFLAGS=", "MFLAGS=")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			errs := &testkit.LogBuffer{}
			cmd.Stderr = errs
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			lines := bufio.NewReader(out)
			first, err := lines.ReadString('\n')
			require.NoError(t, err, errs)
			require.Contains(t, first, "the first time takes a minute")
			testkit.EventuallyWithin(t, 8*time.Minute, func() bool { return strings.Contains(errs.String(), "msg=serving") }, "the server to serve")
			go func() { _, _ = lines.WriteTo(&bytes.Buffer{}) }()
			require.NoError(t, end(cmd.Process.Pid))
			_ = cmd.Wait() // make itself ends by the signal
			testkit.Eventually(t, func() bool { return syscall.Kill(-cmd.Process.Pid, 0) == syscall.ESRCH }, "nothing to be left running")
			require.Contains(t, errs.String(), "msg=stopping")
			require.NotContains(t, errs.String(), "***")
			require.NotContains(t, strings.ToLower(errs.String()), "error")
		})
	}
}
