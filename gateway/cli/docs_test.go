package cli

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/docs"
)

func TestDocsListsAndShowsPages(t *testing.T) {
	out, _, code := command("docs")
	require.Equal(t, 0, code)
	require.Contains(t, out, "\nprotocol       For those who write or choose a client\n")
	require.Equal(t, len(docs.Pages()), strings.Count(out, "\n"))

	out, _, code = command("docs", "protocol")
	require.Equal(t, 0, code)
	require.True(t, strings.HasPrefix(out, "# The subscribe protocol\n\nFor those who "), out[:80])

	out, errs, code := command("docs", "protocols")
	require.Equal(t, 1, code)
	require.Empty(t, out)
	require.Contains(t, errs, `no page "protocols": there are api, `)
}

// toldCommands are the calls of sluice in blocks of shell commands, and between
// backquotes.
var toldCommands = regexp.MustCompile("(?m)(?:^|`)(?:[A-Z_]+=\\S+ )*sluice( [^`\n]*)?(?:`|$)")

// The commands and flags that the README and the pages tell people to type are
// there.
func TestDocsTellOfCommandsThatExist(t *testing.T) {
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	told := 0
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range toldCommands.FindAllStringSubmatch(string(text), -1) {
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, ` "$(`)
			root := rootCommand(io.Discard, io.Discard)
			root.InitDefaultHelpCmd()
			root.InitDefaultCompletionCmd()
			cmd, rest, err := root.Find(strings.Fields(line))
			require.NoError(t, err, "%s: sluice%s", path, line)
			require.NoError(t, cmd.ParseFlags(rest), "%s: sluice%s", path, line)
			if cmd == root {
				require.Empty(t, cmd.Flags().Args(), "%s: sluice%s: no such command", path, line)
			}
			told++
		}
	}
	require.Greater(t, told, 20)
}

// The chapter on the command line has every command.
func TestDocsHaveEveryCommand(t *testing.T) {
	page, err := docs.Find("configuration")
	require.NoError(t, err)
	_, chapter, found := strings.Cut(page.Text, "\n## Command line\n")
	require.True(t, found)
	for _, cmd := range rootCommand(io.Discard, io.Discard).Commands() {
		require.True(t, strings.Contains(chapter, "`"+cmd.Name()+"`") || strings.Contains(chapter, "\nsluice "+cmd.Name()), cmd.Name())
	}
}
