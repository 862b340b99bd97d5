package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The kernel knows each setting of the file, and takes those of the network: in a network of
// the test's own, so that the machine stays as it is.
func TestTheKernelTakesTheSysctlFile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the settings are Linux's")
	}
	path, err := filepath.Abs("../deploy/sysctl/60-sluice.conf")
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	settings := regexp.MustCompile(`(?m)^(#?)([a-z_0-9]+(?:\.[a-z_0-9]+)+) = (.+)$`).FindAllStringSubmatch(string(text), -1)
	require.GreaterOrEqual(t, len(settings), 8)
	net := true
	for _, s := range settings {
		net = net && (s[1] != "" || strings.HasPrefix(s[2], "net."))
		if !strings.Contains(s[2], "nf_conntrack") { // of a module
			require.FileExists(t, "/proc/sys/"+strings.ReplaceAll(s[2], ".", "/"))
		}
	}
	require.True(t, net, "what is switched on is of the network: see below")
	sysctl := testkit.NeedProgram(t, []string{"sysctl", "/usr/sbin/sysctl"}, "apt-get install procps")
	if err := exec.Command("unshare", "--net", "true").Run(); err != nil {
		t.Skipf("needs a network of its own: unshare --net: %v", err)
	}
	out, err := exec.Command("unshare", "--net", "sh", "-euc", `"$0" -q -p "$1"; for key in $2; do "$0" "$key"; done`, sysctl, path, keysOf(settings)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	said := strings.Join(strings.Fields(string(out)), " ")
	for _, s := range settings {
		if s[1] == "" {
			require.Contains(t, said, s[2]+" = "+s[3])
		}
	}
}

// keysOf returns the keys that are switched on, separated by spaces.
func keysOf(settings [][]string) string {
	var keys []string
	for _, s := range settings {
		if s[1] == "" {
			keys = append(keys, s[2])
		}
	}
	return strings.Join(keys, " ")
}
