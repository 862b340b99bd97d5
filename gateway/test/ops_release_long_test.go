//go:build e2e

package test

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// release is what `make release` wrote: of the commit that is checked out, not of changes to it.
type release struct{ dist, commit string }

// makeRelease clones a repository to a folder and makes its release there, after a script.
func makeRelease(t *testing.T, repository, clone, script string, env ...string) release {
	t.Helper()
	testkit.NeedProgram(t, []string{"dpkg-deb"}, "apt-get install dpkg")
	out, err := exec.Command("git", "clone", "--quiet", "--no-hardlinks", repository, clone).CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command("sh", "-euc", script+"\nmake release")
	cmd.Dir, cmd.Env = clone, append(os.Environ(), env...)
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd = exec.Command("git", "rev-parse", "HEAD")
	cmd.Dir = clone
	commit, err := cmd.Output()
	require.NoError(t, err)
	return release{filepath.Join(clone, "dist"), strings.TrimSpace(string(commit))}
}

// one returns the file of a pattern.
func (r release) one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.dist, pattern))
	require.NoError(t, err)
	require.Len(t, found, 1, pattern)
	return found[0]
}

// sums returns what the release consists of: a hash for each name.
func (r release) sums(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(r.dist)
	require.NoError(t, err)
	sums := make(map[string]string)
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(r.dist, e.Name()))
		require.NoError(t, err)
		sums[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(raw))
	}
	return sums
}

// Two builds of one commit are the same bytes, wherever, by whomever and with whatever
// settings; the programs need nothing of the machine, and the package installs.
func TestLongRelease(t *testing.T) {
	root := t.TempDir()
	first := filepath.Join(root, "one")
	r := makeRelease(t, "../..", first, "")
	t.Run("SameBytesTwice", func(t *testing.T) {
		// Another place, other rights of files, another time zone, flags of one's own, and a tag.
		again := makeRelease(t, first, filepath.Join(root, "elsewhere", "two"), "git tag v9.9.9; umask 077; touch README.md",
			"TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "GOFLAGS=-tags=mine", "GOAMD64=v2", "XZ_OPT=-9")
		sums := r.sums(t)
		require.Len(t, sums, 7)
		require.Equal(t, sums, again.sums(t))
		check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
		check.Dir = again.dist
		out, err := check.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, len(sums)-1, strings.Count(string(out), ": OK\n"))
	})
	t.Run("StaticPrograms", func(t *testing.T) {
		for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
			f, err := elf.Open(r.one(t, "sluice-linux-"+arch))
			require.NoError(t, err)
			require.Equal(t, machine, f.Machine)
			for _, p := range f.Progs {
				require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs a loader")
			}
			require.NoError(t, f.Close())
		}
	})
	t.Run("Archive", func(t *testing.T) {
		dir := t.TempDir()
		out, err := exec.Command("tar", "-C", dir, "-xzf", r.one(t, "sluice-*-linux-"+runtime.GOARCH+".tar.gz")).CombinedOutput()
		require.NoError(t, err, "%s", out)
		dir = filepath.Join(dir, "sluice-"+node.Version+"-linux-"+runtime.GOARCH)
		out, err = exec.Command(filepath.Join(dir, "sluice"), "version").Output()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("Sluice v%s (Go version: %s)\nCommit: %s\n", node.Version, runtime.Version(), r.commit), string(out))
		for _, name := range []string{"README.md", "THIRD-PARTY-LICENSES", "deploy/systemd/sluice.service", "deploy/kubernetes/deployment.yaml", "deploy/sysctl/60-sluice.conf"} {
			require.FileExists(t, filepath.Join(dir, name))
		}
	})
	t.Run("Lintian", func(t *testing.T) {
		lintian := testkit.NeedProgram(t, []string{"lintian"}, "apt-get install lintian")
		out, err := exec.Command(lintian, "--fail-on", "error,warning", r.one(t, "sluice_*_"+runtime.GOARCH+".deb")).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	t.Run("Package", func(t *testing.T) { installPackage(t, r) })
}
