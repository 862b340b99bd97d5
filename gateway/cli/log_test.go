package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/logs"
	"sluice/gateway/testkit"
)

func TestLogFormats(t *testing.T) {
	f := func(format string, dev bool, want string) {
		t.Helper()
		cfg := config.Default()
		cfg.Log.Format = format
		var stdout, stderr bytes.Buffer
		log, output, err := newLogger(cfg, dev, &stdout, &stderr)
		require.NoError(t, err)
		log.Info("hello")
		log.Debug("not at level info")
		output.Close()
		text := stdout.String() + stderr.String()
		require.Contains(t, text, want)
		require.Equal(t, 1, strings.Count(text, "\n"))
		require.Equal(t, dev, stdout.Len() == 0, "in development the log goes to standard error")
	}
	f("json", false, `"level":"INFO","msg":"hello"`)
	f("text", false, `level=INFO msg=hello`)
	f("json", true, `level=INFO msg=hello`)
}

// A log file is made for its owner only. One that is there keeps its mode, and is
// warned of where that lets others in.
func TestTheLogFileIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) string {
		cfg := config.Default()
		cfg.Log.File = filepath.Join(dir, name)
		log, done, err := newLogger(cfg, false, io.Discard, io.Discard)
		require.NoError(t, err)
		log.Info("hello")
		done.Close()
		return cfg.Log.File
	}
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	warned := func(path string) string {
		var out testkit.LogBuffer
		logs.WarnWide(slog.New(slog.NewTextHandler(&out, nil)), path)
		return out.String()
	}
	path := open("new.log")
	require.Equal(t, os.FileMode(0o600), mode(path))
	require.Empty(t, warned(path))
	for _, wide := range []os.FileMode{0o644, 0o640, 0o602} {
		require.NoError(t, os.Chmod(path, wide))
		open("new.log")
		require.Equal(t, wide, mode(path), "left as it is")
		require.Regexp(t, `level=WARN .*log\.file is open to others .*mode=06`, warned(path))
	}
	require.Empty(t, warned(""))
	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o666))
	require.Empty(t, warned(pipe), "a pipe is no file of ours")
}
