package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"sluice/gateway/config/docs"
)

func (c *configCommand) defaultconfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "defaultconfig",
		Short: "Write a configuration with every option and its default",
		Long: "Write a configuration with every option. Each has its default, or what a base file and, with it, the\n" +
			"environment say. YAML and TOML say for each option what it does. The defaults alone serve nobody: they\n" +
			"have no endpoint and no keys, which checkconfig --strict fails on.",
		Example: "  sluice defaultconfig -c all.yaml                 every option, explained\n" +
			"  sluice defaultconfig -c all.json --dry-run       print instead of writing\n" +
			"  sluice defaultconfig -b config.json -c all.toml  with the values of config.json, secrets included",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVarP(&c.path, "config", "c", "config.json", "file to write; its extension picks the format")
	f.StringVarP(&c.base, "base", "b", "", "config file whose values to take instead of the defaults")
	f.BoolVarP(&c.dryRun, "dry-run", "d", false, "print to the standard output instead of writing the file")
	markConfigFile(cmd, "config", "base")
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := c.loadBase()
		if err != nil {
			return err
		}
		text, err := docs.Render(cfg, c.path)
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		if c.dryRun {
			_, err = c.stdout.Write(text)
			return err
		}
		err = writeNew(c.path, text)
		if errors.Is(err, fs.ErrExist) {
			return reported(c.stdout, "error: target file already exists: %s", c.path)
		}
		if err != nil {
			return reported(c.stdout, "error: %s", plainError(err))
		}
		fmt.Fprintf(c.stderr, "%s written\n", c.path)
		return nil
	}
	return cmd
}
