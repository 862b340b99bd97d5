package test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// newPipe returns a pipe.
func newPipe(t *testing.T) (in, out *os.File) {
	t.Helper()
	in, out, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	return in, out
}

// fillPipe fills a pipe to its last byte.
func fillPipe(t *testing.T, out *os.File) {
	t.Helper()
	fd := int(out.Fd())
	require.NoError(t, syscall.SetNonblock(fd, true))
	for {
		if _, err := syscall.Write(fd, []byte{'\n'}); errors.Is(err, syscall.EAGAIN) {
			break
		} else {
			require.NoError(t, err)
		}
	}
	require.NoError(t, syscall.SetNonblock(fd, false))
}

// Tests of a program in a process of its own that mostly waits run beside each other, when
// all others, which look for leaks in this one, are done.

// Who reads the log and hangs holds up neither connects nor the end.
func TestAReaderOfTheLogThatHangs(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"standard output": nil, "development": {"--dev", "-c", "config.json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, out := newPipe(t)
			fillPipe(t, out)
			p := startSluice(t, `"level": "debug"`, out, args...)
			for range 5 {
				p.stream(t)
			}
			p.terminate(t)
		})
	}
}

// Behind a pause the reader learns how many lines are missing, and where.
func TestAReaderOfTheLogThatComesBack(t *testing.T) {
	t.Parallel()
	in, out := newPipe(t)
	fillPipe(t, out)
	p := startSluice(t, `"level": "debug"`, out, "--prometheus.enabled")
	dropped := func() int {
		resp, err := http.Get("http://" + p.addr + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		_, value, found := strings.Cut(string(text), "\nsluice_log_lines_dropped_total ")
		require.True(t, found, "%s", text)
		var n int
		_, err = fmt.Sscan(value, &n)
		require.NoError(t, err)
		return n
	}
	api := &testkit.API{Addr: p.addr, Key: testKey}
	long := strings.Repeat("x", 200)
	for dropped() == 0 { // each call that is refused is a line; the queue holds 1 MiB
		var calling sync.WaitGroup
		for range 8 {
			calling.Go(func() {
				for range 50 {
					api.Call(t, "publish", `{"channel":"none:`+long+`","data":1}`)
				}
			})
		}
		calling.Wait()
	}
	read := &testkit.LogBuffer{}
	go func() { _, _ = io.Copy(read, in) }()
	testkit.Eventually(t, func() bool { return strings.Contains(read.String(), "log lines were dropped") }, "the note")
	p.terminate(t)
}

func TestAReaderOfTheLogThatGoesAway(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"standard output": nil, "development": {"--dev", "-c", "config.json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, out := newPipe(t)
			p := startSluice(t, `"level": "debug"`, out, args...)
			require.NoError(t, in.Close())
			require.NoError(t, out.Close())
			for range 3 {
				p.stream(t)
			}
			p.terminate(t)
		})
	}
}

// What log rotation does: rename, SIGHUP. Nothing is lost, and the new file has
// what comes behind.
func TestSIGHUPOpensTheLogFileAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.log")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	p := startSluice(t, fmt.Sprintf(`"file": %q`, path), null, "--edge.profile=haproxy")
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return ""
		}
		require.NoError(t, err)
		return string(text)
	}
	testkit.Eventually(t, func() bool { return strings.Contains(read(path), `"msg":"serving"`) }, "the first line")
	require.Contains(t, read(path), `"msg":"edge.profile","profile":"haproxy","set":"client.ping_interval 15s, `)
	for i := range 3 {
		old := fmt.Sprintf("%s.%d", path, i)
		require.NoError(t, os.Rename(path, old))
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
		testkit.Eventually(t, func() bool { return strings.Contains(read(path), reloaded) }, "the reload to be in the new file")
		require.Equal(t, i, strings.Count(read(path+".0")+read(path+".1")+read(path+".2"), reloaded), "and in no other")
	}
	p.terminate(t)
	require.Contains(t, read(path), `"msg":"stopping"`)
}
