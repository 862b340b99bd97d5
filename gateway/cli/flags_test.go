package cli

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/legacy"
)

func TestUsageErrorsSuggestWhatWasMeant(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		out, errs, code := command(args...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Regexp(t, "^sluice: .*"+want, errs)
	}
	f("unknown flag: --prot; did you mean --port", "--prot", "9")
	f("did you mean --uni_sse.enabled", "--uni-sse.enabled")
	f("did you mean --channel.without_namespace.presence", "--presence")
	f("did you mean --dry-run", "defaultconfig", "--dryrun")
	f("`sluice --help` lists the flags", "--xyzzy")
	f("unknown shorthand flag: 'z'", "-z")
	f("did you mean gentoken", "gentokn")
	f("`sluice --help` lists the commands", "xyzzy")
	f("--uni_sse.enabled=true", "--uni_sse.enabled", "true")
	f("--port and --http_server.port are the same option", "--port", "1", "--http_server.port", "2")
	f(`unexpected argument "42"`, "gentoken", "42")
	f(`unexpected argument "x"`, "version", "x")
	f("flag needs an argument", "--port")
}

// Values of flags are checked as all options are, with the flag named.
func TestWrongValuesOfFlagsAreNamed(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		out, errs, code := command(append([]string{"-c", ""}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Contains(t, errs, want)
	}
	f(`flag --http_server.port: http_server.port: "abc" is not a port: allowed 0-65535`, "-p", "abc")
	f(`flag --uni_sse.enabled: uni_sse.enabled: "maybe" is not a boolean`, "--uni_sse.enabled=maybe")
	f(`flag --client.ping_interval: client.ping_interval: 25 is a bare number; write "25s"`, "--client.ping_interval", "25")
}

func TestEveryOptionIsAFlag(t *testing.T) {
	cmd := rootCommand(nil, nil)
	for _, o := range config.Options() {
		if !o.InObject {
			require.NotNil(t, cmd.Flags().Lookup(o.Key), o.Key)
		}
	}
	require.NoError(t, cmd.ParseFlags([]string{"-p", "0", "--client.ping_interval", "7s", "--uni_sse.enabled", "--health.enabled=false"}))
	given, err := givenFlags(cmd)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"http_server.port": "0", "client.ping_interval": "7s", "uni_sse.enabled": "true", "health.enabled": "false",
	}, given)
}

// The flags of versions 4 and 5 set the same options.
func TestFlatFlagsAreOptions(t *testing.T) {
	cmd := rootCommand(nil, nil)
	for _, flat := range legacy.FlatFlags() {
		require.NotNil(t, cmd.Flags().Lookup(flat.Name), flat.Name)
	}
	require.NoError(t, cmd.ParseFlags([]string{"--uni_sse", "--api_insecure", "--log_level=debug", "--token_hmac_secret_key", "s"}))
	given, err := givenFlags(cmd)
	require.NoError(t, err)
	cfg, _, err := config.Load(config.Source{Dir: t.TempDir(), Flags: given})
	require.NoError(t, err)
	require.True(t, cfg.UniSSE.Enabled)
	require.True(t, cfg.HTTPAPI.Insecure)
	require.Equal(t, "debug", cfg.Log.Level)
	require.Equal(t, "s", cfg.Client.Token.HMACSecretKey)
}

// A config file that somebody named has to be there: a start on the defaults, or
// a token of another key, is not what was asked for. The one by default need not.
func TestANamedConfigFileHasToBeThere(t *testing.T) {
	t.Chdir(t.TempDir())
	f := func(args ...string) {
		t.Helper()
		for _, flag := range [][]string{{"-c", "none.json"}, {"--config=none.yaml"}} {
			out, errs, code := command(append(args, flag...)...)
			require.Equal(t, 1, code)
			require.Regexp(t, `config: file none\.(json|yaml): not found; .sluice genconfig -c none\.(json|yaml). writes one`, out+errs)
		}
	}
	f()
	f("--dev")
	f("gentoken", "-u", "42")
	f("gensubtoken", "-u", "42", "-s", "news")
	f("checktoken", "a.b.c")
	f("checksubtoken", "a.b.c")
	require.NoError(t, os.WriteFile("config.json", []byte(`{"client": {"token": {"hmac_secret_key": "s"}}}`), 0o600))
	f()

	_, report, err := config.Load(config.Source{Path: "other.json"})
	require.NoError(t, err)
	require.Equal(t, []config.Kind{config.KindMissing}, []config.Kind{report.Findings[0].Kind})
}
