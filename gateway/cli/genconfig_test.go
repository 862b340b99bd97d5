package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/docs"
)

// command runs the command line and returns what it said.
func command(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = Main(args, &out, &err)
	return out.String(), err.String(), code
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// configNames are config files of all formats.
var configNames = []string{"config.json", "config.yaml", "config.yml", "config.toml"}

func TestGenconfigWritesAFileThatIsReadyToUse(t *testing.T) {
	for _, name := range configNames {
		path := filepath.Join(t.TempDir(), name)
		out, errs, code := command("genconfig", "-c", path)
		require.Equal(t, 0, code, errs)
		require.Empty(t, out)
		require.Contains(t, errs, "sluice -c "+path)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		cfg, report, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		secrets := []string{cfg.Client.Token.HMACSecretKey, cfg.HTTPAPI.Key, cfg.Admin.Password, cfg.Admin.Secret}
		for i, secret := range secrets {
			require.GreaterOrEqual(t, len(secret), 20)
			require.NotContains(t, secrets[:i], secret, "each has its own")
			require.NotContains(t, errs, secret)
		}
		require.True(t, cfg.UniSSE.Enabled)
		require.False(t, cfg.Admin.Enabled)

		before, err := os.ReadFile(path)
		require.NoError(t, err)
		out, _, code = command("genconfig", "-c", path)
		require.Equal(t, 1, code)
		require.Equal(t, "error: output config file already exists: "+path+"\n", out)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))

		out, errs, code = command("checkconfig", "--strict", "-c", path)
		require.Equal(t, 0, code)
		require.Empty(t, out+errs)
		token, _, code := command("gentoken", "-q", "-u", "42", "-c", path)
		require.Equal(t, 0, code)
		out, _, code = command("checktoken", "-c", path, token)
		require.Equal(t, 0, code)
		require.True(t, strings.HasPrefix(out, "valid token for user 42\n"), out)
	}
}

// With --service the operator's endpoints are apart, and there is a health check.
func TestGenconfigForAService(t *testing.T) {
	for _, name := range configNames {
		path := filepath.Join(t.TempDir(), name)
		_, errs, code := command("genconfig", "--service", "-c", path)
		require.Equal(t, 0, code, errs)
		cfg, report, err := config.Load(config.Source{Path: path, Dir: t.TempDir()})
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		inside, separate := cfg.HTTPServer.Internal()
		require.True(t, separate)
		require.Equal(t, "127.0.0.1:9000", inside)
		require.True(t, cfg.UniSSE.Enabled && cfg.Health.Enabled && cfg.Prometheus.Enabled)
		out, errs, code := command("checkconfig", "--strict", "-c", path)
		require.Equal(t, 0, code)
		require.Empty(t, out+errs)
	}
}

func TestConfigCommandsThatCannotWrite(t *testing.T) {
	for _, name := range []string{"genconfig", "defaultconfig"} {
		path := filepath.Join(t.TempDir(), "none", "config.json")
		out, _, code := command(name, "-c", path)
		require.Equal(t, 1, code)
		require.Equal(t, "error: "+path+": no such file or directory\n", out)
		path = filepath.Join(t.TempDir(), "config.ini")
		out, _, code = command(name, "-c", path)
		require.Equal(t, 1, code)
		require.Contains(t, out, "allowed .json, .yaml, .yml, .toml")
		require.NoFileExists(t, path)
	}
}

func TestDefaultconfig(t *testing.T) {
	dir := t.TempDir()
	for _, name := range configNames {
		path := filepath.Join(dir, "all-"+name)
		out, _, code := command("defaultconfig", "-c", path)
		require.Equal(t, 0, code, out)
		require.Empty(t, out)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		dry, errs, code := command("defaultconfig", "-c", path, "--dry-run")
		require.Equal(t, 0, code)
		require.Empty(t, errs)
		require.Equal(t, string(text), dry, "a dry run prints what would be written")

		out, _, code = command("defaultconfig", "-c", path)
		require.Equal(t, 1, code)
		require.True(t, strings.HasPrefix(out, "error: target file already exists"), out)
		out, _, code = command("checkconfig", "-s", "-c", path)
		require.Equal(t, 1, code, "nobody can use the defaults alone")
		for line := range strings.Lines(out) {
			require.Regexp(t, "uni_sse.enabled: false|client.token: no key|http_api.key: empty", line)
		}
	}
	base := filepath.Join(dir, "base.yaml")
	require.NoError(t, os.WriteFile(base, []byte("uni_sse:\n  enabled: true\n  nope: 1\nhttp_api:\n  key: the key\n"), 0o600))
	out, errs, code := command("defaultconfig", "-b", base, "-d", "-c", "x.json")
	require.Equal(t, 0, code)
	require.Contains(t, out, `"key": "the key"`)
	require.Contains(t, out, `"ping_interval": "25s"`)
	require.Contains(t, errs, "warning: file "+base+":3: uni_sse.nope: unknown key")
	out, _, code = command("defaultconfig", "-b", filepath.Join(dir, "none.json"), "-d")
	require.Equal(t, 1, code)
	require.True(t, strings.HasPrefix(out, "error: base file "), out)
	require.NoError(t, os.WriteFile(base, []byte("uni_sse: [\n"), 0o600))
	out, _, code = command("defaultconfig", "-b", base, "-d")
	require.Equal(t, 1, code)
	require.True(t, strings.HasPrefix(out, "error: file "+base), out)
}

