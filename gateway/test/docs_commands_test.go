package test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// docBlock matches a fenced block that is marked as one to be tested: commands
// that end, commands that show a stream, a config file, or a recipe.
var docBlock = regexp.MustCompile("(?s)<!-- test( stream| mint| page| nginx| acl| broadcast| worker| tab|" +
	" receiver| listen| listening| fetch| following| native| follow|) -->\n```(\\w*)\n(.*?)\n```\n")

// docBlocks returns the blocks of the README and the pages that have one of some
// marks.
func docBlocks(t *testing.T, marks ...string) [][]string {
	t.Helper()
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	var blocks [][]string
	for _, path := range append([]string{"../../README.md"}, paths...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		found := docBlock.FindAllStringSubmatch(string(text), -1)
		require.Len(t, found, strings.Count(string(text), "\n<!-- test"), "%s: each mark stands above a block", path)
		blocks = append(blocks, found...)
	}
	return slices.DeleteFunc(blocks, func(block []string) bool { return !slices.Contains(marks, strings.TrimSpace(block[1])) })
}

// What the README and the pages tell people to type does what they say.
func TestCommandsOfTheDocsWork(t *testing.T) {
	blocks := docBlocks(t, "", "stream")
	require.GreaterOrEqual(t, len(blocks), 8, "the marks are still there")

	dir := commandDir(t)
	addr, key := startDevServer(t, dir)
	work := t.TempDir()
	for _, block := range blocks {
		script := strings.NewReplacer("localhost:8000", addr, "<key>", key).Replace(block[3])
		switch block[2] {
		case "python":
			testkit.NeedProgram(t, []string{"python3"}, "apt-get install python3")
			require.NoError(t, os.WriteFile(filepath.Join(work, "block.py"), []byte(script), 0o600))
			script = "python3 block.py"
		case "json":
			require.NoError(t, os.WriteFile(filepath.Join(work, "block.json"), []byte(docSecrets.Replace(block[3])), 0o600))
			// A block shows some options; what every server needs besides comes from the environment.
			script = "SLUICE_UNI_SSE_ENABLED=true SLUICE_HTTP_API_KEY=" + rand.Text() + " SLUICE_CLIENT_TOKEN_HMAC_SECRET_KEY=" + rand.Text() + rand.Text() +
				" sluice checkconfig --strict -c block.json"
		}
		if strings.Contains(script, "curl ") {
			testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
		cmd.Dir, cmd.Env = work, cleanEnviron(dir)
		if block[1] != "" {
			streams(t, cmd, &testkit.API{Addr: addr, Key: key})
		} else {
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s\n%s", script, out)
			require.NotContains(t, string(out), `"error"`, script)
		}
		cancel()
	}
}

// docSecrets puts secrets in the places that the pages leave for them.
var docSecrets = strings.NewReplacer("<api key>", rand.Text(), "<what openssl rand -hex 32 prints>", rand.Text()+rand.Text())

// A block that is copied as it stands has secrets that everybody knows: the
// server takes them, and says so.
func TestSecretsOfTheDocsAreNone(t *testing.T) {
	for _, block := range docBlocks(t, "") {
		if block[2] != "json" || !strings.Contains(block[3], "hmac_secret_key") {
			continue
		}
		out, _, code := command("checkconfig", "--strict", "-c", configFile(t, block[3]))
		require.Equal(t, 1, code)
		require.Contains(t, out, "http_api.key: a placeholder")
		require.Contains(t, out, "client.token.hmac_secret_key: a placeholder")
		require.Equal(t, 2, strings.Count(out, "\n"), out)
		return
	}
	t.Fatal("no page has a configuration any more")
}

// streams runs a command that shows a stream of the channel news, until it has
// shown a publication.
func streams(t *testing.T, cmd *exec.Cmd, api *testkit.API) {
	t.Helper()
	shown, errs := &testkit.LogBuffer{}, &testkit.LogBuffer{}
	cmd.Stdout, cmd.Stderr = shown, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell may have started others
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	wait := func(text string) {
		t.Helper()
		testkit.EventuallyWithin(t, time.Minute, func() bool {
			select {
			case err := <-ended:
				ended <- err
				return true
			default:
				return strings.Contains(shown.String(), text)
			}
		}, text)
		require.Contains(t, shown.String(), text, "%s\n%s", cmd.Args, errs)
	}
	wait(`data: {"connect":{`)
	api.Publish(t, "news", `"from the test"`)
	wait(`"pub":{"data":"from the test"`)
	require.NoError(t, kill())
	var exit *exec.ExitError
	require.True(t, errors.As(<-ended, &exit), "it was still showing the stream")
}
