package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const containerDir = "../deploy/container/"

// instruction is one of a Dockerfile: its word and the rest of its lines.
type instruction struct{ word, rest string }

// dockerfile reads the instructions of the image, by stage.
func dockerfile(t *testing.T) (stages [][]instruction) {
	t.Helper()
	raw, err := os.ReadFile(containerDir + "Dockerfile")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(raw), "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if word == "FROM" {
			stages = append(stages, nil)
		}
		last := len(stages) - 1
		stages[last] = append(stages[last], instruction{word, strings.TrimSpace(rest)})
	}
	return stages
}

// rests returns what follows a word in a stage.
func rests(stage []instruction, word string) (all []string) {
	for _, i := range stage {
		if i.word == word {
			all = append(all, i.rest)
		}
	}
	return all
}

// The image has the program and nothing to break in with, and its health check is a command
// of the program.
func TestTheImageIsTheProgramAlone(t *testing.T) {
	stages := dockerfile(t)
	require.Len(t, stages, 2)
	build, image := stages[0], stages[1]
	require.Equal(t, []string{"scratch"}, rests(image, "FROM"))
	require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, rests(image, "USER")[0], "no root, and no name that nothing could look up")
	require.Empty(t, rests(image, "RUN"))
	var entry, check []string
	require.NoError(t, json.Unmarshal([]byte(rests(image, "ENTRYPOINT")[0]), &entry))
	_, words, _ := strings.Cut(rests(image, "HEALTHCHECK")[0], "CMD ")
	require.NoError(t, json.Unmarshal([]byte(words), &check), "a list: there is no shell")
	require.Equal(t, entry[0], check[0])
	_, errs, code := command(append(check[1:], "--help")...)
	require.Equal(t, 0, code, errs)
	require.Contains(t, rests(image, "ENV"), "SLUICE_HEALTH_ENABLED=true", "what it asks for")

	gomod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`\ngo (\d+\.\d+)`).FindStringSubmatch(string(gomod))[1]
	require.Equal(t, []string{"golang:" + version + " AS build"}, rests(build, "FROM"))
	require.Equal(t, 1, strings.Count(strings.Join(rests(build, "RUN"), "\n"), linkedCommit(t)))
}

// linkedCommit is the variable that the linker sets to the commit, which must be there: the
// linker says nothing of one that is not.
func linkedCommit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../node/node.go")
	require.NoError(t, err)
	require.Contains(t, string(text), "\nvar builtFrom string\n")
	return "-X sluice/gateway/node.builtFrom="
}

// Everything that the program is built from is copied, past .dockerignore, and there.
func TestTheImageIsBuiltFromAllThereIs(t *testing.T) {
	raw, err := os.ReadFile(containerDir + "Dockerfile.dockerignore")
	require.NoError(t, err)
	sent := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(string(raw), ""))
	require.Equal(t, "*", sent[0], "all but what is named")
	var copied []string
	for _, rest := range rests(dockerfile(t)[0], "COPY") {
		words := strings.Fields(rest)
		for _, source := range words[:len(words)-1] {
			require.FileExists(t, filepath.Join("../..", source, map[bool]string{true: "", false: "doc.go"}[strings.Contains(source, ".")]))
			require.Contains(t, sent, "!"+source)
			copied = append(copied, source)
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "sluice").Output()
	require.NoError(t, err)
	for _, pkg := range strings.Fields(string(out)) {
		if pkg == "sluice" {
			require.Contains(t, copied, "main.go")
			continue
		}
		dir := strings.TrimPrefix(pkg, "sluice/")
		require.Contains(t, copied, strings.SplitN(dir, "/", 2)[0])
		require.False(t, slices.ContainsFunc(sent, func(left string) bool { return dir == left || strings.HasPrefix(dir, left+"/") }), dir)
	}
}

// Docker reads the compose file as we do, where there is a Docker with compose.
func TestDockerReadsTheComposeFile(t *testing.T) {
	if out, err := exec.Command("docker", "compose", "version").CombinedOutput(); err != nil {
		t.Skipf("needs docker with compose: %v: %s", err, out)
	}
	env := filepath.Join(t.TempDir(), "env")
	var lines strings.Builder
	for name, value := range exampleEnv(t) {
		lines.WriteString(name + "=" + map[bool]string{true: "of-the-test", false: value}[value == ""] + "\n")
	}
	require.NoError(t, os.WriteFile(env, []byte(lines.String()), 0o600))
	out, err := exec.Command("docker", "compose", "--env-file", env, "-f", composeDir+"compose.yaml", "config", "--quiet").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}
