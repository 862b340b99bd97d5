package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sluice/gateway/docs"
)

// docsCommand shows the documentation, which the program carries with it.
func docsCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "docs [PAGE]",
		Short: "Show a page of the documentation",
		Long:  "Print a page of the documentation, as Markdown. Without a page, list all.",
		Example: "  sluice docs                 the pages that there are\n" +
			"  sluice docs front | less    one of them, to scroll through",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, p := range docs.Pages() {
					fmt.Fprintf(stdout, "%-14s %s\n", p.Name, p.About)
				}
				return nil
			}
			page, err := docs.Find(args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(stdout, page.Text)
			return err
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, p := range docs.Pages() {
				names = append(names, p.Name+"\t"+p.About)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
