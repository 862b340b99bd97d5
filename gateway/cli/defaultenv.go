package cli

import (
	"github.com/spf13/cobra"

	"sluice/gateway/config/docs"
)

func (c *configCommand) defaultenv() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultenv",
		Short: "Print every option as an environment variable",
		Long: "Print every option as a line NAME=value, sorted, in the form of a .env file. Each has its default, or\n" +
			"what a base file and, with it, the environment say. Those of parts that do not exist yet come last,\n" +
			"behind a comment.",
		Example: "  sluice defaultenv                                       every variable and its default\n" +
			"  sluice defaultenv -b config.json --base-non-zero-only   a config file as environment, secrets included\n" +
			"  sluice defaultenv --prefix CENTRIFUGO_                  the names that the reference has too",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVarP(&c.base, "base", "b", "", "config file whose values to take instead of the defaults")
	f.BoolVar(&c.noZero, "base-non-zero-only", false, "leave out what is false, 0 or empty")
	f.StringVar(&c.prefix, "prefix", "SLUICE_", "first part of the names: SLUICE_ or CENTRIFUGO_")
	markConfigFile(cmd, "base")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := c.loadBase()
		if err != nil {
			return err
		}
		text, err := docs.RenderEnv(cfg, c.prefix, c.noZero)
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		_, err = c.stdout.Write(text)
		return err
	}
	return cmd
}
