package test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Help on what is no command fails, on the standard error, with what was meant.
func TestHelpOnNoCommandFails(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		out, errs, code := command(append([]string{"help"}, args...)...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Contains(t, errs, want)
	}
	f("unknown command \"nosuch\"; `sluice --help` lists the commands", "nosuch")
	f("did you mean genconfig?", "genconfg")
	f(`unknown command "bsh"`, "completion", "bsh")
	f(`unknown command "more"`, "checkconfig", "more")

	for _, args := range [][]string{{"help"}, {"--help"}} {
		out, errs, code := command(args...)
		require.Equal(t, 0, code)
		require.Empty(t, errs)
		require.Contains(t, out, "checkconfig ")
	}
	for _, name := range []string{"checkconfig", "servefiles", "serve", "help"} {
		out, _, code := command("help", name)
		require.Equal(t, 0, code)
		require.Contains(t, out, "Usage:\n  sluice ")
	}
	out, _, _ := command("help", "completion", "bash")
	require.Contains(t, out, "sluice completion bash")
	out, _, _ = command("__complete", "help", "gen")
	require.Contains(t, out, "genconfig\t")
	require.NotContains(t, out, "checkconfig")
}

// Static files are not what sluice serves: the name of the command says so, and
// that of the reference is understood.
func TestServeIsServefiles(t *testing.T) {
	out, _, _ := command("help")
	require.Contains(t, out, "  servefiles ")
	require.NotContains(t, out, "\n  serve ")
	none := t.TempDir() + "/none"
	for _, name := range []string{"servefiles", "serve"} {
		_, errs, code := command(name, "-d", none)
		require.Equal(t, 1, code)
		require.Contains(t, errs, "cannot serve "+none)
	}
}