func TestDefaultenv(t *testing.T) {
	out, errs, code := command("defaultenv")
	require.Equal(t, 0, code)
	require.Empty(t, errs)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.IsIncreasing(t, lines)
	for _, line := range lines {
		require.Regexp(t, `^SLUICE_[A-Z0-9_]+=`, line)
	}
	require.Contains(t, lines, "SLUICE_CLIENT_PING_INTERVAL=25s")
	require.Contains(t, lines, "SLUICE_UNI_SSE_ENABLED=false")

	path := configFile(t, `{"uni_sse": {"enabled": true}, "http_api": {"key": "two words"}}`)
	out, _, code = command("defaultenv", "-b", path, "--base-non-zero-only", "--prefix", "CENTRIFUGO_")
	require.Equal(t, 0, code)
	require.Contains(t, out, "CENTRIFUGO_UNI_SSE_ENABLED=true\n")
	require.Contains(t, out, "CENTRIFUGO_HTTP_API_KEY='two words'\n")
	require.NotContains(t, out, "=false\n")

	out, _, code = command("defaultenv", "--prefix", "X_")
	require.Equal(t, 1, code)
	require.Contains(t, out, "allowed SLUICE_, CENTRIFUGO_")
}

func TestConfigdoc(t *testing.T) {
	out, _, code := command("configdoc")
	require.Equal(t, 0, code)
	require.Equal(t, docs.Reference(), out)
	out, _, code = command("configdoc", "uni_sse.framing")
	require.Equal(t, 0, code)
	require.True(t, strings.HasPrefix(out, "uni_sse.framing (string, default chunked)\n"), out)
	out, errs, code := command("configdoc", "framing")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, "did you mean uni_sse.framing?")

	path := filepath.Join(t.TempDir(), "options.md")
	require.NoError(t, os.WriteFile(path, []byte("a\n<!-- options:begin -->\n<!-- options:end -->\nb\n"), 0o644))
	for range 2 {
		_, errs, code = command("configdoc", "--write", path)
		require.Equal(t, 0, code, errs)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a\n<!-- options:begin -->\n\n"+docs.Reference()+"\n<!-- options:end -->\nb\n", string(text))
	require.NoError(t, os.WriteFile(path, []byte("a\n"), 0o644))
	_, errs, code = command("configdoc", "--write", path)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "<!-- options:begin -->")
	_, errs, code = command("configdoc", "--write", path, "uni_sse")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "leave out uni_sse")
	_, errs, code = command("configdoc", "--write", path+".none")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no such file or directory")
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		out, errs, code := command(arg)
		require.Equal(t, 0, code)
		require.Empty(t, errs)
		require.Regexp(t, `^Sluice v\d+\.\d+\.\d+ \(Go version: go1\.\S+\)\n$`, out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, errs, code := command("completion", shell)
		require.Equal(t, 0, code)
		require.Empty(t, errs)
		require.Contains(t, out, "sluice")
	}
	out, _, code := command("__complete", "--log.level", "")
	require.Equal(t, 0, code)
	require.Contains(t, out, "debug\n")
	out, _, code = command("__complete", "configdoc", "uni_sse.f")
	require.Equal(t, 0, code)
	require.Contains(t, out, "uni_sse.framing\n")
}

// Every command says in one line what it does, and shows how it is used.
func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	root := rootCommand(nil, nil)
	require.NotEmpty(t, root.Example)
	example := regexp.MustCompile(`(?m)^  sluice `)
	for _, cmd := range root.Commands() {
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.Regexp(t, example, cmd.Example, cmd.Name())
		out, errs, code := command(cmd.Name(), "--help")
		require.Equal(t, 0, code)
		require.Empty(t, errs)
		require.Contains(t, out, "Examples:\n  sluice "+cmd.Name())
	}
}

// The flags in the examples exist.
func TestExamplesUseFlagsThatExist(t *testing.T) {
	flag := regexp.MustCompile(`(?:^|\s)(--?[a-z][a-z0-9_.-]*)`)
	root := rootCommand(nil, nil)
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		for line := range strings.Lines(cmd.Example) {
			line, _, _ = strings.Cut(line, "   ") // what follows is an explanation
			for _, m := range flag.FindAllStringSubmatch(line, -1) {
				f := cmd.Flags().Lookup(strings.TrimLeft(m[1], "-"))
				if len(m[1]) == 2 {
					f = cmd.Flags().ShorthandLookup(m[1][1:])
				}
				known := f != nil || strings.Contains(line, "$(")
				require.True(t, known, fmt.Sprintf("%s: %s", cmd.Name(), m[1]))
			}
		}
	}
}
