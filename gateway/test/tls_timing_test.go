package test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// tlsMemoryEnv turns the measurement on; its value is the number of streams:
//
//	SLUICE_TLS_MEMORY=3000 go test -run TestMemoryOfIdleTLSStreams -v ./gateway
const tlsMemoryEnv = "SLUICE_TLS_MEMORY"

// TestMemoryOfIdleTLSStreams measures what an idle TLS stream costs the server
// in memory of its own (RssAnon, proc(5)), and a plain one beside it. The built
// program is a process by itself, and what it takes with the first streams does
// not count. The budget of 14 KiB is printed and not asserted.
func TestMemoryOfIdleTLSStreams(t *testing.T) {
	value := os.Getenv(tlsMemoryEnv)
	if value == "" {
		t.Skip("a measurement of minutes: set " + tlsMemoryEnv + "=3000")
	}
	streams, err := strconv.Atoi(value)
	require.NoError(t, err)
	raiseSoftLimit()
	program := filepath.Join(t.TempDir(), "sluice")
	out, err := exec.Command("go", "build", "-trimpath", "-o", program, "sluice").CombinedOutput()
	require.NoError(t, err, "%s", out)
	ca := newAuthority(t)
	files := newTLSFiles(t, ca)
	f := func(name, keys string, cfg *tls.Config) {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t, program, keys)
			p.open(t, cfg, streams/2)
			base := p.settled(t)
			p.open(t, cfg, streams)
			full := p.settled(t)
			t.Logf("%d idle streams of one channel: %.1f KiB of RssAnon each (%d KiB before, %d KiB after; budget with TLS 14 KiB each)",
				streams, float64(full-base)/float64(streams), base, full)
		})
	}
	f("TLS", `, "tls": `+files.object(`, "enabled": true`), ca.client())
	f("plain", "", nil)
}

// process is the built program, serving.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func startProcess(t *testing.T, program, keys string) *process {
	t.Helper()
	port := testkit.FreePort(t)
	text := strings.Replace(fmt.Sprintf(baseConfig, "", "", "", ""), `"port": 0`, fmt.Sprintf(`"port": %d`, port)+keys, 1)
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	p := &process{cmd: exec.Command(program, "-c", path), addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	})
	testkit.EventuallyWithin(t, tlsPatience, func() bool {
		nc, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	}, "the program to listen")
	return p
}

// open opens so many streams that stay until the end of the test.
func (p *process) open(t *testing.T, cfg *tls.Config, n int) {
	t.Helper()
	for range n {
		nc, err := net.Dial("tcp", p.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		if cfg != nil {
			nc, err = shake(nc, cfg)
			require.NoError(t, err)
		}
		_, err = io.WriteString(nc, get(subscribeTarget([]string{"news"})))
		require.NoError(t, err)
		var got []byte
		for b := make([]byte, 4096); !bytes.Contains(got, []byte(`{"connect":`)); {
			m, err := nc.Read(b)
			require.NoError(t, err, "%s", got)
			got = append(got, b[:m]...)
		}
	}
}

// settled is the least that RssAnon comes to, in KiB, until memory has been given
// back for the last time: see package heap.
func (p *process) settled(t *testing.T) int {
	t.Helper()
	least := 0
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		require.NoError(t, err)
		_, rest, _ := strings.Cut(string(text), "RssAnon:")
		now, err := strconv.Atoi(strings.Fields(rest)[0])
		require.NoError(t, err)
		if least == 0 || now < least {
			least = now
		}
	}
	return least
}
