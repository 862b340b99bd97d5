package cli

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"sluice/gateway/node"
)

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
	if commit := node.Commit(); commit != "" {
		text += "\nCommit: " + commit
	}
	return text
}
