package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
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

// A start that the system refuses says what to do.
func TestAStartThatCannotSaysWhatToDo(t *testing.T) {
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

func TestAdvice(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)} }
	require.ErrorContains(t, adviseListen(wrap(syscall.EACCES), ":443", "http_server."), "CAP_NET_BIND_SERVICE")
	require.ErrorContains(t, adviseListen(&net.DNSError{Err: "no such host", Name: "x"}, "x:1", "http_server."), "the name in http_server.address cannot be resolved")
	other := wrap(syscall.ENOBUFS)
	require.Equal(t, other, adviseListen(other, ":1", "http_server."))
	require.ErrorIs(t, adviseListen(wrap(syscall.EADDRINUSE), ":1", "http_server."), syscall.EADDRINUSE)

	denied := &fs.PathError{Op: "open", Path: "/var/log/x", Err: syscall.EACCES}
	require.ErrorContains(t, adviseFile(denied, "log.file"), fmt.Sprintf("runs as uid %d", os.Getuid()))
	require.ErrorContains(t, adviseFile(&fs.PathError{Err: syscall.EROFS}, "pid_file"), "ReadWritePaths=")
	require.ErrorIs(t, adviseFile(denied, "log.file"), fs.ErrPermission)
	require.Equal(t, other, adviseFile(other, "log.file"))
}

func TestFewFilesAreWarnedOf(t *testing.T) {
	f := func(limit uint64, streams int, want ...string) {
		t.Helper()
		var out bytes.Buffer
		warnFewFiles(slog.New(slog.NewTextHandler(&out, nil)), limit, 904, streams)
		if len(want) == 0 {
			require.Empty(t, out.String())
			return
		}
		for _, w := range append(want, "LimitNOFILE=1048576", "streams=904", "904 fit, and who comes then is turned away") {
			require.Contains(t, out.String(), w)
		}
	}
	f(1024, 0, "limit=1024")
	f(1<<20, 0)
	f(4096, 0)
	f(1<<20, 1<<20, "uni_sse.max_streams is 1048576")
	f(1<<20, 1000)
}

// Below a minimum a process could not serve anybody: the command says so, and what to do.
func TestTooFewFilesAreRefused(t *testing.T) {
	require.NoError(t, enoughFiles(64, 2))
	require.NoError(t, enoughFiles(256, 64), "a large machine with a low limit")
	require.NoError(t, enoughFiles(30, 2))
	require.ErrorContains(t, enoughFiles(29, 2), "29 open files are allowed, and with 2 loops 30 are needed at the least\nraise the limit: LimitNOFILE=")

	dir := commandDir(t)
	cmd := exec.Command("sh", "-c", "ulimit -n 20 && exec sluice --dev --http_server.port 0")
	cmd.Dir, cmd.Env = t.TempDir(), cleanEnviron(dir)
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", said)
	require.Contains(t, string(said), "20 open files are allowed")
	require.NotContains(t, string(said), "msg=serving")
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
			cmd := exec.Command(program, "-C", "..", "--no-print-directory", "run", "GO="+goTool)
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
