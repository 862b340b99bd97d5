package cli

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServeServesTheFilesOfAFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	write(filepath.Join(dir, "index.html"), "the page")
	write(filepath.Join(dir, "js", "app.js"), "the script")
	write(filepath.Join(dir, ".env"), "hidden")
	write(filepath.Join(dir, ".git", "config"), "hidden")
	write(filepath.Join(outside, "secret"), "hidden")
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")))

	in, out := io.Pipe()
	signals := make(chan os.Signal, 1)
	ended := make(chan error, 1)
	go func() { ended <- serveFiles(dir, "127.0.0.1:0", out, signals) }()
	line, err := bufio.NewReader(in).ReadString('\n')
	require.NoError(t, err)
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	require.NotEmpty(t, base, line)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	f := func(path string, status int, text string) {
		t.Helper()
		resp, err := client.Get(base + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode, path)
		require.Contains(t, string(body), text)
		require.NotContains(t, string(body), "hidden", path)
	}
	f("/", 200, "the page")
	f("/index.html", 200, "the page")
	f("/js/app.js", 200, "the script")
	f("/js/", 200, "app.js")
	f("/none", 404, "")
	f("/.env", 404, "")
	f("/%2eenv", 404, "")
	f("/.git/config", 404, "")
	f("/js/../../"+filepath.Base(outside)+"/secret", 404, "")
	resp, err := client.Get(base + "/link")
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NotEqual(t, 200, resp.StatusCode, "a link that leads out of the folder")
	require.NotContains(t, string(text), "hidden")

	signals <- syscall.SIGTERM
	require.NoError(t, <-ended)
}

func TestServeThatCannot(t *testing.T) {
	_, errs, code := command("serve", "-d", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no such file or directory")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	_, errs, code = command("serve", "-d", t.TempDir(), "-p", port)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "cannot listen")
}
