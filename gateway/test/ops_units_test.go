package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

const systemdDir = "../deploy/systemd/"

// readUnit returns the settings of a unit of the folder.
func readUnit(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(systemdDir + name)
	require.NoError(t, err)
	return unitSettings(string(text))
}

// unitSettings reads the text of a unit: the values of each key, in order.
func unitSettings(text string) map[string][]string {
	settings := make(map[string][]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}

// one returns the value of a key that is given once.
func one(t *testing.T, settings map[string][]string, key string) string {
	t.Helper()
	require.Len(t, settings[key], 1, key)
	return settings[key][0]
}

// systemdFolder is a copy of the units whose program is there.
func systemdFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(commandDir(t), "sluice")
	for _, name := range []string{"sluice.service", "sluice.socket"} {
		text, err := os.ReadFile(systemdDir + name)
		require.NoError(t, err)
		text = []byte(strings.ReplaceAll(string(text), "/usr/bin/sluice", program))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return dir
}

// dropIns writes what the docs tell people to add to the unit.
func dropIns(t *testing.T, dir string) {
	t.Helper()
	page, err := os.ReadFile("../docs/deploy.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)\n```ini\n(.*?)```\n").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, blocks)
	require.NoError(t, os.Mkdir(dir, 0o755))
	for i, block := range blocks {
		require.NoError(t, os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".conf"), []byte(block[1]), 0o644))
	}
}

// systemd finds nothing wrong with the units, and the service about as closed as one can be.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze := testkit.NeedProgram(t, []string{"systemd-analyze"}, "apt-get install systemd")
	dir := systemdFolder(t)
	out, err := exec.Command(analyze, "verify", filepath.Join(dir, "sluice.service"), filepath.Join(dir, "sluice.socket")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))

	dropIns(t, filepath.Join(dir, "sluice.service.d"))
	out, err = exec.Command(analyze, "verify", filepath.Join(dir, "sluice.service")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out), "with what the docs add to them")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "sluice.service.d")))

	const most = "20" // tenths: an exposure of 2.0
	out, err = exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+most, filepath.Join(dir, "sluice.service")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `Overall exposure level for sluice.service: [01]\.\d OK`, string(out))
}

// The unit gives the program what it needs, and the time that its options say.
func TestTheUnitFitsTheProgram(t *testing.T) {
	unit := readUnit(t, "sluice.service")
	start := strings.Fields(one(t, unit, "ExecStart"))
	require.Equal(t, "/usr/bin/sluice", start[0])
	_, errs, code := command(append(start[1:], "--help")...)
	require.Equal(t, 0, code, errs)
	require.Equal(t, filepath.Dir(start[len(start)-1]), one(t, unit, "WorkingDirectory"))
	require.Equal(t, filepath.Base(one(t, unit, "WorkingDirectory")), one(t, unit, "ConfigurationDirectory"))
	stop, err := time.ParseDuration(one(t, unit, "TimeoutStopSec"))
	require.NoError(t, err)
	require.Greater(t, stop, config.Default().Shutdown.Timeout)
	require.Equal(t, "1048576", one(t, unit, "LimitNOFILE"), "as operations.md says")
	require.Equal(t, "8000", one(t, readUnit(t, "sluice.socket"), "ListenStream"), "the default of http_server.port")

	// The drop-in for ports below 1024 that the unit speaks of is one of keys that it has.
	text, err := os.ReadFile(systemdDir + "sluice.service")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(\w+)=CAP_NET_BIND_SERVICE`).FindAllStringSubmatch(string(text), -1) {
		require.Contains(t, unit, m[1])
	}
}
