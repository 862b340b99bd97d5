//go:build e2e

package test

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// `make run` ends with Ctrl-C, which all of the terminal's processes get, and with
// SIGTERM to make alone, without a word of make about an error.
func TestLongMakeRunEndsWithoutAnErrorOfMake(t *testing.T) {
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
