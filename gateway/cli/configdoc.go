package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sluice/gateway/config"
	"sluice/gateway/config/docs"
)

func (c *configCommand) configdoc() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "configdoc [KEY]",
		Short: "Explain options",
		Long:  "Explain an option or all options of a section. Without a key, print the whole reference as Markdown.",
		Example: "  sluice configdoc client.ping_interval\n" +
			"  sluice configdoc uni_sse\n" +
			"  sluice configdoc > options.md\n" +
			"  sluice configdoc --write gateway/docs/options.md    between its markers <!-- options:begin --> and <!-- options:end -->",
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().StringVarP(&c.write, "write", "w", "", "Markdown file whose option reference to rewrite")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case c.write != "" && len(args) > 0:
			return errors.New("--write takes the whole reference: leave out " + args[0])
		case c.write != "":
			return rewriteReference(c.write)
		case len(args) == 0:
			_, err := io.WriteString(c.stdout, docs.Reference())
			return err
		}
		text, err := docs.Describe(args[0])
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.stdout, text)
		return err
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var keys []string
		for _, o := range config.Options() {
			keys = append(keys, o.Key)
		}
		return keys, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// rewriteReference renews the option reference in a Markdown file, if it
// differs.
func rewriteReference(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return errors.New(plainError(err))
	}
	text, err := docs.UpdateReference(old)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(path, text, 0o644)
}
