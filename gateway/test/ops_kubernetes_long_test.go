//go:build e2e

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildManifests builds the program that judges Kubernetes objects, of the modules of
// Kubernetes itself.
func buildManifests(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "manifests")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Env = "testdata/manifests", append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// The manifests have no field that Kubernetes does not know, and their pods satisfy its
// standard "restricted": its own types and rules say so.
func TestLongKubernetesKnowsTheManifests(t *testing.T) {
	program, text := buildManifests(t), kustomized(t)
	judge := func(text string) (said string, err error) {
		cmd := exec.Command(program)
		cmd.Stdin = strings.NewReader(text)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err = cmd.Run()
		return out.String(), err
	}
	said, err := judge(string(text))
	require.NoError(t, err, said)
	require.Len(t, strings.Fields(said), len(strings.Split(string(text), "\n---\n")))
	require.Contains(t, said, "Deployment\n")

	broken := func(old, replacement, want string) {
		t.Helper()
		require.Contains(t, string(text), old)
		said, err := judge(strings.ReplaceAll(string(text), old, replacement))
		require.Error(t, err)
		require.Contains(t, said, want)
	}
	broken("maxUnavailable:", "mostUnavailable:", "unknown field")
	broken("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "not restricted")
}
