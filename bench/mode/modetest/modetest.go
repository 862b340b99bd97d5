//go:build linux

package modetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

// Flags are the flags that a running stand-in at url asks for.
func Flags(url string) (f rig.CommonFlags) {
	f.Workers, f.Ramp, f.Quiet = 2, 8, standin.Patience
	f.URL, f.API, f.Key, f.Anonymous, f.Channel = url+"/connection/uni_sse", url+"/api", "key", true, "bench"
	f.PIDs = strconv.Itoa(os.Getpid())
	return f
}

// NeedDiag skips where the kernel does not tell the memory of sockets.
func NeedDiag(t *testing.T) {
	t.Helper()
	_, err := proc.ReadSocketMemory(1)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		t.Skipf("this kernel has no sock_diag: %v", err)
	}
	require.NoError(t, err)
}

// Prints checks that a report makes a table and valid JSON.
func Prints(t *testing.T, r figures.Report, want ...string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, figures.WriteReport(&out, r, false))
	for _, text := range want {
		require.Contains(t, out.String(), text)
	}
	require.NotContains(t, out.String(), "%!", "a format string and its arguments differ")
	out.Reset()
	require.NoError(t, figures.WriteReport(&out, r, true))
	var fields map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &fields))
	require.Contains(t, fields, "mode")
	require.Contains(t, fields, "machine")
	require.Contains(t, fields, "config")
}
