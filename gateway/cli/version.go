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
		Use: "version", Short: "Print the version", Example: "  sluice version", Args: noArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(stdout, versionText()) },
	}
}

func versionText() string {
	return fmt.Sprintf("Sluice v%s (Go version: %s)", node.Version, runtime.Version())
}
