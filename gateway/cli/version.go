package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"sluice/gateway/node"
)

// builtFrom is the commit of a release: `make release` sets it with the linker, as what Go
// itself stamps into a program depends on the clone too (its tags). Empty: ask Go.
var builtFrom string

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version, and the commit that it was built from", Example: "  sluice version", Args: noArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(stdout, versionText()) },
	}
}

// versionText has what the reference prints in its first line, for the tools that read it
// (PROTOCOL 9.3), and the commit in the second, if it is known: not in a program of `go run`
// or `go test`.
func versionText() string {
	text := fmt.Sprintf("Sluice v%s (Go version: %s)", node.Version, runtime.Version())
	commit := builtFrom
	if info, ok := debug.ReadBuildInfo(); ok && commit == "" {
		commit = commitOf(info)
	}
	if commit != "" {
		text += "\nCommit: " + commit
	}
	return text
}

// commitOf returns the commit that Go has stamped into a program, "" for none. A work tree
// with changes that are not committed says so.
func commitOf(info *debug.BuildInfo) string {
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}
