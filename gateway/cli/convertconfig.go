package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/config/docs"
	"sluice/gateway/node"
)

func (c *configCommand) convertconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convertconfig OLD [NEW]",
		Short: "Convert a configuration of versions 4 and 5 to the form of version 6",
		Long: "Convert a configuration of versions 4 and 5 to the nested form of version 6: the shortest file that\n" +
			"says the same. The environment has no part in it. Secrets are in it as in the old file; those in files\n" +
			"of their own stay there. What is unknown or not supported is left out and named; gRPC hooks are\n" +
			"refused instead, with what to do.\n" +
			"Only the owner can read the new file; one that is there already is left alone. Without NEW it is\n" +
			"printed, in the format of OLD.",
		Example: "  sluice convertconfig config.json sluice.yaml   the extension picks the format: json, yaml, yml, toml\n" +
			"  sluice convertconfig config.toml               print it",
		Args: convertArgs,
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"json", "yaml", "yml", "toml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		from, to := args[0], args[len(args)-1]
		converted, err := docs.Convert(from, to, node.Check)
		if c.printFatal(converted.Report, err) {
			return errReported
		}
		if len(args) == 1 {
			_, err = c.stdout.Write(converted.Text)
		} else {
			err = writeNew(to, converted.Text)
		}
		if errors.Is(err, fs.ErrExist) {
			return reported(c.stdout, "error: target file already exists: %s", to)
		}
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		c.printLeftOut(converted.Report.Findings)
		if len(args) > 1 {
			fmt.Fprintf(c.stderr, "%s written. Next: sluice checkconfig --strict -c %s\n", to, to)
		}
		return nil
	}
	return cmd
}

// printLeftOut names what of the old file is not in the new one, or deserves a
// look. New names do not: the new file has them.
func (c *configCommand) printLeftOut(findings []config.Finding) {
	for _, f := range config.ByWeight(findings) {
		if f.Kind != config.KindDeprecated {
			fmt.Fprintf(c.stderr, "warning: %s\n", f)
		}
	}
}

func convertArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 1 || len(args) == 2 {
		return nil
	}
	return fmt.Errorf("%d arguments: the old file expected, and the new one unless it is to be printed; `%s --help` explains", len(args), cmd.CommandPath())
}
