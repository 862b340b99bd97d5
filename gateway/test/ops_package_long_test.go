//go:build e2e

package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// otherMachine is this one with a layer of its own over its files: what is installed there
// is gone with the test, and the machine has seen nothing of it.
type otherMachine struct {
	pid  int
	root string // its files, as seen from here
}

// layered mounts a layer over the files of the machine, says so, and stays for as long as
// somebody holds its input.
const layered = `
mount -t tmpfs layer "$1"
mkdir "$1/upper" "$1/work" "$1/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/all"
mount -t proc proc "$1/all/proc"
mount --rbind /dev "$1/all/dev"
mount -t tmpfs run "$1/all/run"
mount -t tmpfs tmp "$1/all/tmp"
echo ready
exec cat`

func newOtherMachine(t *testing.T) *otherMachine {
	t.Helper()
	for _, program := range []string{"unshare", "nsenter", "setpriv"} {
		testkit.NeedProgram(t, []string{program}, "apt-get install util-linux")
	}
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("needs root, to mount a layer over the files of the machine: %s", out)
	}
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "sh", "-euc", layered, "sh", dir)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	errs := &testkit.LogBuffer{}
	cmd.Stderr = errs
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Skipf("needs a machine where a layer can be mounted over its files: %s", errs)
	}
	return &otherMachine{cmd.Process.Pid, filepath.Join(dir, "all")}
}

// command is a program that runs there, in the place of the process that is started.
func (m *otherMachine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", fmt.Sprint(m.pid), "--mount", "chroot", m.root}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	return cmd
}

// run runs a program there to its end, and returns what it said.
func (m *otherMachine) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.command(args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", args, out)
	return string(out)
}

// path is where a file of it is, for this process.
func (m *otherMachine) path(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", m.pid, filepath.Join(m.root, name))
}

func (m *otherMachine) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(m.path(name))
	require.NoError(t, err)
	return string(text)
}

