package test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cli"
	"sluice/gateway/testkit"
)

// commandEnv makes the test binary the command line of Sluice. Its name is not
// one of an option's variables, which the configuration would warn of.
const commandEnv = "TEST_IS_THE_COMMAND_LINE"

func runCommand() int {
	_ = os.Unsetenv(commandEnv)
	return cli.Main(os.Args[1:], os.Stdout, os.Stderr)
}

// commandDir returns a folder with the program "sluice".
func commandDir(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", commandEnv, self)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sluice"), []byte(script), 0o755))
	return dir
}

// commandOf is the program with arguments, without a file of its own: what tests that run
// beside others write, the forks of these may hold open.
func commandOf(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(cleanEnviron(""), commandEnv+"=1")
	return cmd
}

// cleanEnviron is the environment with dir first on the PATH, and without
// variables that would configure the commands under test.
func cleanEnviron(dir string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if name != "PATH" && !strings.HasPrefix(name, "SLUICE_") && !strings.HasPrefix(name, "CENTRIFUGO_") {
			env = append(env, entry)
		}
	}
	// Under the race detector a program waits a second at its exit unless told.
	return append(env, "PATH="+dir+":"+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
}

// startDevServer starts `sluice --dev` on a free port and returns where it is and its
// API key, as its banner says. It must end in good order.
func startDevServer(t *testing.T, dir string) (addr, key string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "sluice"), "--dev", "--port", "0")
	cmd.Env, cmd.Dir = cleanEnviron(dir), t.TempDir()
	cmd.Stderr = &testkit.LogBuffer{}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), "%s", cmd.Stderr)
	})
	livePage := regexp.MustCompile(`Live page +http://localhost:(\d+)/`)
	apiKey := regexp.MustCompile(`X-API-Key: ([A-Za-z0-9]+)`)
	for lines := bufio.NewReader(out); addr == "" || key == ""; {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, "the banner: %s", cmd.Stderr)
		if m := livePage.FindStringSubmatch(line); m != nil {
			addr = "127.0.0.1:" + m[1]
		}
		if m := apiKey.FindStringSubmatch(line); m != nil {
			key = m[1]
		}
	}
	return addr, key
}

// sluiceProcess is `sluice` with a config file, in a process of its own.
type sluiceProcess struct {
	cmd   *exec.Cmd
	addr  string
	ended chan error
}

// startSluice starts it with the section log given; its output goes to out. The
// test ends it.
func startSluice(t *testing.T, section string, out *os.File, args ...string) *sluiceProcess {
	t.Helper()
	dir, port := t.TempDir(), testkit.FreePort(t)
	text := fmt.Sprintf(baseConfig, "", "", "", "")
	text = strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
	text = strings.Replace(text, `"health":`, `"log": {`+section+`}, "health":`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	p := &sluiceProcess{cmd: commandOf(t, args...), ended: make(chan error, 1)}
	p.addr = fmt.Sprintf("127.0.0.1:%d", port)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	require.NoError(t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	testkit.Eventually(t, func() bool {
		select {
		case err := <-p.ended:
			t.Fatalf("the server ended: %v", err)
		default:
		}
		resp, err := http.Get("http://" + p.addr + "/health")
		return err == nil && resp.Body.Close() == nil
	}, "the server to serve")
	return p
}

// terminate sends SIGTERM, and the server must end in good order.
func (p *sluiceProcess) terminate(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the server did not end")
	}
}

// stream opens a stream, publishes once and leaves.
func (p *sluiceProcess) stream(t *testing.T) {
	t.Helper()
	c := testkit.Connect(t, p.addr, testkit.ConnectOptions{Subs: asking("news"), Timeout: time.Minute})
	c.ExpectConnect(t)
	api := &testkit.API{Addr: p.addr, Key: testKey}
	api.Publish(t, "news", "1")
	c.ExpectPub(t, "news")
	c.Close()
}

// startStoppable starts the program with a config file, in a process that tests
// may stop, and waits until it serves. It must end in good order.
func startStoppable(t *testing.T, text string) (addr string, process *os.Process) {
	t.Helper()
	port := testkit.FreePort(t)
	text = strings.Replace(text, `"port": 0`, fmt.Sprintf(`"port": %d`, port), 1)
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cmd := commandOf(t, "--config", path)
	cmd.Dir = t.TempDir()
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
