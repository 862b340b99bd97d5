package test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Below a minimum of open files a process could not serve anybody: the command says so, and what to do.
func TestTooFewFilesEndTheStart(t *testing.T) {
	dir := commandDir(t)
	cmd := exec.Command("sh", "-c", "ulimit -n 20 && exec sluice --dev --http_server.port 0")
	cmd.Dir, cmd.Env = t.TempDir(), cleanEnviron(dir)
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", said)
	require.Contains(t, string(said), "20 open files are allowed")
	require.NotContains(t, string(said), "msg=serving")
}