// edit is what an administrator does to a file: rights and owner stay.
func (m *otherMachine) edit(t *testing.T, name, old, replacement string) {
	t.Helper()
	text := m.read(t, name)
	require.Equal(t, 1, strings.Count(text, old), text)
	f, err := os.OpenFile(m.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	_, err = f.WriteString(strings.Replace(text, old, replacement, 1))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// lacks says that a file is not there, nor a link by its name.
func (m *otherMachine) lacks(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := os.Lstat(m.path(name))
		require.ErrorIs(t, err, os.ErrNotExist, name)
	}
}

const (
	packagedConfig  = "/etc/sluice/config.yaml"
	packagedDefault = "/etc/default/sluice"
	packagedWish    = "/etc/systemd/system/multi-user.target.wants/sluice.service"
)

// installPackage lives through the life of a package: it is installed, started as its
// service user, used, upgraded, removed and purged.
func installPackage(t *testing.T, r release) {
	testkit.NeedProgram(t, []string{"dpkg"}, "apt-get install dpkg")
	m := newOtherMachine(t)
	deb := r.one(t, "sluice_*_"+runtime.GOARCH+".deb")
	install := func(deb string) {
		t.Helper()
		raw, err := os.ReadFile(deb)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(m.path("/tmp/sluice.deb"), raw, 0o644))
		m.run(t, "dpkg", "--install", "/tmp/sluice.deb")
	}
	install(deb)
	var who struct{ uid, gid uint32 }
	_, err := fmt.Sscan(m.run(t, "id", "-u", "sluice")+m.run(t, "id", "-g", "sluice"), &who.uid, &who.gid)
	require.NoError(t, err)
	require.Contains(t, m.run(t, "getent", "passwd", "sluice"), ":/nonexistent:/usr/sbin/nologin")
	for name, mode := range map[string]os.FileMode{packagedConfig: 0o640, "/etc/sluice": 0o750} {
		info, err := os.Stat(m.path(name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
		owner := info.Sys().(*syscall.Stat_t)
		require.Equal(t, [2]uint32{0, who.gid}, [2]uint32{owner.Uid, owner.Gid}, name)
	}
	_, err = os.Lstat(m.path(packagedWish))
	require.NoError(t, err, "it is enabled")
	require.Empty(t, m.run(t, "sluice", "checkconfig", "--strict", "-c", packagedConfig))

	// An administrator's changes.
	port, inside := testkit.FreePort(t), testkit.FreePort(t)
	m.edit(t, packagedConfig, "internal_port: 9000", fmt.Sprintf("internal_port: %d\n  address: 127.0.0.1\n  port: %d", inside, port))
	m.edit(t, packagedDefault, "#SLUICE_LOG_LEVEL=debug", "SLUICE_LOG_LEVEL=debug")
	before := m.read(t, packagedConfig) + m.read(t, packagedDefault)

	s := startPackaged(t, m)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	require.NoError(t, err)
	require.Contains(t, string(status), fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", who.uid))
	require.Contains(t, string(status), "\nCapBnd:\t0000000000000000\n")
	use := func() {
		t.Helper()
		usePackaged(t, m, fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", inside))
	}
	use()

	install(newerPackage(t, deb))
	require.Contains(t, m.run(t, "dpkg-query", "--show", "sluice"), ".newer")
	require.Equal(t, before, m.read(t, packagedConfig)+m.read(t, packagedDefault), "changes stay")
	use() // where no systemd runs nobody has restarted it
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGHUP))
	use()
	s.terminate(t)
	require.Contains(t, s.log.String(), `"level":"DEBUG"`, "the file of the environment counts")

	m.run(t, "dpkg", "--remove", "sluice")
	m.lacks(t, "/usr/bin/sluice", "/usr/lib/systemd/system/sluice.service")
	require.Equal(t, before, m.read(t, packagedConfig)+m.read(t, packagedDefault), "they stay")
	install(deb)
	require.Equal(t, before, m.read(t, packagedConfig)+m.read(t, packagedDefault))
	_, err = os.Lstat(m.path(packagedWish))
	require.NoError(t, err)
	m.run(t, "dpkg", "--purge", "sluice")
	m.lacks(t, "/etc/sluice", packagedDefault, packagedWish, "/etc/systemd/system/sluice.service", "/etc/systemd/system/sluice.socket", "/var/log/sluice")
	require.Error(t, m.command("getent", "passwd", "sluice").Run())
	require.Error(t, m.command("getent", "group", "sluice").Run())
}

// packagedProcess is the program of the package, started as its unit says.
type packagedProcess struct {
	cmd   *exec.Cmd
	ended chan error
	log   *testkit.LogBuffer
}

func startPackaged(t *testing.T, m *otherMachine) *packagedProcess {
	t.Helper()
	unit := unitSettings(m.read(t, "/usr/lib/systemd/system/sluice.service"))
	file := strings.TrimPrefix(one(t, unit, "EnvironmentFile"), "-")
	require.Equal(t, packagedDefault, file)
	user := one(t, unit, "User")
	s := &packagedProcess{ended: make(chan error, 1), log: &testkit.LogBuffer{}}
	s.cmd = m.command("setpriv", "--reuid", user, "--regid", one(t, unit, "Group"), "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs",
		"sh", "-euc", "umask "+one(t, unit, "UMask")+"; cd "+one(t, unit, "WorkingDirectory")+"; exec "+one(t, unit, "ExecStart"))
	for line := range strings.Lines(m.read(t, file)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			s.cmd.Env = append(s.cmd.Env, line)
		}
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	require.NoError(t, s.cmd.Start())
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	testkit.Eventually(t, func() bool {
		select {
		case err := <-s.ended:
			t.Fatalf("the program ended: %v\n%s", err, s.log)
		default:
		}
		return m.command("sluice", "healthcheck", "--ready", "-c", packagedConfig).Run() == nil
	}, "the program of the package to be ready")
	return s
}

// terminate sends SIGTERM, and the program must end in good order.
func (s *packagedProcess) terminate(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-s.ended, "%s", s.log)
}

// usePackaged asks for its health, and has a client get what is published.
func usePackaged(t *testing.T, m *otherMachine, addr, inside string) {
	t.Helper()
	require.Equal(t, "ok: http://"+inside+"/health\n", m.run(t, "sluice", "healthcheck", "-c", packagedConfig))
	cfg, _, err := config.Load(config.Source{Path: m.path(packagedConfig), Dir: t.TempDir()})
	require.NoError(t, err)
	token := strings.TrimSpace(m.run(t, "sluice", "gentoken", "-q", "-c", packagedConfig, "-u", "42"))
	c := testkit.Connect(t, addr, testkit.ConnectOptions{Token: token, Subs: asking("news")})
	c.ExpectConnect(t)
	api := &testkit.API{Addr: inside, Key: cfg.HTTPAPI.Key}
	api.Publish(t, "news", `"hello"`)
	require.JSONEq(t, `"hello"`, string(c.ExpectPub(t, "news").Data))
	c.Close()
}

// newerPackage is a package with a later version.
func newerPackage(t *testing.T, deb string) string {
	t.Helper()
	dir, newer := filepath.Join(t.TempDir(), "content"), filepath.Join(t.TempDir(), "newer.deb")
	run := func(args ...string) {
		t.Helper()
		out, err := exec.Command("dpkg-deb", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("--raw-extract", deb, dir)
	control := filepath.Join(dir, "DEBIAN", "control")
	text, err := os.ReadFile(control)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "Version: ") {
			lines[i] += ".newer"
		}
	}
	require.NoError(t, os.WriteFile(control, []byte(strings.Join(lines, "\n")), 0o644))
	run("--root-owner-group", "-Zgzip", "-z1", "--build", dir, newer)
	return newer
}
